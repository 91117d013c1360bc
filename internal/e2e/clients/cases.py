"""The cases of cases.txt with openai-python. BASE_URL, LIMITED_URL and API_KEY select the servers. An argument selects the cases
whose names begin with it.

With PLAIN set, the cases ignore variant names, headers and error codes, so that they can run against other servers
(docs/use/clients.md)."""

import base64
import json
import os
import struct

import openai

from harness import case, main

MODEL = "smollm2-135m-instruct"
KEY = os.environ["API_KEY"]
PLAIN = bool(os.environ.get("PLAIN"))
client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key=KEY, max_retries=0, timeout=300)

QUESTION = [{"role": "user", "content": "Name three colours."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 12}, "unit": {"type": "string", "enum": ["C", "F"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time"}}
FLAT = {"type": "function", **WEATHER["function"]}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

def chat(**more):
    return client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, "max_tokens": 16, "seed": 7, **more})


def check_weather(call):
    assert call.function.name == "get_weather" and call.id, call
    arguments = json.loads(call.function.arguments)
    assert set(arguments) == {"city", "unit"} and arguments["unit"] in ("C", "F"), arguments


def check_person(text):
    person = json.loads(text)
    assert set(person) == {"name", "age"} and 0 <= person["age"] <= 120, person


def refused(kind, status, call, param=None, code=None):
    try:
        call()
    except kind as e:
        assert e.status_code == status, e.status_code
        assert PLAIN or param is None or e.param == param, e.param
        assert PLAIN or code is None or e.code == code, e.code
        return e
    raise AssertionError("not refused")


@case("models.list")
def _():
    assert PLAIN and client.models.list().data or client.models.list().data[0].id.startswith(MODEL)


@case("models.retrieve")
def _():
    assert client.models.retrieve(MODEL + "@0").id == MODEL + "@0"


@case("chat")
def _():
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION, max_completion_tokens=16, seed=7)
    answer = raw.parse()
    assert answer.choices[0].message.content
    assert PLAIN or answer.model == MODEL + "@0" == raw.headers["x-prunellm-variant"]
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details.cached_tokens >= 0 and answer.system_fingerprint and answer.created


@case("chat.parts")
def _():
    parts = [{"type": "text", "text": "Name three"}, {"type": "text", "text": "colours."}]
    assert chat(messages=[{"role": "user", "content": parts}]).choices[0].message.content


@case("chat.developer")
def _():
    assert chat(messages=[{"role": "developer", "content": "Be brief."}] + QUESTION).choices[0].message.content


@case("chat.stream")
def _():
    text, usage = "", None
    for chunk in chat(stream=True, stream_options={"include_usage": True}):
        if chunk.choices and chunk.choices[0].delta.content:
            text += chunk.choices[0].delta.content
        usage = chunk.usage or usage
    assert text == chat().choices[0].message.content, text
    assert usage.completion_tokens > 0


@case("chat.n")
def _():
    answer = chat(n=3, temperature=1.5)
    texts = [c.message.content for c in answer.choices]
    assert len(set(texts)) > 1 and [c.index for c in answer.choices] == [0, 1, 2], texts
    assert answer.usage.completion_tokens > 16


@case("chat.seed")
def _():
    assert chat(temperature=1).choices[0].message.content == chat(temperature=1).choices[0].message.content


@case("chat.stop")
def _():
    whole = chat(temperature=0).choices[0].message.content
    cut = chat(temperature=0, stop=[whole[8:12]])
    assert cut.choices[0].message.content == whole[: whole.index(whole[8:12])] and cut.choices[0].finish_reason == "stop"


@case("chat.length")
def _():
    answer = chat(max_tokens=3)
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 3


@case("chat.sampling")
def _():
    assert chat(temperature=0.7, top_p=0.9, presence_penalty=0.5, frequency_penalty=-0.5).choices[0].message.content


@case("chat.logit_bias")
def _():
    # Token 198 is a line break.
    assert chat(logit_bias={"198": 100}, max_tokens=3).choices[0].message.content == "\n\n\n"


@case("chat.logprobs")
def _():
    tokens = chat(logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert tokens and all(len(t.top_logprobs) == 3 and t.logprob <= 0 and t.bytes for t in tokens)


@case("chat.metadata")
def _():
    assert chat(metadata={"a": "b"}, user="somebody").choices[0].message.content


@case("chat.extensions")
def _():
    extra = {"top_k": 5, "min_p": 0.05, "repetition_penalty": 1.1, "ignore_eos": True}
    assert chat(extra_body=extra).usage.completion_tokens == 16


@case("chat.grammar")
def _():
    assert chat(extra_body={"grammar": 'root ::= "yes" | "no"'}).choices[0].message.content in ("yes", "no")


@case("chat.json_object")
def _():
    answer = chat(response_format={"type": "json_object"}, max_tokens=200, temperature=0)
    text = answer.choices[0].message.content
    assert text.lstrip().startswith("{")
    if answer.choices[0].finish_reason == "stop":
        json.loads(text)


@case("chat.json_schema")
def _():
    schema = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}
    check_person(chat(response_format=schema, max_tokens=100).choices[0].message.content)


@case("tools.required")
def _():
    choice = chat(tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=100).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None and len(choice.message.tool_calls) == 1
    check_weather(choice.message.tool_calls[0])


@case("tools.named")
def _():
    choice = chat(
        tools=[CLOCK, WEATHER], tool_choice={"type": "function", "function": {"name": "get_weather"}}, parallel_tool_calls=False, max_tokens=100
    ).choices[0]
    check_weather(choice.message.tool_calls[0])


@case("tools.none")
def _():
    choice = chat(tools=[WEATHER], tool_choice="none").choices[0]
    assert choice.message.content and not choice.message.tool_calls


@case("tools.parallel")
def _():
    calls = chat(tools=[WEATHER], tool_choice="required", max_tokens=150).choices[0].message.tool_calls
    assert len(calls) >= 1 and len({c.id for c in calls}) == len(calls)
    check_weather(calls[0])


@case("tools.result")
def _():
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome", "unit": "C"}'}}
    history = QUESTION + [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"},
    ]
    assert chat(messages=history, tools=[WEATHER], tool_choice="auto").choices[0].message.role == "assistant"


@case("tools.stream")
def _():
    ids, name, arguments, finish = [], "", "", ""
    for chunk in chat(tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=100, stream=True):
        choice = chunk.choices[0]
        for delta in choice.delta.tool_calls or []:
            assert delta.index == 0
            ids += [delta.id] if delta.id else []
            name += delta.function.name or ""
            arguments += delta.function.arguments or ""
        finish = choice.finish_reason or finish
    assert len(ids) == 1 and name == "get_weather" and finish == "tool_calls" and "city" in json.loads(arguments)


@case("completions")
def _():
    answer = client.completions.create(model=MODEL, prompt=["One, two,", "Red, green,"], max_tokens=8, seed=7)
    assert [c.index for c in answer.choices] == [0, 1] and all(c.text for c in answer.choices)


@case("completions.stream")
def _():
    text = "".join(c.choices[0].text for c in client.completions.create(model=MODEL, prompt="One, two,", max_tokens=8, seed=7, stream=True))
    assert text == client.completions.create(model=MODEL, prompt="One, two,", max_tokens=8, seed=7).choices[0].text


@case("completions.echo")
def _():
    choice = client.completions.create(model=MODEL, prompt="One, two, three", echo=True, logprobs=1, max_tokens=0).choices[0]
    assert choice.text == "One, two, three" == "".join(choice.logprobs.tokens)
    assert choice.logprobs.token_logprobs[0] is None and all(p <= 0 for p in choice.logprobs.token_logprobs[1:])


@case("embeddings.float")
def _():
    vectors = client.embeddings.create(model=MODEL, input=["red", "blue"], encoding_format="float").data
    assert len(vectors) == 2 and abs(sum(x * x for x in vectors[0].embedding) - 1) < 1e-3


@case("embeddings.base64")
def _():
    # By default the client requests base64 and decodes it.
    unpacked = client.embeddings.create(model=MODEL, input="red").data[0].embedding
    packed = client.embeddings.create(model=MODEL, input="red", encoding_format="base64").data[0].embedding
    raw = base64.b64decode(packed) if isinstance(packed, str) else struct.pack(f"<{len(packed)}f", *packed)
    assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == list(unpacked)


@case("responses")
def _():
    answer = client.responses.create(model=MODEL, input="Name three colours.", instructions="Be brief.", max_output_tokens=16)
    assert answer.output_text and answer.usage.total_tokens > 16 and answer.status in ("completed", "incomplete")


@case("responses.stream")
def _():
    text, kinds = "", []
    for event in client.responses.create(model=MODEL, input=[{"role": "user", "content": "Name three colours."}], max_output_tokens=16, stream=True):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
    assert kinds[0] == "response.created" and event.response.output_text == text != ""


@case("responses.tools")
def _():
    first = client.responses.create(
        model=MODEL, input="Weather in Rome?", tools=[FLAT], tool_choice="required", parallel_tool_calls=False, max_output_tokens=100
    )
    call = first.output[0]
    assert call.type == "function_call" and "city" in json.loads(call.arguments)
    history = [{"role": "user", "content": "Weather in Rome?"}, call.to_dict(), {"type": "function_call_output", "call_id": call.call_id, "output": "21"}]
    assert client.responses.create(model=MODEL, input=history, tools=[FLAT], max_output_tokens=16).output


@case("responses.json_schema")
def _():
    text = {"format": {"type": "json_schema", "name": "person", "strict": True, "schema": PERSON}}
    check_person(client.responses.create(model=MODEL, input="Describe a person.", text=text, max_output_tokens=100).output_text)


@case("error.401")
def _():
    other = client.with_options(api_key="wrong")
    refused(openai.AuthenticationError, 401, lambda: other.models.list(), code="invalid_api_key")


@case("error.404")
def _():
    refused(openai.NotFoundError, 404, lambda: chat(model="gpt-x"), param="model", code="model_not_found")


@case("error.400")
def _():
    refused(openai.BadRequestError, 400, lambda: chat(temperature=3), param="temperature")


@case("error.context")
def _():
    long = [{"role": "user", "content": "word " * 5000}]
    refused(openai.BadRequestError, 400, lambda: chat(messages=long), param="messages", code="context_length_exceeded")


@case("error.schema")
def _():
    hopeless = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}, "required": ["a"]}}}
    refused(openai.BadRequestError, 400, lambda: chat(response_format=hopeless), param="response_format", code="invalid_json_schema")


@case("error.image")
def _():
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    refused(openai.BadRequestError, 400, lambda: chat(messages=[{"role": "user", "content": parts}]), param="messages[0].content[0].type")


@case("error.413")
def _():
    refused(openai.APIStatusError, 413, lambda: chat(messages=[{"role": "user", "content": "x" * (9 << 20)}]))


@case("error.429")
def _():
    limited = openai.OpenAI(base_url=os.environ["LIMITED_URL"], api_key=KEY, max_retries=0)
    ask = lambda: limited.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=1)
    ask()
    e = refused(openai.RateLimitError, 429, ask, code="rate_limit_exceeded")
    assert int(e.response.headers["retry-after"]) >= 1


if __name__ == "__main__":
    main()
