from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, PERSON, QUESTION, WEATHER, Weather, case, check, run

set_tracing_disabled(True)


class Person(BaseModel):
    name: str
    age: int


def models():
    client = AsyncOpenAI(base_url=BASE, api_key=KEY)  # of this event loop
    return {"responses": OpenAIResponsesModel(MODEL, client), "chat completions": OpenAIChatCompletionsModel(MODEL, client)}


def add(kind):
    @case(f"{kind} agent")
    async def _():
        check((await Runner.run(Agent("a", instructions="Answer in one sentence.", model=models()[kind]), QUESTION)).final_output)

    @case(f"{kind} streamed")
    async def _():
        result = Runner.run_streamed(Agent("a", model=models()[kind]), QUESTION)
        kinds = {event.type async for event in result.stream_events()}
        assert "raw_response_event" in kinds, kinds
        check(result.final_output)

    @case(f"{kind} tool loop")
    async def _():
        weather = Weather()

        @function_tool
        def get_weather(city: str) -> str:
            """The weather in a city"""
            return weather(city)

        result = await Runner.run(Agent("a", tools=[get_weather], model=models()[kind]), WEATHER, max_turns=6)
        weather.called()
        check(result.final_output)

    @case(f"{kind} output type")
    async def _():
        check((await Runner.run(Agent("a", output_type=Person, model=models()[kind]), PERSON)).final_output.name)


add("responses")
add("chat completions")
run()
