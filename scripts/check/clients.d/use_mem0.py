import os

os.environ["MEM0_TELEMETRY"] = "False"
from mem0 import Memory
from openai import OpenAI

from cases import BASE, KEY, MODEL, case, run

size = len(OpenAI(base_url=BASE, api_key=KEY).embeddings.create(model=MODEL, input="x").data[0].embedding)
where = {"model": MODEL, "openai_base_url": BASE, "api_key": KEY}
memory = Memory.from_config({
    "llm": {"provider": "openai", "config": where},
    "embedder": {"provider": "openai", "config": {**where, "embedding_dims": size}},
    "vector_store": {"provider": "qdrant", "config": {"path": "store", "embedding_model_dims": size}},
})
WHO = {"user_id": "anna"}


@case("add without the model")
def _():
    assert memory.add("I like green tea.", infer=False, **WHO)["results"]


@case("add by the model")
def _():
    got = memory.add([{"role": "user", "content": "My name is Anna and I live in Oslo."}, {"role": "assistant", "content": "Nice to meet you!"}], **WHO)
    if not got["results"]:
        return "the model found nothing to remember"


@case("search")
def _():
    try:
        got = memory.search("What do I drink?", **WHO)
    except (TypeError, ValueError):
        got = memory.search("What do I drink?", filters=WHO)
    assert got["results"], got


run()
