from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, PERSON, QUESTION, WEATHER, Seen, case, check, run

llm = ChatOpenAI(base_url=BASE, api_key=KEY, model=MODEL)


class Person(BaseModel):
    """A person"""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """The weather in a city"""
    return f"It is 17 degrees and raining in {city}."


@case("chat")
def _():
    check(llm.invoke(QUESTION).text)


@case("streamed chat")
async def _():
    check("".join([piece.text async for piece in llm.astream(QUESTION)]))


@case("tool loop")
def _():
    bound = llm.bind_tools([get_weather])
    history = [HumanMessage(WEATHER)]
    answer = bound.invoke(history)
    if not answer.tool_calls:
        raise Seen("the model called no tool")
    history.append(answer)
    for call in answer.tool_calls:
        history.append(ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]))
    again = bound.invoke(history)
    if again.tool_calls:
        return "given the result, the model calls the tool again"
    check(again.text)


@case("structured output")
def _():
    check(llm.with_structured_output(Person).invoke(PERSON).name)


@case("structured output by a tool")
def _():
    check(llm.with_structured_output(Person, method="function_calling").invoke(PERSON).name)


@case("responses")
def _():
    check(ChatOpenAI(base_url=BASE, api_key=KEY, model=MODEL, use_responses_api=True).invoke(QUESTION).text)


@case("embeddings")
def _():
    embeddings = OpenAIEmbeddings(base_url=BASE, api_key=KEY, model=MODEL, check_embedding_ctx_length=False)
    assert len(embeddings.embed_documents(["red", "blue"])) == 2


run()
