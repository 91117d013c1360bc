import json, pathlib

from cases import BASE, KEY, MODEL, QUESTION, case, check, command, run

model = {"name": "local", "provider": "openai", "model": MODEL, "apiBase": BASE, "apiKey": KEY, "roles": ["chat", "edit", "apply"]}
pathlib.Path("config.yaml").write_text(json.dumps({"name": "local", "version": "1.0.0", "schema": "v1", "models": [model]}))


@case("a turn with the stock prompt and tools")
def _():
    check(command("cn", "--config", "config.yaml", "--readonly", "-p", QUESTION))


@case("a second turn")
def _():
    check(command("cn", "--config", "config.yaml", "--readonly", "--resume", "-p", "And three more?"))


run()
