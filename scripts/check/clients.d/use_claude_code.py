import json, os, subprocess, sys

from cases import KEY, MODEL, QUESTION, ROOT, Seen, case, check, run

WHERE = {
    "ANTHROPIC_BASE_URL": ROOT,
    "ANTHROPIC_AUTH_TOKEN": KEY,
    **{f"ANTHROPIC_DEFAULT_{size}_MODEL": MODEL for size in ("HAIKU", "SONNET", "OPUS")},
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "400",  # a model this small may repeat its whole prompt
}


def claude(*words, text):
    """One turn: the tokens of its prompt, and those of them that were in the prompt cache."""
    command = ["claude", "--model", MODEL, "--output-format", "stream-json", "--include-partial-messages", "--verbose", *words, "-p", text]
    print("+", *command, file=sys.stderr, flush=True)
    process = subprocess.Popen(command, env={**os.environ, **WHERE}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        print(line, end="", file=sys.stderr, flush=True)
        event = json.loads(line)
    process.wait()
    if "output token maximum" in str(event.get("result")):
        raise Seen("the model wrote 400 tokens and did not end")
    assert event["type"] == "result" and not event["is_error"], event.get("result")
    usage = event["usage"]
    cached = usage.get("cache_read_input_tokens") or 0
    check(event["result"])
    return f"{usage['input_tokens'] + cached} tokens of prompt, {cached} of them cached"


@case("a turn with a short system prompt and no tools")
def _():
    claude("--tools", "", "--system-prompt", "Answer briefly.", text=QUESTION)


@case("a turn with the stock prompt and tools")
def _():
    return claude(text=QUESTION)


@case("a second turn")
def _():
    return claude("--continue", text="And three more?")


run()
