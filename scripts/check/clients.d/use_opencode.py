import json, pathlib

from cases import BASE, KEY, MODEL, QUESTION, case, check, command, run

pathlib.Path("opencode.json").write_text(json.dumps({
    "model": "local/" + MODEL,
    "small_model": "local/" + MODEL,
    "autoupdate": False,
    "share": "disabled",
    "permission": {"bash": "deny", "edit": "deny", "webfetch": "deny"},  # a model this small deletes what it finds
    "provider": {"local": {"npm": "@ai-sdk/openai-compatible", "name": "local", "options": {"baseURL": BASE, "apiKey": KEY}, "models": {MODEL: {}}}},
}))


@case("a turn with the stock prompt and tools")
def _():
    check(command("opencode", "run", QUESTION))


@case("a second turn")
def _():
    check(command("opencode", "run", "--continue", "And three more?"))


run()
