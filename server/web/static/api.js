// Calls the server: list of models, readiness, streamed chats.

const keyPlace = "prunellm.key"; // in sessionStorage, which ends with the tab

/** ServerError is a response other than 200. code is the server's ("model_not_found"), retryAfter is in seconds. */
export class ServerError extends Error {
  constructor(status, code, message, retryAfter) {
    super(message);
    this.name = "ServerError";
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** passing reports whether the same request may succeed later. */
  get passing() {
    return this.status === 503 || this.status === 429;
  }
}

export const apiKey = () => sessionStorage.getItem(keyPlace) ?? "";

export function setApiKey(key) {
  if (key) sessionStorage.setItem(keyPlace, key);
  else sessionStorage.removeItem(keyPlace);
}

async function call(path, options = {}) {
  const headers = { ...options.headers };
  if (apiKey()) headers.Authorization = `Bearer ${apiKey()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, "unreachable", "The server cannot be reached.", 0);
  }
  if (!response.ok) throw await failure(response);
  return response;
}

async function failure(response) {
  let body = {};
  try {
    body = (await response.json()).error ?? {};
  } catch {
    // not prunellm's response, so only the status is known
  }
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  return new ServerError(response.status, body.code ?? "", body.message ?? `The server responded with status ${response.status}.`, retryAfter);
}

/** listModels returns the entries of /v1/models. */
export async function listModels(signal) {
  return (await (await call("v1/models", { signal })).json()).data;
}

/** getModel returns one entry with its card; null for a model that is not loaded. */
export async function getModel(id) {
  try {
    return await (await call(`v1/models/${encodeURIComponent(id)}`)).json();
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

/** readiness returns in missing "" if the startup variant is ready, otherwise its progress; in stage which file answers for
 * it, and in next the one that replaces that one, "" if none does. */
export async function readiness() {
  try {
    const { stage = "", next = "" } = await (await call("readyz")).json();
    return { missing: "", stage, next };
  } catch (error) {
    if (error.passing) return { missing: error.message, stage: "", next: "" };
    throw error;
  }
}

/** listVariants returns the variants that are loaded or being made; none if the server has no admin endpoints or they need
 * another key. */
export async function listVariants() {
  try {
    return (await (await call("admin/variants")).json()).data ?? [];
  } catch {
    return [];
  }
}

/** pause waits. It throws if the signal aborts. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/**
 * chat requests a streamed answer. Callbacks report its parts: onWait(message) while the server is not ready,
 * onStart(variant), onThought(text) and then onText(text). While the server is not ready, chat retries until the signal aborts.
 * The result has variant, finish, tokens, seconds, firstToken (seconds, from sending) and perSecond (tokens, after the
 * first; 0 if there were too few).
 */
export async function chat(request, { signal, onWait, onStart, onThought, onText }) {
  for (;;) {
    try {
      return await attempt(request, { signal, onStart, onThought, onText });
    } catch (error) {
      if (!(error instanceof ServerError && error.passing)) throw error;
      onWait(error.message);
      await pause(1000 * Math.min(Math.max(error.retryAfter, 1), 5), signal);
    }
  }
}

async function attempt(request, { signal, onStart, onThought, onText }) {
  const sent = performance.now();
  const response = await call("v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  const result = { variant: "", finish: "", tokens: 0, seconds: 0, firstToken: 0, perSecond: 0 };
  let first = 0;
  let last = 0;
  for await (const event of events(response.body)) { // none arrive while the variant is being made
    if (event.error) throw broken(event.error);
    if (!result.variant) onStart((result.variant = event.model));
    if (event.usage) result.tokens = event.usage.completion_tokens;
    const choice = event.choices?.[0];
    if (choice?.finish_reason) result.finish = choice.finish_reason;
    const { reasoning_content: thought, content: text } = choice?.delta ?? {};
    if (thought || text) {
      last = performance.now();
      first ||= last;
    }
    if (thought) onThought(thought);
    if (text) onText(text);
  }
  result.seconds = (performance.now() - sent) / 1000;
  if (first) result.firstToken = (first - sent) / 1000;
  if (result.tokens > 8 && last > first) result.perSecond = (1000 * (result.tokens - 1)) / (last - first);
  return result;
}

/** broken returns the error that ends a stream. The HTTP status was sent before it occurred. */
function broken({ code, message }) {
  const status = { model_not_ready: 503, queue_full: 429 }[code] ?? 500;
  return new ServerError(status, code ?? "", message ?? "The answer was cut off.", 2);
}

/** cut returns the error of an answer whose connection ended early. */
const cut = () => new ServerError(0, "unreachable", "The answer was cut off: the connection to the server ended.", 0);

/** events yields the JSON of each data line of a body's server-sent events, up to [DONE]. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let done = false;
  try {
    while (!done) {
      let value;
      try {
        ({ value, done } = await reader.read());
      } catch (error) {
        throw error.name === "AbortError" ? error : cut();
      }
      const lines = (rest + (value ?? "")).split("\n");
      rest = done ? "" : lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data === "[DONE]") return;
        if (data) yield JSON.parse(data);
      }
    }
    throw cut(); // even if a proxy ended the body as if it were complete
  } finally {
    reader.cancel().catch(() => {}); // it has ended or was aborted
  }
}
