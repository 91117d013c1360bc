import os

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", OTEL_SDK_DISABLED="true", CREWAI_TRACING_ENABLED="false")
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, PERSON, QUESTION, WEATHER, Weather, case, check, run

WHERE = {"model": "openai/" + MODEL, "base_url": BASE, "api_key": KEY}
weather = Weather()


class Person(BaseModel):
    name: str
    age: int


@tool("get_weather")
def get_weather(city: str) -> str:
    """The weather in a city"""
    return weather(city)


def kickoff(text, tools=(), **more):
    agent = Agent(role="Helper", goal="Answer questions", backstory="You answer briefly.", llm=LLM(**WHERE), tools=list(tools), max_iter=4)
    return Crew(agents=[agent], tasks=[Task(description=text, expected_output="One sentence", agent=agent, **more)]).kickoff()


@case("LLM call")
def _():
    check(LLM(**WHERE).call(QUESTION))


@case("streamed LLM call")
def _():
    check(LLM(**WHERE, stream=True).call(QUESTION))


@case("crew")
def _():
    check(kickoff(QUESTION).raw)


@case("crew with a tool")
def _():
    got = kickoff(WEATHER, [get_weather])
    weather.called()
    check(got.raw)


@case("crew with output_pydantic")
def _():
    check(kickoff(PERSON, output_pydantic=Person).pydantic.name)


run()
