import json

import litellm
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, PERSON, QUESTION, WEATHER, Seen, case, check, run

WHERE = {"model": "openai/" + MODEL, "api_base": BASE, "api_key": KEY}


class Person(BaseModel):
    name: str
    age: int


def messages(text):
    return [{"role": "user", "content": text}]


@case("chat")
def _():
    check(litellm.completion(**WHERE, messages=messages(QUESTION)).choices[0].message.content)


@case("streamed chat")
async def _():
    pieces = []
    async for event in await litellm.acompletion(**WHERE, messages=messages(QUESTION), stream=True):
        pieces.append(event.choices[0].delta.content or "")
    check("".join(pieces))


@case("tool loop")
def _():
    tools = [{"type": "function", "function": {"name": "get_weather", "description": "The weather in a city", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
    history = messages(WEATHER)
    answer = litellm.completion(**WHERE, messages=history, tools=tools).choices[0].message
    if not answer.tool_calls:
        raise Seen("the model called no tool")
    history.append(answer)
    for call in answer.tool_calls:
        city = json.loads(call.function.arguments)["city"]
        history.append({"role": "tool", "tool_call_id": call.id, "content": f"It is 17 degrees and raining in {city}."})
    again = litellm.completion(**WHERE, messages=history, tools=tools).choices[0].message
    if again.tool_calls:
        return "given the result, the model calls the tool again"
    check(again.content)


@case("structured output")
def _():
    got = litellm.completion(**WHERE, messages=messages(PERSON), response_format=Person).choices[0].message.content
    check(Person.model_validate_json(got).name)


@case("responses")
def _():
    got = litellm.responses(**WHERE, input=QUESTION)
    check(got.output[-1].content[0].text)


@case("embeddings")
def _():
    got = litellm.embedding(**WHERE, input=["red", "blue"]).data
    assert len(got) == 2 and len(got[0]["embedding"]) > 10


@case("error of a long prompt")
def _():
    try:
        litellm.completion(**WHERE, messages=messages("red " * 200_000))
    except litellm.ContextWindowExceededError:
        return
    raise AssertionError("not refused")


run()
