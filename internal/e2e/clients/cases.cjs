// The cases of cases.txt with openai-node. BASE_URL, LIMITED_URL and API_KEY select the servers. Each case prints a line.
"use strict";

const assert = require("node:assert/strict");
const OpenAI = require("openai");

const model = "smollm2-135m-instruct";
const apiKey = process.env.API_KEY;
const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey, maxRetries: 0, timeout: 300000 });

const question = [{ role: "user", content: "Name three colours." }];
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city",
    parameters: {
      type: "object",
      properties: { city: { type: "string", maxLength: 12 }, unit: { type: "string", enum: ["C", "F"] } },
      required: ["city", "unit"],
      additionalProperties: false,
    },
    strict: true,
  },
};
const clock = { type: "function", function: { name: "get_time" } };
const flat = { type: "function", ...weather.function };
const person = {
  type: "object",
  properties: { name: { type: "string", maxLength: 12 }, age: { type: "integer", minimum: 0, maximum: 120 } },
  required: ["name", "age"],
  additionalProperties: false,
};

const chat = (more = {}) => client.chat.completions.create({ model, messages: question, max_tokens: 16, seed: 7, ...more });
const textOf = (answer) => answer.choices[0].message.content;

function checkWeather(call) {
  assert.equal(call.function.name, "get_weather");
  assert.ok(call.id);
  const args = JSON.parse(call.function.arguments);
  assert.deepEqual(Object.keys(args).sort(), ["city", "unit"]);
  assert.ok(["C", "F"].includes(args.unit));
}

function checkPerson(text) {
  const found = JSON.parse(text);
  assert.deepEqual(Object.keys(found).sort(), ["age", "name"]);
  assert.ok(found.age >= 0 && found.age <= 120);
}

async function refused(kind, status, ask, want = {}) {
  let error;
  try {
    await ask();
  } catch (e) {
    error = e;
  }
  assert.ok(error instanceof kind, `${error}`);
  assert.equal(error.status, status);
  for (const [name, value] of Object.entries(want)) assert.equal(error[name], value);
  return error;
}

const cases = {
  "models.list": async () => assert.ok((await client.models.list()).data[0].id.startsWith(model)),
  "models.retrieve": async () => assert.equal((await client.models.retrieve(model + "@0")).id, model + "@0"),
  chat: async () => {
    const { data, response } = await client.chat.completions.create({ model, messages: question, max_completion_tokens: 16, seed: 7 }).withResponse();
    assert.ok(textOf(data));
    assert.equal(data.model, model + "@0");
    assert.equal(response.headers.get("x-prunellm-variant"), data.model);
    assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
    assert.ok(data.usage.prompt_tokens_details.cached_tokens >= 0 && data.system_fingerprint && data.created);
  },
  "chat.parts": async () => {
    const content = [{ type: "text", text: "Name three" }, { type: "text", text: "colours." }];
    assert.ok(textOf(await chat({ messages: [{ role: "user", content }] })));
  },
  "chat.developer": async () => assert.ok(textOf(await chat({ messages: [{ role: "developer", content: "Be brief." }, ...question] }))),
  "chat.stream": async () => {
    let text = "", usage;
    for await (const chunk of await chat({ stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, textOf(await chat()));
    assert.ok(usage.completion_tokens > 0);
  },
  "chat.n": async () => {
    const answer = await chat({ n: 3, temperature: 1.5 });
    assert.deepEqual(answer.choices.map((c) => c.index), [0, 1, 2]);
    assert.ok(new Set(answer.choices.map((c) => c.message.content)).size > 1);
    assert.ok(answer.usage.completion_tokens > 16);
  },
  "chat.seed": async () => assert.equal(textOf(await chat({ temperature: 1 })), textOf(await chat({ temperature: 1 }))),
  "chat.stop": async () => {
    const whole = textOf(await chat({ temperature: 0 }));
    const stop = whole.slice(8, 12);
    const cut = await chat({ temperature: 0, stop: [stop] });
    assert.equal(textOf(cut), whole.slice(0, whole.indexOf(stop)));
    assert.equal(cut.choices[0].finish_reason, "stop");
  },
  "chat.length": async () => {
    const answer = await chat({ max_tokens: 3 });
    assert.equal(answer.choices[0].finish_reason, "length");
    assert.equal(answer.usage.completion_tokens, 3);
  },
  "chat.sampling": async () => assert.ok(textOf(await chat({ temperature: 0.7, top_p: 0.9, presence_penalty: 0.5, frequency_penalty: -0.5 }))),
  // Token 198 is a line break.
  "chat.logit_bias": async () => assert.equal(textOf(await chat({ logit_bias: { 198: 100 }, max_tokens: 3 })), "\n\n\n"),
  "chat.logprobs": async () => {
    const tokens = (await chat({ logprobs: true, top_logprobs: 3 })).choices[0].logprobs.content;
    assert.ok(tokens.length > 0 && tokens.every((t) => t.top_logprobs.length === 3 && t.logprob <= 0 && t.bytes));
  },
  "chat.metadata": async () => assert.ok(textOf(await chat({ metadata: { a: "b" }, user: "somebody" }))),
  "chat.extensions": async () => {
    const answer = await chat({ top_k: 5, min_p: 0.05, repetition_penalty: 1.1, ignore_eos: true });
    assert.equal(answer.usage.completion_tokens, 16);
  },
  "chat.grammar": async () => assert.ok(["yes", "no"].includes(textOf(await chat({ grammar: 'root ::= "yes" | "no"' })))),
  "chat.json_object": async () => {
    const answer = await chat({ response_format: { type: "json_object" }, max_tokens: 200, temperature: 0 });
    assert.ok(textOf(answer).trimStart().startsWith("{"));
    if (answer.choices[0].finish_reason === "stop") JSON.parse(textOf(answer));
  },
  "chat.json_schema": async () => {
    const response_format = { type: "json_schema", json_schema: { name: "person", strict: true, schema: person } };
    checkPerson(textOf(await chat({ response_format, max_tokens: 100 })));
  },
  "tools.required": async () => {
    const [choice] = (await chat({ tools: [weather], tool_choice: "required", parallel_tool_calls: false, max_tokens: 100 })).choices;
    assert.equal(choice.finish_reason, "tool_calls");
    assert.equal(choice.message.content, null);
    assert.equal(choice.message.tool_calls.length, 1);
    checkWeather(choice.message.tool_calls[0]);
  },
  "tools.named": async () => {
    const tool_choice = { type: "function", function: { name: "get_weather" } };
    const answer = await chat({ tools: [clock, weather], tool_choice, parallel_tool_calls: false, max_tokens: 100 });
    checkWeather(answer.choices[0].message.tool_calls[0]);
  },
  "tools.none": async () => {
    const { message } = (await chat({ tools: [weather], tool_choice: "none" })).choices[0];
    assert.ok(message.content && !message.tool_calls);
  },
  "tools.parallel": async () => {
    const calls = (await chat({ tools: [weather], tool_choice: "required", max_tokens: 150 })).choices[0].message.tool_calls;
    assert.ok(calls.length >= 1 && new Set(calls.map((c) => c.id)).size === calls.length);
    checkWeather(calls[0]);
  },
  "tools.result": async () => {
    const call = { id: "call_1", type: "function", function: { name: "get_weather", arguments: '{"city": "Rome", "unit": "C"}' } };
    const messages = [...question, { role: "assistant", content: null, tool_calls: [call] }, { role: "tool", tool_call_id: "call_1", content: "21 degrees" }];
    assert.equal((await chat({ messages, tools: [weather], tool_choice: "auto" })).choices[0].message.role, "assistant");
  },
  "tools.stream": async () => {
    const stream = client.chat.completions.stream({
      model, messages: question, seed: 7, tools: [weather], tool_choice: "required", parallel_tool_calls: false, max_tokens: 100,
    });
    const message = (await stream.finalChatCompletion()).choices[0].message;
    assert.equal(message.tool_calls.length, 1);
    checkWeather(message.tool_calls[0]);
  },
  completions: async () => {
    const answer = await client.completions.create({ model, prompt: ["One, two,", "Red, green,"], max_tokens: 8, seed: 7 });
    assert.deepEqual(answer.choices.map((c) => c.index), [0, 1]);
    assert.ok(answer.choices.every((c) => c.text));
  },
  "completions.stream": async () => {
    const request = { model, prompt: "One, two,", max_tokens: 8, seed: 7 };
    let text = "";
    for await (const chunk of await client.completions.create({ ...request, stream: true })) text += chunk.choices[0].text;
    assert.equal(text, (await client.completions.create(request)).choices[0].text);
  },
  "completions.echo": async () => {
    const [choice] = (await client.completions.create({ model, prompt: "One, two, three", echo: true, logprobs: 1, max_tokens: 0 })).choices;
    assert.equal(choice.text, "One, two, three");
    assert.equal(choice.logprobs.tokens.join(""), choice.text);
    assert.equal(choice.logprobs.token_logprobs[0], null);
    assert.ok(choice.logprobs.token_logprobs.slice(1).every((p) => p <= 0));
  },
  "embeddings.float": async () => {
    const { data } = await client.embeddings.create({ model, input: ["red", "blue"], encoding_format: "float" });
    assert.equal(data.length, 2);
    assert.ok(Math.abs(data[0].embedding.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3);
  },
  "embeddings.base64": async () => {
    // By default the client requests base64 and decodes it.
    const unpacked = (await client.embeddings.create({ model, input: "red" })).data[0].embedding;
    const packed = (await client.embeddings.create({ model, input: "red", encoding_format: "base64" })).data[0].embedding;
    const raw = Buffer.from(packed, "base64");
    assert.deepEqual(Array.from(unpacked), Array.from({ length: raw.length / 4 }, (_, i) => raw.readFloatLE(4 * i)));
  },
  responses: async () => {
    const answer = await client.responses.create({ model, input: "Name three colours.", instructions: "Be brief.", max_output_tokens: 16 });
    assert.ok(answer.output_text && answer.usage.total_tokens > 16);
    assert.ok(["completed", "incomplete"].includes(answer.status));
  },
  "responses.stream": async () => {
    let text = "", first, last;
    const input = [{ role: "user", content: "Name three colours." }];
    for await (const event of await client.responses.create({ model, input, max_output_tokens: 16, stream: true })) {
      first ??= event.type;
      last = event;
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    assert.equal(first, "response.created");
    assert.ok(text);
    assert.equal(last.response.output[0].content[0].text, text);
  },
  "responses.tools": async () => {
    const input = "Weather in Rome?";
    const first = await client.responses.create({ model, input, tools: [flat], tool_choice: "required", parallel_tool_calls: false, max_output_tokens: 100 });
    const call = first.output[0];
    assert.equal(call.type, "function_call");
    assert.ok("city" in JSON.parse(call.arguments));
    const history = [{ role: "user", content: input }, call, { type: "function_call_output", call_id: call.call_id, output: "21" }];
    assert.ok((await client.responses.create({ model, input: history, tools: [flat], max_output_tokens: 16 })).output.length > 0);
  },
  "responses.json_schema": async () => {
    const text = { format: { type: "json_schema", name: "person", strict: true, schema: person } };
    checkPerson((await client.responses.create({ model, input: "Describe a person.", text, max_output_tokens: 100 })).output_text);
  },
  "error.401": () => refused(OpenAI.AuthenticationError, 401, () => client.withOptions({ apiKey: "wrong" }).models.list(), { code: "invalid_api_key" }),
  "error.404": () => refused(OpenAI.NotFoundError, 404, () => chat({ model: "gpt-x" }), { param: "model", code: "model_not_found" }),
  "error.400": () => refused(OpenAI.BadRequestError, 400, () => chat({ temperature: 3 }), { param: "temperature" }),
  "error.context": () =>
    refused(OpenAI.BadRequestError, 400, () => chat({ messages: [{ role: "user", content: "word ".repeat(5000) }] }), { param: "messages", code: "context_length_exceeded" }),
  "error.schema": () => {
    const schema = { type: "object", properties: { a: { $ref: "#/nowhere" } }, required: ["a"] };
    const response_format = { type: "json_schema", json_schema: { name: "x", strict: true, schema } };
    return refused(OpenAI.BadRequestError, 400, () => chat({ response_format }), { param: "response_format", code: "invalid_json_schema" });
  },
  "error.image": () => {
    const content = [{ type: "image_url", image_url: { url: "data:image/png;base64,AA==" } }];
    return refused(OpenAI.BadRequestError, 400, () => chat({ messages: [{ role: "user", content }] }), { param: "messages[0].content[0].type" });
  },
  "error.413": () => refused(OpenAI.APIError, 413, () => chat({ messages: [{ role: "user", content: "x".repeat(9 << 20) }] })),
  "error.429": async () => {
    const limited = new OpenAI({ baseURL: process.env.LIMITED_URL, apiKey, maxRetries: 0 });
    const ask = () => limited.chat.completions.create({ model, messages: question, max_tokens: 1 });
    await ask();
    const error = await refused(OpenAI.RateLimitError, 429, ask, { code: "rate_limit_exceeded" });
    assert.ok(Number(error.headers.get("retry-after")) >= 1);
  },
};

(async () => {
  let failed = false;
  for (const [name, run] of Object.entries(cases)) {
    try {
      await run();
      console.log("ok", name);
    } catch (e) {
      failed = true;
      console.log("FAIL", name, String(e.stack ?? e).replaceAll("\n", " | "));
    }
  }
  process.exit(failed ? 1 : 0);
})();
