from openai import AsyncOpenAI
from pydantic import BaseModel
from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings, OpenAITextEmbedding
from semantic_kernel.contents import ChatHistory
from semantic_kernel.functions import kernel_function

from cases import BASE, KEY, MODEL, PERSON, QUESTION, WEATHER, Weather, case, check, run


class Person(BaseModel):
    name: str
    age: int


class Plugin:
    def __init__(self):
        self.weather = Weather()

    @kernel_function(description="The weather in a city")
    def get_weather(self, city: str) -> str:
        return self.weather(city)


def service():
    return OpenAIChatCompletion(ai_model_id=MODEL, async_client=AsyncOpenAI(base_url=BASE, api_key=KEY))


def history(text):
    h = ChatHistory()
    h.add_user_message(text)
    return h


@case("chat")
async def _():
    check(str(await service().get_chat_message_content(history(QUESTION), OpenAIChatPromptExecutionSettings())))


@case("streamed chat")
async def _():
    stream = service().get_streaming_chat_message_content(history(QUESTION), OpenAIChatPromptExecutionSettings())
    check("".join([str(piece) async for piece in stream]))


@case("agent with a plugin")
async def _():
    plugin = Plugin()
    agent = ChatCompletionAgent(service=service(), name="Helper", instructions="You are a helpful assistant.", plugins=[plugin])
    got = await agent.get_response(messages=WEATHER)
    plugin.weather.called()
    check(str(got))


@case("structured output")
async def _():
    got = await service().get_chat_message_content(history(PERSON), OpenAIChatPromptExecutionSettings(response_format=Person))
    check(Person.model_validate_json(str(got)).name)


@case("embeddings")
async def _():
    got = await OpenAITextEmbedding(ai_model_id=MODEL, async_client=AsyncOpenAI(base_url=BASE, api_key=KEY)).generate_embeddings(["red", "blue"])
    assert len(got) == 2


run()
