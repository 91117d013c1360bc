import json, pathlib, socket, subprocess, sys, time, urllib.request

from cases import BASE, KEY, MODEL, QUESTION, case, check, run

import os

with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
data = pathlib.Path("data")
data.mkdir()
settings = {
    "DATA_DIR": str(data.resolve()),
    "OPENAI_API_BASE_URL": BASE,
    "OPENAI_API_KEY": KEY,
    "ENABLE_OLLAMA_API": "false",
    "WEBUI_SECRET_KEY": "secret",
    # The page's own search in documents needs a model from elsewhere, unless the server's embeddings do it.
    "RAG_EMBEDDING_ENGINE": "openai",
    "RAG_EMBEDDING_MODEL": MODEL,
    "RAG_OPENAI_API_BASE_URL": BASE,
    "RAG_OPENAI_API_KEY": KEY,
    "ANONYMIZED_TELEMETRY": "false",
}
subprocess.Popen(["open-webui", "serve", "--host", "127.0.0.1", "--port", str(port)], env={**os.environ, **settings}, stdout=sys.stderr)
token = ""


def ask(path, body=None):
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers), timeout=1800) as response:
        return response.read().decode()


def wait():
    deadline = time.monotonic() + 900
    while True:
        try:
            return ask("/health")
        except OSError:
            assert time.monotonic() < deadline, "Open WebUI does not start"
            time.sleep(1)


wait()
token = json.loads(ask("/api/v1/auths/signup", {"name": "a", "email": "a@example.org", "password": "secret-Password1"}))["token"]
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}]}


@case("list of models")
def _():
    names = [model["id"] for model in json.loads(ask("/api/models"))["data"]]
    assert MODEL in names, names


@case("chat")
def _():
    check(json.loads(ask("/api/chat/completions", {**CHAT, "stream": False}))["choices"][0]["message"]["content"])


@case("streamed chat")
def _():
    events = [line[6:] for line in ask("/api/chat/completions", {**CHAT, "stream": True}).splitlines() if line.startswith("data: {")]
    check("".join(choice["delta"].get("content") or "" for event in events for choice in json.loads(event)["choices"]))


@case("title of a chat")
def _():
    history = [*CHAT["messages"], {"role": "assistant", "content": "Red, green and blue."}]
    check(json.loads(ask("/api/v1/tasks/title/completions", {"model": MODEL, "messages": history}))["choices"][0]["message"]["content"])


run()
