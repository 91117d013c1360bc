import json, pathlib

from cases import BASE, KEY, MODEL, PERSON, QUESTION, case, check, command, run

home = pathlib.Path.home() / "llm"
home.mkdir()
model = {"model_id": "local", "model_name": MODEL, "api_base": BASE, "api_key_name": "local", "supports_tools": True, "supports_schema": True}
(home / "extra-openai-models.yaml").write_text(json.dumps([model]))
where = {"LLM_USER_PATH": str(home)}
command("llm", "keys", "set", "local", "--value", KEY, **where)


@case("streamed chat")
def _():
    check(command("llm", "-m", "local", QUESTION, **where))


@case("chat that goes on")
def _():
    check(command("llm", "-m", "local", "--no-stream", "-c", "And three more?", **where))


@case("tool loop")
def _():
    try:
        out = command("llm", "-m", "local", "--td", "-T", "llm_version", "Which version of LLM is this? Call the tool llm_version.", **where)
    except AssertionError as e:
        if "Chain limit" in str(e):
            return "the model calls the tool again and again, and the client gives up"
        raise
    check(out)
    if '"tool_calls": [{' not in " ".join(command("llm", "logs", "-n", "3", "--json", **where).split()):
        return "the model called no tool"


@case("schema")
def _():
    got = json.loads(command("llm", "-m", "local", "--schema", "name, age int", PERSON, **where))
    assert set(got) == {"name", "age"}, got


run()
