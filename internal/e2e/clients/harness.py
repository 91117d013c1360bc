"""Runs the cases of a client. Each case prints a line: "ok NAME", "FAIL NAME TRACE" or "skip NAME REASON"."""

import sys
import traceback

cases = {}


def case(name):
    """Registers a function as the case of that name."""

    def register(run):
        assert name not in cases, name
        cases[name] = run
        return run

    return register


def main(skipped=None):
    """Runs the cases whose names begin with the program's first argument, or all, and exits with status 1 if one fails.
    skipped has the reason for each case that the client cannot run."""
    prefix = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, reason in (skipped or {}).items():
        print("skip", name, reason, flush=True)
    failed = False
    for name, run in cases.items():
        if not name.startswith(prefix):
            continue
        try:
            run()
            print("ok", name, flush=True)
        except Exception:
            failed = True
            print("FAIL", name, traceback.format_exc().replace("\n", " | "), flush=True)
    sys.exit(failed)
