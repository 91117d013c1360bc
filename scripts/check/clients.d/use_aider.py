import pathlib

from cases import BASE, KEY, MODEL, case, check, command, run

FLAGS = ["--model", "openai/" + MODEL, "--openai-api-base", BASE, "--openai-api-key", KEY, "--no-git", "--yes-always", "--no-check-update", "--no-show-model-warnings", "--analytics-disable", "--no-pretty"]


def aider(*more):
    return check(command("aider", *FLAGS, *more))


@case("ask")
def _():
    aider("--chat-mode", "ask", "--message", "What does HTTP stand for?")


@case("ask without streaming")
def _():
    aider("--chat-mode", "ask", "--no-stream", "--message", "What does HTTP stand for?")


@case("edit a file")
def _():
    file = pathlib.Path("hello.py")
    file.write_text('def greet():\n    print("hello")\n')
    aider("--edit-format", "whole", "--message", "Change the text that greet prints to goodbye.", "hello.py")
    if "goodbye" not in file.read_text().lower():
        return "the model did not make the edit"


run()
