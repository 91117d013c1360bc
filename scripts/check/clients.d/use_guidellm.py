import json, pathlib

from cases import KEY, MODEL, ROOT, case, command, run

pathlib.Path("prompts.jsonl").write_text("".join(json.dumps({"prompt": f"Name {n} colours.", "output_tokens_count": 16}) + "\n" for n in range(2, 12)))


@case("benchmark")
def _():
    backend = f"kind=openai_http,target={ROOT},model={MODEL},api_key={KEY}"
    data, output = "kind=json_file,path=prompts.jsonl", "kind=json,path=out.json"
    command("guidellm", "run", "--backend", backend, "--profile", "kind=synchronous", "--constraint", "kind=max_requests,count=4", "--data", data, "--output", output, "--disable-progress")
    requests = json.loads(pathlib.Path("out.json").read_text())["benchmarks"][0]["requests"]
    done, failed = requests["successful"], requests["errored"]
    assert done and not failed, f"{len(done)} requests succeeded, {len(failed)} failed"
    if len(done) != 4:
        return f"guidellm counted {len(done)} of its 4 requests, and no error"


run()
