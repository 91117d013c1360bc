from smolagents import CodeAgent, OpenAIModel, ToolCallingAgent, tool

from cases import BASE, KEY, MODEL, QUESTION, WEATHER, Weather, case, check, run

model = OpenAIModel(model_id=MODEL, api_base=BASE, api_key=KEY)
weather = Weather()


@tool
def get_weather(city: str) -> str:
    """The weather in a city

    Args:
        city: The city's name
    """
    return weather(city)


@case("chat")
def _():
    check(model([{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]).content)


@case("streamed chat")
def _():
    check("".join(piece.content or "" for piece in model.generate_stream([{"role": "user", "content": [{"type": "text", "text": QUESTION}]}])))


@case("tool calling agent")
def _():
    got = ToolCallingAgent(tools=[get_weather], model=model, max_steps=4).run(WEATHER)
    weather.called()
    check(str(got))


@case("code agent")
def _():
    check(str(CodeAgent(tools=[], model=model, max_steps=3).run("What is 12 times 12?")))


@case("code agent with structured output")
def _():
    check(str(CodeAgent(tools=[], model=model, max_steps=3, use_structured_outputs_internally=True).run("What is 12 times 12?")))


run()
