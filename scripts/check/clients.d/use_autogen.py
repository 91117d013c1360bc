from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, PERSON, QUESTION, WEATHER, Weather, case, check, run

INFO = {"vision": False, "function_calling": True, "json_output": True, "structured_output": True, "family": "unknown"}


class Person(BaseModel):
    name: str
    age: int


def client():
    return OpenAIChatCompletionClient(model=MODEL, base_url=BASE, api_key=KEY, model_info=INFO)


@case("agent")
async def _():
    check((await AssistantAgent("helper", client()).run(task=QUESTION)).messages[-1].content)


@case("streamed agent")
async def _():
    kinds = {type(event).__name__ async for event in AssistantAgent("helper", client(), model_client_stream=True).run_stream(task=QUESTION)}
    assert "ModelClientStreamingChunkEvent" in kinds, kinds


@case("tool loop")
async def _():
    weather = Weather()

    async def get_weather(city: str) -> str:
        """The weather in a city"""
        return weather(city)

    agent = AssistantAgent("helper", client(), tools=[get_weather], reflect_on_tool_use=True)
    got = await agent.run(task=WEATHER)
    weather.called()
    check(got.messages[-1].content)


@case("structured output")
async def _():
    got = await AssistantAgent("helper", client(), output_content_type=Person).run(task=PERSON)
    check(got.messages[-1].content.name)


run()
