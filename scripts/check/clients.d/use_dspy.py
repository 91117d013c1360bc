import dspy

from cases import BASE, KEY, MODEL, PERSON, QUESTION, WEATHER, Weather, case, check, run

dspy.configure(lm=dspy.LM("openai/" + MODEL, api_base=BASE, api_key=KEY, cache=False, max_tokens=400))


@case("predict")
def _():
    check(dspy.Predict("question -> answer")(question=QUESTION).answer)


@case("chain of thought")
def _():
    check(dspy.ChainOfThought("question -> answer")(question="What is 2 + 3?").answer)


@case("typed output")
def _():
    with dspy.context(adapter=dspy.JSONAdapter()):
        got = dspy.Predict("text -> name: str, age: int")(text=PERSON)
    check(got.name)
    assert isinstance(got.age, int)


@case("streamed predict")
async def _():
    listener = dspy.streaming.StreamListener(signature_field_name="answer")
    pieces = []
    async for piece in dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener])(question=QUESTION):
        pieces.append(piece)
    assert isinstance(pieces[-1], dspy.Prediction), pieces
    if len(pieces) == 1:
        return "the model did not write the field's marker, so the listener heard nothing"


@case("ReAct with a tool")
def _():
    weather = Weather()

    def get_weather(city: str) -> str:
        """The weather in a city"""
        return weather(city)

    got = dspy.ReAct("question -> answer", tools=[get_weather], max_iters=3)(question=WEATHER)
    weather.called()
    check(got.answer)


@case("embeddings")
def _():
    assert len(dspy.Embedder("openai/" + MODEL, api_base=BASE, api_key=KEY)(["red", "blue"])) == 2


run()
