import ollama
from pydantic import BaseModel

from cases import KEY, MODEL, PERSON, QUESTION, ROOT, WEATHER, Weather, case, check, run

client = ollama.Client(host=ROOT, headers={"Authorization": "Bearer " + KEY}, timeout=600)


class Person(BaseModel):
    name: str
    age: int


def user(text):
    return {"role": "user", "content": text}


@case("chat")
def _():
    check(client.chat(model=MODEL, messages=[user(QUESTION)]).message.content)


@case("streamed chat")
def _():
    parts = list(client.chat(model=MODEL, messages=[user(QUESTION)], stream=True))
    check("".join(part.message.content for part in parts))
    assert parts[-1].done and len(parts) > 2, parts


@case("tool loop")
def _():
    weather = Weather()

    def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
          city: Name of the city
        """
        return weather(city)

    messages = [user(WEATHER)]
    for _ in range(4):
        message = client.chat(model=MODEL, messages=messages, tools=[get_weather]).message
        messages.append(message)
        if not message.tool_calls:
            break
        for call in message.tool_calls:
            messages.append({"role": "tool", "tool_name": call.function.name, "content": get_weather(**call.function.arguments)})
    weather.called()
    if message.tool_calls:
        return "given the result, the model calls the tool again"
    check(message.content)


@case("structured output")
def _():
    got = client.chat(model=MODEL, messages=[user(PERSON)], format=Person.model_json_schema())
    check(Person.model_validate_json(got.message.content).name)


@case("generate")
def _():
    check(client.generate(model=MODEL, prompt=QUESTION).response)


@case("embeddings")
def _():
    assert len(client.embed(model=MODEL, input=["red", "blue"]).embeddings) == 2


@case("list and show")
def _():
    names = [model.model for model in client.list().models]
    assert any(name.startswith(MODEL) for name in names), names
    assert "completion" in client.show(MODEL).capabilities


run()
