from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, PERSON, QUESTION, WEATHER, Weather, case, check, run

llm = OpenAILike(model=MODEL, api_base=BASE, api_key=KEY, is_chat_model=True, is_function_calling_model=True)
weather = Weather()


class Person(BaseModel):
    """A person"""

    name: str
    age: int


def get_weather(city: str) -> str:
    """The weather in a city"""
    return weather(city)


@case("chat")
def _():
    check(llm.chat([ChatMessage(role="user", content=QUESTION)]).message.content)


@case("streamed chat")
def _():
    check("".join(piece.delta or "" for piece in llm.stream_chat([ChatMessage(role="user", content=QUESTION)])))


@case("completion")
def _():
    check(OpenAILike(model=MODEL, api_base=BASE, api_key=KEY, max_tokens=20).complete("The capital of France is").text)


@case("agent with a tool")
async def _():
    got = await FunctionAgent(tools=[get_weather], llm=llm, system_prompt="You are a helpful assistant.").run(WEATHER)
    weather.called()
    check(str(got))


@case("structured output")
def _():
    check(llm.as_structured_llm(Person).complete(PERSON).raw.name)


@case("embeddings")
def _():
    embedding = OpenAILikeEmbedding(model_name=MODEL, api_base=BASE, api_key=KEY)
    assert len(embedding.get_text_embedding_batch(["red", "blue"])) == 2


run()
