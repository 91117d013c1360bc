"""What the programs beside this file share: where the server is, the cases, the questions."""
import asyncio, inspect, os, re, subprocess, sys, time, traceback

BASE = os.environ["BASE_URL"]  # ends with /v1
ROOT = os.environ["ROOT_URL"]
KEY = os.environ["API_KEY"]
MODEL = os.environ["MODEL"]

QUESTION = "Name three colours."
WEATHER = "What is the weather in Paris? Call the tool get_weather to find out."
PERSON = "Anna is 31 years old and lives in Oslo. Who is this?"

_cases = []


class Seen(Exception):
    """Ends a case in which client and server did their part, and the model did something else than asked."""


def case(name):
    """Adds a function as a case. Its result, if it has one, is what was seen."""

    def add(function):
        _cases.append((name, function))
        return function

    return add


def check(text, what="answer"):
    """Fails on an empty text, and returns it."""
    assert isinstance(text, str) and text.strip(), f"the {what} is {text!r}"
    return text


class Weather:
    """A tool that remembers whether it was called."""

    calls = 0  # of all of them in a case

    def __init__(self):
        self.cities = []

    def __call__(self, city):
        self.cities.append(city)
        Weather.calls += 1
        return f"It is 17 degrees and raining in {city}."

    def called(self):
        if not self.cities:
            raise Seen("the model called no tool")


def run():
    """Runs the cases and prints a line for each. Programs end with it."""
    out, sys.stdout = sys.stdout, sys.stderr  # what clients print is no case
    only = os.environ.get("CASE")
    for name, function in _cases:
        if only and name != only:
            continue
        began, Weather.calls = time.monotonic(), 0
        try:
            result = function()
            if inspect.isawaitable(result):
                result = asyncio.run(result)
            line = f"seen {name}: {result}" if result else f"ok {name}"
        except Seen as e:
            line = f"seen {name}: {e}"
        except BaseException as e:
            if isinstance(e, KeyboardInterrupt):
                raise
            traceback.print_exc()
            line = f"FAIL {name}: {type(e).__name__}: {e}"[:300]
            if Weather.calls and not re.search(r"\b[45]\d\d\b|[Cc]onnect", str(e)):  # a loop is the model's doing, a refused request is not
                times = "" if Weather.calls == 1 else f" {Weather.calls} times"
                line = f"seen {name}: the model called the tool{times}, and then " + ("gave no answer" if isinstance(e, AssertionError) else f"the client gave up: {type(e).__name__}")
        print(" ".join(line.split()), file=out, flush=True)
        print(f"{name} took {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    out.flush()
    os._exit(0)  # threads that clients leave behind do not count


def command(*words, limit=1800, **variables):
    """Runs a command and returns what it printed on standard output."""
    print("+", *words, file=sys.stderr, flush=True)
    done = subprocess.run(words, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit)
    print(done.stdout, done.stderr, file=sys.stderr, flush=True)
    assert done.returncode == 0, f"exit status {done.returncode}: {(done.stderr.strip() or done.stdout.strip())[-200:]}"
    return done.stdout
