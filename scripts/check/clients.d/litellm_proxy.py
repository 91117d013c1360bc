import json, pathlib, socket, subprocess, sys, time, urllib.request

from cases import BASE, KEY, MODEL, QUESTION, case, check, run

with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
config = {
    "model_list": [{"model_name": "local", "litellm_params": {"model": "openai/" + MODEL, "api_base": BASE, "api_key": KEY}}],
    "general_settings": {"master_key": "sk-proxy"},
}
pathlib.Path("config.yaml").write_text(json.dumps(config))
subprocess.Popen(["litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)], stdout=sys.stderr)


def ask(path, body=None):
    data = json.dumps(body).encode() if body else None
    headers = {"Authorization": "Bearer sk-proxy", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers), timeout=300) as response:
        return response.read().decode()


def wait():
    deadline = time.monotonic() + 600
    while True:
        try:
            return ask("/health/liveliness")
        except OSError:
            assert time.monotonic() < deadline, "the proxy does not start"
            time.sleep(1)


wait()
CHAT = {"model": "local", "messages": [{"role": "user", "content": QUESTION}]}


@case("chat")
def _():
    check(json.loads(ask("/v1/chat/completions", CHAT))["choices"][0]["message"]["content"])


@case("streamed chat")
def _():
    events = [line[6:] for line in ask("/v1/chat/completions", {**CHAT, "stream": True}).splitlines() if line.startswith("data: {")]
    check("".join(choice["delta"].get("content") or "" for event in events for choice in json.loads(event)["choices"]))


@case("messages")
def _():
    check(json.loads(ask("/v1/messages", {**CHAT, "max_tokens": 60}))["content"][0]["text"])


@case("embeddings")
def _():
    assert len(json.loads(ask("/v1/embeddings", {"model": "local", "input": "red"}))["data"][0]["embedding"]) > 10


@case("health")
def _():
    got = json.loads(ask("/health"))
    assert got["unhealthy_count"] == 0, got


run()
