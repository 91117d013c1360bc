from ag2 import Agent
from ag2.config import OpenAIConfig
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, PERSON, QUESTION, WEATHER, Weather, case, check, run


class Person(BaseModel):
    name: str
    age: int


def config(**more):
    return OpenAIConfig(model=MODEL, base_url=BASE, api_key=KEY, **more)


@case("agent")
async def _():
    reply = await Agent("helper", prompt="You are a helpful assistant.", config=config()).ask(QUESTION)
    check(reply.body)
    check((await reply.ask("Which of them is the warmest?")).body)


@case("streamed agent")
async def _():
    check((await Agent("helper", config=config(streaming=True)).ask(QUESTION)).body)


@case("tool loop")
async def _():
    weather = Weather()

    def get_weather(city: str) -> str:
        """The weather in a city"""
        return weather(city)

    reply = await Agent("helper", config=config(), tools=[get_weather]).ask(WEATHER)
    weather.called()
    check(reply.body)


@case("structured output")
async def _():
    reply = await Agent("helper", config=config(), response_schema=Person).ask(PERSON)
    check((await reply.content()).name)


run()
