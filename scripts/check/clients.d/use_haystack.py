import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
from haystack.components.agents import Agent
from haystack.components.embedders import OpenAITextEmbedder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import tool
from haystack.utils import Secret
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, PERSON, QUESTION, WEATHER, Weather, case, check, run

WHERE = {"api_key": Secret.from_token(KEY), "model": MODEL, "api_base_url": BASE}
weather = Weather()


class Person(BaseModel):
    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """The weather in a city"""
    return weather(city)


@case("chat")
def _():
    check(OpenAIChatGenerator(**WHERE).run([ChatMessage.from_user(QUESTION)])["replies"][0].text)


@case("streamed chat")
def _():
    pieces = []
    OpenAIChatGenerator(**WHERE, streaming_callback=lambda piece: pieces.append(piece.content)).run([ChatMessage.from_user(QUESTION)])
    check("".join(pieces))


@case("agent with a tool")
def _():
    got = Agent(chat_generator=OpenAIChatGenerator(**WHERE), tools=[get_weather], max_agent_steps=5).run([ChatMessage.from_user(WEATHER)])
    weather.called()
    check(got["messages"][-1].text)


@case("structured output")
def _():
    got = OpenAIChatGenerator(**WHERE, generation_kwargs={"response_format": Person}).run([ChatMessage.from_user(PERSON)])
    check(Person.model_validate_json(got["replies"][0].text).name)


@case("embeddings")
def _():
    assert len(OpenAITextEmbedder(**WHERE).run("red")["embedding"]) > 10


run()
