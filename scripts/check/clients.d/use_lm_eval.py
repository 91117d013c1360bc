import pathlib, re

from cases import KEY, MODEL, ROOT, case, command, run

script = pathlib.Path(__file__).resolve().parents[2] / "measure" / "lm-eval"


@case("local-completions")
def _():
    out = command(str(script), ROOT, MODEL, OPENAI_API_KEY=KEY)
    scores = re.findall(r"\|(acc|exact_match) *\|.*?\|(\d\.\d+)\|", out.replace(" ", ""))
    assert len(scores) >= 2, out[-300:]
    return "loglikelihood and generation scored: " + ", ".join(f"{name} {value}" for name, value in scores)


run()
