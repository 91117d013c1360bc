from anthropic import Anthropic

from cases import KEY, MODEL, QUESTION, ROOT, WEATHER, Seen, case, check, run

client = Anthropic(base_url=ROOT, api_key=KEY)


def messages(text):
    return [{"role": "user", "content": text}]


def text(message):
    return "".join(block.text for block in message.content if block.type == "text")


@case("messages")
def _():
    check(text(client.messages.create(model=MODEL, max_tokens=100, messages=messages(QUESTION))))


@case("streamed messages")
def _():
    with client.messages.stream(model=MODEL, max_tokens=100, messages=messages(QUESTION)) as stream:
        check("".join(stream.text_stream))


@case("tool loop")
def _():
    tools = [{"name": "get_weather", "description": "The weather in a city", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}]
    history = messages(WEATHER)
    answer = client.messages.create(model=MODEL, max_tokens=200, messages=history, tools=tools)
    calls = [block for block in answer.content if block.type == "tool_use"]
    if not calls:
        raise Seen("the model called no tool")
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "It is 17 degrees and raining."} for call in calls]
    history += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    again = client.messages.create(model=MODEL, max_tokens=200, messages=history, tools=tools)
    if any(block.type == "tool_use" for block in again.content):
        return "given the result, the model calls the tool again"
    check(text(again))


@case("token counting")
def _():
    assert client.messages.count_tokens(model=MODEL, messages=messages(QUESTION)).input_tokens > 5


run()
