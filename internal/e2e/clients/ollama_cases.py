"""The cases of ollama_cases.txt with ollama, the official Python client. BASE_URL, LIMITED_URL and API_KEY select the servers, as for
cases.py. MODEL replaces the default model."""

import asyncio
import json
import os

import ollama
from pydantic import BaseModel

from harness import case, main

MODEL = os.environ.get("MODEL", "smollm2-135m-instruct")
KEY = os.environ["API_KEY"]
URL = os.environ["BASE_URL"].removesuffix("/v1")
HEADERS = {"Authorization": "Bearer " + KEY}
client = ollama.Client(host=URL, headers=HEADERS, timeout=300)

QUESTION = [{"role": "user", "content": "Name three colours."}]

def ask(messages=QUESTION, options=None, **more):
    return client.chat(model=MODEL, messages=messages, options={"seed": 7, "num_predict": 16, **(options or {})}, **more)


def get_weather(city: str, unit: str) -> str:
    """The weather in a city.

    Args:
      city: Name of the city
      unit: C or F
    """
    return "18 degrees"


def refused(status, call, says):
    try:
        call()
    except ollama.ResponseError as e:
        assert e.status_code == status and says in e.error, (e.status_code, e.error)
        return e
    raise AssertionError("not refused")


@case("chat")
def _():
    got = ask()
    assert got.message.role == "assistant" and got.message.content and got.done and got.done_reason in ("stop", "length"), got
    assert got.model.startswith(MODEL.split("@")[0]) and got.eval_count > 1 and got.prompt_eval_count > 5, got
    assert 0 < got.eval_duration < got.total_duration and got.created_at, got


@case("chat.stream")
def _():
    parts = list(ask(stream=True))
    assert len(parts) > 2 and parts[-1].done and not any(part.done for part in parts[:-1]), parts
    assert "".join(part.message.content for part in parts) == ask().message.content, parts
    assert parts[-1].eval_count == ask().eval_count, parts[-1]


@case("chat.options")
def _():
    got = [ask(options={"temperature": 0.7, "top_p": 0.9, "top_k": 20, "min_p": 0.05, "repeat_penalty": 1.2, "repeat_last_n": 32, "num_thread": 2}).message.content for _ in range(2)]
    assert got[0] == got[1] != "", got
    greedy = [client.chat(model=MODEL, messages=QUESTION, options=ollama.Options(temperature=0, num_predict=16, seed=seed)).message.content for seed in (7, 8)]
    assert greedy[0] == greedy[1] != "", greedy


@case("chat.stop")
def _():
    whole = ask(options={"temperature": 0, "num_predict": 24}).message.content
    stop = whole[5:8]
    got = ask(options={"temperature": 0, "num_predict": 24, "stop": ["never to be said", stop]})
    assert got.message.content == whole[: whole.index(stop)] and got.done_reason == "stop", (whole, got)


@case("chat.num_predict")
def _():
    got = ask(options={"num_predict": 3})
    assert got.eval_count == 3 and got.done_reason == "length", got


@case("chat.num_ctx")
def _():
    size = ask(options={"num_predict": 1}).prompt_eval_count
    got = ask(options={"num_ctx": size + 2})
    assert got.eval_count == 2 and got.done_reason == "length", got
    assert ask(options={"num_ctx": 1 << 20}).message.content == ask().message.content
    refused(400, lambda: ask(options={"num_ctx": size}), "num_ctx")


@case("chat.seed")
def _():
    texts = {ask(options={"seed": seed, "temperature": 1.5}).message.content for seed in (1, 2, 3)}
    assert len(texts) > 1, texts


@case("chat.logprobs")
def _():
    got = ask(logprobs=True, top_logprobs=2)
    assert len(got.logprobs) >= got.eval_count - 1 and len(got.logprobs[0].top_logprobs) == 2 and got.logprobs[0].logprob <= 0, got


@case("chat.think")
def _():
    assert ask(think=False).message.content
    refused(400, lambda: ask(think=True), "does not support thinking")


@case("chat.load")
def _():
    got = client.chat(model=MODEL + ":latest", messages=[], keep_alive="10m")
    assert got.done_reason == "load" and got.message.content == "", got


@case("tools")
def _():
    got = ask(messages=[{"role": "user", "content": "What is the weather in Rome? Use the function."}], tools=[get_weather], options={"num_predict": 100})
    # A small model may answer in words. Calls, if there are any, are whole.
    for call in got.message.tool_calls or []:
        assert call.function.name == "get_weather" and set(call.function.arguments) <= {"city", "unit"}, got
    assert got.message.content or got.message.tool_calls or got.done_reason == "length", got


@case("tools.stream")
def _():
    asked = dict(messages=[{"role": "user", "content": "What is the weather in Rome? Use the function."}], tools=[get_weather], options={"num_predict": 100})
    parts, whole = list(ask(stream=True, **asked)), ask(**asked)
    calls = [call.function for part in parts for call in part.message.tool_calls or []]
    assert calls == [call.function for call in whole.message.tool_calls or []], (parts, whole)
    assert "".join(part.message.content or "" for part in parts) == whole.message.content, (parts, whole)


@case("tools.result")
def _():
    call = {"function": {"name": "get_weather", "arguments": {"city": "Rome", "unit": "C"}}}
    turns = QUESTION + [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "tool_name": "get_weather", "content": "18 degrees"}]
    assert ask(messages=turns).message.content


@case("format.json")
def _():
    got = ask(format="json", options={"num_predict": 200, "repeat_penalty": 1.3})
    if got.done_reason == "stop":
        assert isinstance(json.loads(got.message.content), dict), got
    assert got.message.content.lstrip().startswith("{"), got


@case("format.schema")
def _():
    class Colour(BaseModel):
        red: bool
        green: bool

    got = ask(format=Colour.model_json_schema(), options={"num_predict": 100})
    Colour.model_validate_json(got.message.content)


@case("generate")
def _():
    got = client.generate(model=MODEL, prompt="Name three colours.", options={"seed": 7, "num_predict": 16})
    assert got.response == ask().message.content and got.done and got.context, got


@case("generate.stream")
def _():
    parts = list(client.generate(model=MODEL, prompt="Name three colours.", options={"seed": 7, "num_predict": 16}, stream=True))
    assert "".join(part.response for part in parts) == ask().message.content and parts[-1].context, parts


@case("generate.system")
def _():
    told = client.generate(model=MODEL, prompt="Name three colours.", system="Answer in French.", options={"num_predict": 1})
    plain = client.generate(model=MODEL, prompt="Name three colours.", options={"num_predict": 1})
    assert told.prompt_eval_count != plain.prompt_eval_count, (told, plain)


@case("generate.raw")
def _():
    got = client.generate(model=MODEL, prompt="One, two, three, four,", raw=True, options={"temperature": 0, "num_predict": 4, "repeat_penalty": 1})
    assert "five" in got.response and not got.context, got


@case("generate.context")
def _():
    first = client.generate(model=MODEL, prompt="My name is Ada.", options={"seed": 7, "num_predict": 16})
    again = client.generate(model=MODEL, prompt="Hello", context=first.context, options={"num_predict": 1})
    alone = client.generate(model=MODEL, prompt="Hello", options={"num_predict": 1})
    assert again.prompt_eval_count > len(first.context) and again.prompt_eval_count > alone.prompt_eval_count, (first, again)


@case("generate.suffix")
def _():
    refused(400, lambda: client.generate(model=MODEL, prompt="def f(", suffix="return 1"), "does not support insert")


@case("embed")
def _():
    got = client.embed(model=MODEL, input=["a dog", "a puppy", "tax law"])
    dot = lambda a, b: sum(x * y for x, y in zip(a, b))
    a, b, c = got.embeddings
    assert abs(dot(a, a) - 1) < 1e-3 and dot(a, b) > dot(a, c), (dot(a, b), dot(a, c))
    assert len(client.embed(model=MODEL, input="word " * 5000).embeddings) == 1


@case("embeddings")
def _():
    assert list(client.embeddings(model=MODEL, prompt="a dog").embedding) == list(client.embed(model=MODEL, input="a dog").embeddings[0])


@case("list")
def _():
    models = client.list().models
    assert any(model.model == MODEL + ":latest" for model in models), models
    assert models[0].details.format == "gguf" and models[0].details.family == "llama" and models[0].size > 0 and models[0].modified_at, models


@case("show")
def _():
    got = client.show(MODEL)
    assert got.template and "completion" in got.capabilities and got.modelinfo["llama.context_length"] == 2048, got
    assert got.details.quantization_level == "Q4_1" and got.details.parameter_size == "134.52M", got.details


@case("ps")
def _():
    client.chat(model=MODEL, messages=[])
    assert any(model.model.startswith(MODEL) and model.context_length == 2048 for model in client.ps().models), client.ps()


@case("pull")
def _():
    assert client.pull(MODEL).status == "success"
    assert [part.status for part in client.pull(MODEL, stream=True)] == ["success"]


@case("async")
def _():
    async def run():
        there = ollama.AsyncClient(host=URL, headers=HEADERS)
        parts = []
        async for part in await there.chat(model=MODEL, messages=QUESTION, options={"seed": 7, "num_predict": 16}, stream=True):
            parts.append(part.message.content)
        return "".join(parts)

    assert asyncio.run(run()) == ask().message.content


@case("error.400")
def _():
    refused(400, lambda: ask(options={"temperature": 3}), "options.temperature")
    refused(400, lambda: ask(options={"mirostat": 2}), "options.mirostat")


@case("error.image")
def _():
    refused(400, lambda: ask(messages=[{"role": "user", "content": "a", "images": [b"hi"]}]), "reads text alone")


@case("error.context")
def _():
    refused(400, lambda: ask(messages=[{"role": "user", "content": "word " * 20000}]), "prompt is too long")


@case("error.401")
def _():
    refused(401, lambda: ollama.Client(host=URL).chat(model=MODEL, messages=QUESTION), "API key")


@case("error.404")
def _():
    refused(404, lambda: client.chat(model="llama3.2", messages=QUESTION), "llama3.2")


@case("error.429")
def _():
    limited = ollama.Client(host=os.environ["LIMITED_URL"].removesuffix("/v1"), headers=HEADERS)
    limited.chat(model=MODEL, messages=[])
    refused(429, lambda: limited.chat(model=MODEL, messages=[]), "per minute")


@case("error.pull")
def _():
    refused(501, lambda: client.pull("llama3.2"), "--model hf:")


if __name__ == "__main__":
    main()
