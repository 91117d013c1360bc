"""The cases of anthropic_cases.txt with anthropic, the official Python client. BASE_URL, LIMITED_URL and API_KEY select the
servers, as for cases.py. MODEL replaces the default model."""

import json
import os

import anthropic

from harness import case, main

MODEL = os.environ.get("MODEL", "smollm2-135m-instruct")
KEY = os.environ["API_KEY"]
URL = os.environ["BASE_URL"].removesuffix("/v1")
client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=300)

QUESTION = [{"role": "user", "content": "Name three colours."}]
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "unit": {"type": "string", "enum": ["C", "F"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
    "strict": True,
}
CLOCK = {"name": "get_time", "input_schema": {"type": "object", "properties": {}, "additionalProperties": False}}

def arguments(**more):
    # The client has no arguments for older fields of the API and for fields of this server.
    extra = {name: more.pop(name) for name in ("temperature", "top_p", "top_k", "ignore_eos") if name in more}
    return {"model": MODEL, "messages": QUESTION, "max_tokens": 16, "extra_body": {"seed": 7, **extra}, **more}


def ask(**more):
    return client.messages.create(**arguments(**more))


def text(message):
    return "".join(block.text for block in message.content if block.type == "text")


def check_weather(block):
    assert block.type == "tool_use" and block.name == "get_weather" and block.id.startswith("toolu_"), block
    assert set(block.input) == {"city", "unit"} and block.input["unit"] in ("C", "F"), block


def refused(kind, status, call, says):
    try:
        call()
    except kind as e:
        assert e.status_code == status, e.status_code
        assert e.body["type"] == "error" and says in e.body["error"]["message"], e.body
        assert e.request_id and e.body["request_id"] == e.request_id, (e.request_id, e.body)
        return e
    raise AssertionError("not refused")


@case("messages")
def _():
    got = ask()
    assert got.type == "message" and got.role == "assistant" and got.model.startswith(MODEL.split("@")[0]), got
    assert text(got) and got.stop_reason in ("end_turn", "max_tokens") and got._request_id, got
    assert got.usage.output_tokens > 0 and got.usage.input_tokens + got.usage.cache_read_input_tokens > 5, got.usage


@case("messages.system")
def _():
    plain, told = ask(max_tokens=1), ask(max_tokens=1, system=[{"type": "text", "text": "Answer in French."}])
    size = lambda m: m.usage.input_tokens + m.usage.cache_read_input_tokens
    assert size(told) != size(plain), (told.usage, plain.usage)


@case("messages.max_tokens")
def _():
    got = ask(max_tokens=3, ignore_eos=True)
    assert got.stop_reason == "max_tokens" and got.usage.output_tokens == 3, got


@case("messages.stop_sequences")
def _():
    whole = text(ask(temperature=0, max_tokens=24))
    stop = whole[5:8]
    got = ask(temperature=0, max_tokens=24, stop_sequences=["never to be said", stop])
    assert got.stop_reason == "stop_sequence" and got.stop_sequence == stop, got
    assert text(got) == whole[: whole.index(stop)], (whole, got)


@case("messages.sampling")
def _():
    got = [text(ask(temperature=0.7, top_p=0.9, top_k=20, metadata={"user_id": "u"}, service_tier="auto")) for _ in range(2)]
    assert got[0] == got[1] != "", got


@case("messages.cache")
def _():
    long = [{"role": "user", "content": "Say hello to " + ", ".join(f"number {i}" for i in range(150))}]
    ask(messages=long, max_tokens=1)
    again = ask(messages=long, max_tokens=1).usage
    assert again.cache_read_input_tokens > 300 and again.input_tokens < 50, again


@case("messages.hints")
def _():
    got = client.beta.messages.create(
        **arguments(betas=["some-beta-2030-01-01"], thinking={"type": "adaptive"}, output_config={"effort": "low"}, context_management={"edits": []})
    )
    assert got.content, got


@case("messages.stream")
def _():
    with client.messages.stream(**arguments()) as stream:
        pieces = list(stream.text_stream)
        got = stream.get_final_message()
    assert "".join(pieces) == text(got) == text(ask()), (pieces, got)
    assert len(pieces) > 1 and got.stop_reason and got.usage.output_tokens > 1, got


@case("messages.events")
def _():
    kinds = [event.type for event in client.messages.create(**arguments(), stream=True)]
    assert kinds[:2] == ["message_start", "content_block_start"], kinds
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"], kinds
    assert set(kinds[2:-3]) == {"content_block_delta"}, kinds


@case("tools.any")
def _():
    got = ask(tools=[WEATHER, CLOCK], tool_choice={"type": "any", "disable_parallel_tool_use": True}, max_tokens=100)
    calls = [block for block in got.content if block.type == "tool_use"]
    assert len(calls) == 1 and got.stop_reason == "tool_use" and isinstance(calls[0].input, dict), got


@case("tools.named")
def _():
    got = ask(tools=[WEATHER, CLOCK], tool_choice={"type": "tool", "name": "get_weather"}, max_tokens=100)
    assert len(got.content) == 1 and got.stop_reason == "tool_use", got
    check_weather(got.content[0])


@case("tools.stream")
def _():
    asked = arguments(tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"}, max_tokens=100)
    pieces = []
    with client.messages.stream(**asked) as stream:
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                pieces.append(event.delta.partial_json)
        got = stream.get_final_message()
    check_weather(got.content[0])
    assert json.loads("".join(pieces)) == got.content[0].input and len(pieces) > 1, (pieces, got)


@case("tools.none")
def _():
    got = ask(tools=[WEATHER], tool_choice={"type": "none"})
    assert all(block.type == "text" for block in got.content), got


@case("tools.result")
def _():
    call = ask(tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"}, max_tokens=100)
    result = {"type": "tool_result", "tool_use_id": call.content[0].id, "content": [{"type": "text", "text": "18 degrees"}]}
    turns = QUESTION + [{"role": "assistant", "content": call.content}, {"role": "user", "content": [result, {"type": "text", "text": "So?"}]}]
    got = ask(messages=turns, tools=[WEATHER], tool_choice={"type": "none"})
    assert text(got), got


@case("tools.server")
def _():
    got = client.messages.with_raw_response.create(**arguments(tools=[{"type": "web_search_20250305", "name": "web_search"}]))
    assert got.headers["x-prunellm-skipped-tools"] == "web_search_20250305", got.headers
    assert text(got.parse())


@case("format")
def _():
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 120}}, "required": ["age"], "additionalProperties": False}
    got = ask(output_config={"format": {"type": "json_schema", "schema": schema}}, max_tokens=40)
    assert 0 <= json.loads(text(got))["age"] <= 120, got


@case("count_tokens")
def _():
    got = client.messages.count_tokens(model=MODEL, messages=QUESTION, system="Be brief.", tools=[WEATHER])
    used = ask(system="Be brief.", tools=[WEATHER], max_tokens=1).usage
    assert got.input_tokens == used.input_tokens + used.cache_read_input_tokens, (got, used)


@case("models")
def _():
    assert any(model.id.startswith(MODEL.split("@")[0]) for model in client.models.list())


@case("bearer")
def _():
    assert anthropic.Anthropic(base_url=URL, api_key=None, auth_token=KEY, max_retries=0).messages.create(**arguments(max_tokens=1)).content is not None


@case("error.400")
def _():
    refused(anthropic.BadRequestError, 400, lambda: ask(temperature=3), "temperature")


@case("error.image")
def _():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    refused(anthropic.BadRequestError, 400, lambda: ask(messages=[{"role": "user", "content": [image]}]), "reads only text")


@case("error.result")
def _():
    refused(anthropic.BadRequestError, 400, lambda: ask(messages=[{"role": "user", "content": [{"type": "tool_result", "content": "a"}]}]), "tool_use_id is missing")


@case("error.context")
def _():
    words = [{"role": "user", "content": "word " * 20000}]
    e = refused(anthropic.BadRequestError, 400, lambda: ask(messages=words), "prompt is too long: ")
    assert "tokens > " in str(e), e


@case("error.401")
def _():
    wrong = anthropic.Anthropic(base_url=URL, api_key="wrong", max_retries=0)
    e = refused(anthropic.AuthenticationError, 401, lambda: wrong.messages.create(**arguments()), "not valid")
    assert e.body["error"]["type"] == "authentication_error", e.body


@case("error.404")
def _():
    e = refused(anthropic.NotFoundError, 404, lambda: ask(model="claude-opus-5"), "claude-opus-5")
    assert e.body["error"]["type"] == "not_found_error", e.body


@case("error.413")
def _():
    large = [{"role": "user", "content": "a" * (9 << 20)}]
    e = refused(anthropic.APIStatusError, 413, lambda: ask(messages=large), "too large")
    assert e.body["error"]["type"] == "request_too_large", e.body


@case("error.429")
def _():
    limited = anthropic.Anthropic(base_url=os.environ["LIMITED_URL"].removesuffix("/v1"), api_key=KEY, max_retries=0)
    limited.messages.create(**arguments(max_tokens=1))
    e = refused(anthropic.RateLimitError, 429, lambda: limited.messages.create(**arguments(max_tokens=1)), "per minute")
    assert e.body["error"]["type"] == "rate_limit_error" and int(e.response.headers["retry-after"]) > 0, e.body


@case("error.stream")
def _():
    refused(anthropic.BadRequestError, 400, lambda: list(ask(stream=True, temperature=3)), "temperature")


if __name__ == "__main__":
    main()
