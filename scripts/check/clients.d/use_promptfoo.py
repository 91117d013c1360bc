import json, pathlib

from cases import BASE, KEY, MODEL, QUESTION, case, command, run

WHERE = {"apiBaseUrl": BASE, "apiKey": KEY, "max_tokens": 60}
QUIET = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_DISABLE_REMOTE_GENERATION": "true"}


def evaluate(provider, test):
    pathlib.Path("promptfooconfig.json").write_text(json.dumps({"prompts": [QUESTION], "providers": [{"id": provider + MODEL, "config": WHERE}], "tests": [test]}))
    command("promptfoo", "eval", "-c", "promptfooconfig.json", "-o", "out.json", "--no-cache", "--no-progress-bar", "--no-table", **QUIET)
    result = json.loads(pathlib.Path("out.json").read_text())["results"]["results"][0]
    assert result["success"], result.get("error")


def add(name, provider, test):
    @case(name)
    def _():
        evaluate(provider, test)


long_enough = {"assert": [{"type": "javascript", "value": "output.length > 3"}]}
add("chat", "openai:chat:", long_enough)
add("responses", "openai:responses:", long_enough)
add("completion", "openai:completion:", long_enough)
similar = {"type": "similar", "value": "Red, blue, green", "threshold": 0.01, "provider": {"embedding": {"id": "openai:embedding:" + MODEL, "config": WHERE}}}
add("similarity by embeddings", "openai:chat:", {"assert": [similar]})
run()
