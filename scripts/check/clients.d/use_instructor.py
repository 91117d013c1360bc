from typing import Literal

import instructor
from openai import OpenAI
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, PERSON, case, check, run


class Person(BaseModel):
    name: str
    age: int
    mood: Literal["happy", "sad", "unknown"] = "unknown"


def add(mode):
    @case(mode.name)
    def _():
        client = instructor.from_openai(OpenAI(base_url=BASE, api_key=KEY), mode=mode)
        check(client.chat.completions.create(model=MODEL, response_model=Person, messages=[{"role": "user", "content": PERSON}]).name)


for name in ("TOOLS", "TOOLS_STRICT", "JSON", "JSON_SCHEMA", "MD_JSON", "RESPONSES_TOOLS"):
    if hasattr(instructor.Mode, name):
        add(instructor.Mode[name])


@case("partial objects")
def _():
    client = instructor.from_openai(OpenAI(base_url=BASE, api_key=KEY))
    *_, last = client.chat.completions.create_partial(model=MODEL, response_model=Person, messages=[{"role": "user", "content": PERSON}])
    check(last.name)


@case("iterable")
def _():
    client = instructor.from_openai(OpenAI(base_url=BASE, api_key=KEY))
    people = list(client.chat.completions.create_iterable(model=MODEL, response_model=Person, max_tokens=400, messages=[{"role": "user", "content": "Extract: Anna is 31, Bo is 12."}]))
    assert people


run()
