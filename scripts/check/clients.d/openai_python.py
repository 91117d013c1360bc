import json

from openai import OpenAI
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, PERSON, QUESTION, WEATHER, Seen, case, check, run

client = OpenAI(base_url=BASE, api_key=KEY)


class Person(BaseModel):
    name: str
    age: int


def messages(text):
    return [{"role": "user", "content": text}]


@case("chat")
def _():
    check(client.chat.completions.create(model=MODEL, messages=messages(QUESTION)).choices[0].message.content)


@case("streamed chat")
def _():
    stream = client.chat.completions.create(model=MODEL, messages=messages(QUESTION), stream=True)
    check("".join(event.choices[0].delta.content or "" for event in stream if event.choices))


@case("tool loop")
def _():
    tools = [{"type": "function", "function": {"name": "get_weather", "description": "The weather in a city", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
    history = messages(WEATHER)
    answer = client.chat.completions.create(model=MODEL, messages=history, tools=tools).choices[0].message
    if not answer.tool_calls:
        raise Seen("the model called no tool")
    history.append(answer)
    for call in answer.tool_calls:
        city = json.loads(call.function.arguments)["city"]
        history.append({"role": "tool", "tool_call_id": call.id, "content": f"It is 17 degrees and raining in {city}."})
    again = client.chat.completions.create(model=MODEL, messages=history, tools=tools).choices[0].message
    if again.tool_calls:
        return "given the result, the model calls the tool again"
    check(again.content)


@case("structured output")
def _():
    got = client.chat.completions.parse(model=MODEL, messages=messages(PERSON), response_format=Person).choices[0].message.parsed
    check(got.name)


@case("responses")
def _():
    check(client.responses.create(model=MODEL, input=QUESTION).output_text)
    with client.responses.stream(model=MODEL, input=QUESTION) as stream:
        for _ in stream:
            pass
        check(stream.get_final_response().output_text)


@case("embeddings")
def _():
    got = client.embeddings.create(model=MODEL, input=["red", "blue"]).data
    assert len(got) == 2 and len(got[0].embedding) > 10


run()
