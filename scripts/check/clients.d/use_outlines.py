from enum import Enum

import openai
import outlines
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, PERSON, QUESTION, case, check, run


class Person(BaseModel):
    name: str
    age: int


class Mood(Enum):
    happy = "happy"
    sad = "sad"


client = openai.OpenAI(base_url=BASE, api_key=KEY)
as_openai, as_vllm = outlines.from_openai(client, MODEL), outlines.from_vllm(client, MODEL)


@case("from_openai text")
def _():
    check(as_openai(QUESTION))


@case("from_openai streamed")
def _():
    check("".join(as_openai.stream(QUESTION)))


@case("from_openai model")
def _():
    check(Person.model_validate_json(as_openai(PERSON, Person)).name)


@case("from_vllm model")
def _():
    check(Person.model_validate_json(as_vllm(PERSON, Person)).name)


@case("from_vllm choice")
def _():
    assert as_vllm("I won a prize! Am I happy or sad?", Mood) in ("happy", "sad")


@case("from_vllm regex")
def _():
    got = as_vllm("A date of 2024?", outlines.regex(r"2024-(0[1-9]|1[0-2])-[0-2][0-9]"))
    assert got.startswith("2024-") and len(got) == 10, got


run()
