import json, pathlib

from cases import BASE, KEY, MODEL, QUESTION, case, check, command, run

home = pathlib.Path.home() / ".codex"
home.mkdir()
(home / "config.toml").write_text(f"""
model = {json.dumps(MODEL)}
model_provider = "local"

[model_providers.local]
name = "local"
base_url = {json.dumps(BASE)}
env_key = "LOCAL_KEY"
wire_api = "responses"
""")


def codex(*words):
    out = command("codex", "exec", "--skip-git-repo-check", "--json", *words, LOCAL_KEY=KEY)
    events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    assert any(event["type"] == "turn.completed" for event in events), events[-3:]
    return items


@case("a turn with the stock prompt")
def _():
    texts = [item["text"] for item in codex(QUESTION) if item["type"] == "agent_message"]
    check("".join(texts))


@case("a second turn")
def _():
    items = codex("resume", "--last", "And three more?")
    check("".join(item["text"] for item in items if item["type"] == "agent_message"))


run()
