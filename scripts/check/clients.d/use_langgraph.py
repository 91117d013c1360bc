from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from cases import BASE, KEY, MODEL, QUESTION, WEATHER, Weather, case, check, run

llm = ChatOpenAI(base_url=BASE, api_key=KEY, model=MODEL)
weather = Weather()


def get_weather(city: str) -> str:
    """The weather in a city"""
    return weather(city)


agent = create_agent(llm, [get_weather], system_prompt="You are a helpful assistant.", checkpointer=InMemorySaver())


@case("agent with a tool")
def _():
    config = {"configurable": {"thread_id": "1"}, "recursion_limit": 8}
    got = agent.invoke({"messages": [("user", WEATHER)]}, config)
    weather.called()
    check(got["messages"][-1].text)


@case("streamed agent with memory")
def _():
    config = {"configurable": {"thread_id": "2"}, "recursion_limit": 8}
    for question in (QUESTION, "Which of them is the warmest?"):
        pieces = [piece.text for piece, _ in agent.stream({"messages": [("user", question)]}, config, stream_mode="messages")]
        check("".join(pieces))


run()
