"use strict";
const others = { anthropic: "/openapi/anthropic.json", ollama: "/openapi/ollama.json" };
const url = others[new URLSearchParams(location.search).get("document")] ?? "/openapi.json";
SwaggerUIBundle({ url, dom_id: "#docs", deepLinking: true, persistAuthorization: false, validatorUrl: null });
