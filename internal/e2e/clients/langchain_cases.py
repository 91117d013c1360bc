"""The cases of cases.txt with langchain-openai. Cases that it has no calls for are skipped."""

import json
import os
from typing import Annotated, Literal

import openai
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import Field

from harness import case, main

MODEL = "smollm2-135m-instruct"
AT = {"model": MODEL, "api_key": os.environ["API_KEY"], "base_url": os.environ["BASE_URL"], "max_retries": 0}
QUESTION = "Name three colours."
PERSON = {
    "title": "person",
    "description": "A person",
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
SKIPPED = {
    "models.list": "no such call",
    "models.retrieve": "no such call",
    "chat.developer": "sends system messages",
    "completions.echo": "drops echoed log probabilities",
    "embeddings.base64": "chooses the encoding itself",
}

def llm(**more):
    return ChatOpenAI(**{**AT, "max_tokens": 16, "seed": 7, **more})


# The lengths are bounded as in the other clients' cases, because a small model does not always end a string.
def get_weather(city: Annotated[str, Field(max_length=12)], unit: Literal["C", "F"]) -> str:
    """The weather in a city"""
    return "21"


def get_time() -> str:
    """The time"""
    return "noon"


def check_person(person):
    assert set(person) == {"name", "age"} and 0 <= person["age"] <= 120, person


def refused(kind, status, call, param=None, code=None):
    try:
        call()
    except kind as e:
        assert e.status_code == status and (param is None or e.param == param) and (code is None or e.code == code), e
        return e
    raise AssertionError("not refused")


@case("chat")
def _():
    answer = llm().invoke([SystemMessage("Be brief."), HumanMessage(QUESTION)])
    assert answer.content and answer.response_metadata["model_name"] == MODEL + "@0"
    assert answer.usage_metadata["total_tokens"] == answer.usage_metadata["input_tokens"] + answer.usage_metadata["output_tokens"]


@case("chat.parts")
def _():
    assert llm().invoke([HumanMessage([{"type": "text", "text": "Name three"}, {"type": "text", "text": "colours."}])]).content


@case("chat.stream")
def _():
    chunks = list(llm(stream_usage=True).stream(QUESTION))
    assert "".join(c.content for c in chunks) == llm().invoke(QUESTION).content
    assert sum((c.usage_metadata or {}).get("output_tokens", 0) for c in chunks) > 0


@case("chat.n")
def _():
    texts = [g.text for g in llm(n=3, temperature=1.5).generate([[HumanMessage(QUESTION)]]).generations[0]]
    assert len(texts) == 3 and len(set(texts)) > 1


@case("chat.seed")
def _():
    assert llm(temperature=1).invoke(QUESTION).content == llm(temperature=1).invoke(QUESTION).content


@case("chat.stop")
def _():
    whole = llm(temperature=0).invoke(QUESTION).content
    stop = whole[8:12]
    assert llm(temperature=0).invoke(QUESTION, stop=[stop]).content == whole[: whole.index(stop)]


@case("chat.length")
def _():
    assert llm(max_tokens=3).invoke(QUESTION).response_metadata["finish_reason"] == "length"


@case("chat.sampling")
def _():
    assert llm(temperature=0.7, top_p=0.9, presence_penalty=0.5, frequency_penalty=-0.5).invoke(QUESTION).content


@case("chat.logit_bias")
def _():
    assert llm(logit_bias={198: 100}, max_tokens=3).invoke(QUESTION).content == "\n\n\n"


@case("chat.logprobs")
def _():
    tokens = llm(logprobs=True, top_logprobs=3).invoke(QUESTION).response_metadata["logprobs"]["content"]
    assert tokens and all(len(t["top_logprobs"]) == 3 for t in tokens)


@case("chat.metadata")
def _():
    assert llm(model_kwargs={"metadata": {"a": "b"}, "user": "somebody"}).invoke(QUESTION).content


@case("chat.extensions")
def _():
    extra = {"top_k": 5, "min_p": 0.05, "repetition_penalty": 1.1, "ignore_eos": True}
    assert llm(extra_body=extra).invoke(QUESTION).usage_metadata["output_tokens"] == 16


@case("chat.grammar")
def _():
    assert llm(extra_body={"grammar": 'root ::= "yes" | "no"'}).invoke(QUESTION).content in ("yes", "no")


@case("chat.json_object")
def _():
    answer = llm(max_tokens=200, temperature=0).bind(response_format={"type": "json_object"}).invoke(QUESTION)
    assert answer.content.lstrip().startswith("{")


@case("chat.json_schema")
def _():
    check_person(llm(max_tokens=100).with_structured_output(PERSON, method="json_schema", strict=True).invoke("Describe a person."))


def check_weather(call):
    assert call["name"] == "get_weather" and set(call["args"]) == {"city", "unit"} and call["args"]["unit"] in ("C", "F"), call


@case("tools.required")
def _():
    answer = llm(max_tokens=200).bind_tools([get_weather], tool_choice="required", parallel_tool_calls=False).invoke(QUESTION)
    assert len(answer.tool_calls) == 1 and answer.response_metadata["finish_reason"] == "tool_calls"
    check_weather(answer.tool_calls[0])


@case("tools.named")
def _():
    answer = llm(max_tokens=200).bind_tools([get_time, get_weather], tool_choice="get_weather", parallel_tool_calls=False).invoke(QUESTION)
    check_weather(answer.tool_calls[0])


@case("tools.none")
def _():
    answer = llm().bind_tools([get_weather], tool_choice="none").invoke(QUESTION)
    assert answer.content and not answer.tool_calls


@case("tools.parallel")
def _():
    answer = llm(max_tokens=200).bind_tools([get_weather], tool_choice="required").invoke(QUESTION)
    assert len(answer.tool_calls) >= 1 and len({c["id"] for c in answer.tool_calls}) == len(answer.tool_calls)
    check_weather(answer.tool_calls[0])


@case("tools.result")
def _():
    call = {"name": "get_weather", "args": {"city": "Rome", "unit": "C"}, "id": "call_1", "type": "tool_call"}
    history = [HumanMessage(QUESTION), AIMessage("", tool_calls=[call]), ToolMessage("21 degrees", tool_call_id="call_1")]
    assert isinstance(llm().bind_tools([get_weather]).invoke(history), AIMessage)


@case("tools.stream")
def _():
    whole = None
    for chunk in llm(max_tokens=200).bind_tools([get_weather], tool_choice="required", parallel_tool_calls=False).stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    assert len(whole.tool_calls) == 1
    check_weather(whole.tool_calls[0])


@case("completions")
def _():
    texts = OpenAI(**AT, max_tokens=8, seed=7).batch(["One, two,", "Red, green,"])
    assert len(texts) == 2 and all(texts)


@case("completions.stream")
def _():
    text = "".join(OpenAI(**AT, max_tokens=8, seed=7).stream("One, two,"))
    assert text == OpenAI(**AT, max_tokens=8, seed=7).invoke("One, two,")


@case("embeddings.float")
def _():
    # Without this option the client would tokenize with tiktoken, which downloads tables.
    vectors = OpenAIEmbeddings(**AT, check_embedding_ctx_length=False).embed_documents(["red", "blue"])
    assert len(vectors) == 2 and abs(sum(x * x for x in vectors[0]) - 1) < 1e-3


def responses(**more):
    return llm(use_responses_api=True, seed=None, **more)


@case("responses")
def _():
    answer = responses().invoke([SystemMessage("Be brief."), HumanMessage(QUESTION)])
    assert answer.text and answer.usage_metadata["total_tokens"] > 16


@case("responses.stream")
def _():
    assert "".join(c.text for c in responses().stream(QUESTION))


@case("responses.tools")
def _():
    bound = responses(max_tokens=200).bind_tools([get_weather], tool_choice="required", parallel_tool_calls=False)
    answer = bound.invoke("Weather in Rome?")
    check_weather(answer.tool_calls[0])
    history = [HumanMessage("Weather in Rome?"), answer, ToolMessage("21 degrees", tool_call_id=answer.tool_calls[0]["id"])]
    assert isinstance(responses().bind_tools([get_weather]).invoke(history), AIMessage)


@case("responses.json_schema")
def _():
    check_person(responses(max_tokens=100).with_structured_output(PERSON, method="json_schema", strict=True).invoke("Describe a person."))


@case("error.401")
def _():
    refused(openai.AuthenticationError, 401, lambda: llm(api_key="wrong").invoke(QUESTION), code="invalid_api_key")


@case("error.404")
def _():
    refused(openai.NotFoundError, 404, lambda: llm(model="gpt-x").invoke(QUESTION), code="model_not_found")


@case("error.400")
def _():
    refused(openai.BadRequestError, 400, lambda: llm(temperature=3).invoke(QUESTION), param="temperature")


@case("error.context")
def _():
    refused(openai.BadRequestError, 400, lambda: llm().invoke("word " * 5000), code="context_length_exceeded")


@case("error.schema")
def _():
    schema = {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}, "required": ["a"]}
    hopeless = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    refused(openai.BadRequestError, 400, lambda: llm().bind(response_format=hopeless).invoke(QUESTION), param="response_format")


@case("error.image")
def _():
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    refused(openai.BadRequestError, 400, lambda: llm().invoke([HumanMessage(parts)]), param="messages[0].content[0].type")


@case("error.413")
def _():
    refused(openai.APIStatusError, 413, lambda: llm().invoke("x" * (9 << 20)))


@case("error.429")
def _():
    limited = llm(base_url=os.environ["LIMITED_URL"], max_tokens=1)
    limited.invoke(QUESTION)
    refused(openai.RateLimitError, 429, lambda: limited.invoke(QUESTION), code="rate_limit_exceeded")


if __name__ == "__main__":
    main(SKIPPED)
