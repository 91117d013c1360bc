import guidance
from pydantic import BaseModel

from cases import BASE, KEY, MODEL, PERSON, QUESTION, case, check, run


class Person(BaseModel):
    name: str
    age: int


def ask(text, *, model=None):
    lm = model or guidance.models.OpenAI(MODEL, base_url=BASE, api_key=KEY, echo=False)
    with guidance.user():
        lm += text
    return lm


@case("chat")
def _():
    lm = ask(QUESTION)
    with guidance.assistant():
        lm += guidance.gen("answer", max_tokens=60)
    check(lm["answer"])


@case("JSON")
def _():
    lm = ask(PERSON)
    with guidance.assistant():
        lm += guidance.json("person", schema=Person)
    check(Person.model_validate_json(lm["person"]).name)


run()
