from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from cases import BASE, KEY, MODEL, PERSON, QUESTION, WEATHER, Weather, case, check, run


class Person(BaseModel):
    name: str
    age: int


def model(kind=OpenAIChatModel):
    return kind(MODEL, provider=OpenAIProvider(base_url=BASE, api_key=KEY))


@case("agent")
async def _():
    check((await Agent(model()).run(QUESTION)).output)


@case("streamed agent")
async def _():
    async with Agent(model()).run_stream(QUESTION) as result:
        check("".join([piece async for piece in result.stream_text(delta=True)]))


@case("tool loop")
async def _():
    weather = Weather()
    agent = Agent(model())

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather in a city"""
        return weather(city)

    result = await agent.run(WEATHER)
    weather.called()
    check(result.output)


@case("output by a tool")
async def _():
    check((await Agent(model(), output_type=Person).run(PERSON)).output.name)


@case("output by a schema")
async def _():
    check((await Agent(model(), output_type=NativeOutput(Person)).run(PERSON)).output.name)


@case("output by a prompt")
async def _():
    check((await Agent(model(), output_type=PromptedOutput(Person)).run(PERSON)).output.name)


@case("responses")
async def _():
    check((await Agent(model(OpenAIResponsesModel)).run(QUESTION)).output)


run()
