"""`seqrepro <verb>`: what rules, `dvc.yaml` and people call. Each verb's module is imported only when it is called."""

import logging
import os
import sys
from importlib import import_module

from seqrepro.errors import SeqReproError

STEPS = {
    "retrieve": "fetch the files of a dataset and check them",
    "prepare": "turn a dataset's files into interactions and sequences (Parquet)",
    "candidates": "draw the negatives that targets are ranked among",
    "describe": "measure what a dataset is like: windows, entropies, splits",
    "measure": "measure what a training sees: tokens, repeats, entropies",
    "train": "train one run and rank its test users",
    "probe": "measure something on a trained model",
    "refit": "refit the published points of the Performance Law",
    "survey": "make the tables of a suite's datasets, published statistics beside them",
    "compare": "make the tables: ours, intervals, published numbers beside them",
    "judge": "give each claim of each paper its verdict",
    "report": "make the figures and the HTML page",
}
VERBS = {
    "data": ("seqrepro.commands.data", "list the datasets of the registry, or verify those that are at hand"),
    "claims": ("seqrepro.commands.claims", "list the claims of the papers, or show one"),
    "controls": ("seqrepro.commands.controls", "list the controls, simulate their power, or check a suite's"),
    "verdict": ("seqrepro.commands.verdict", "explain the verdict of one claim in words"),
    "plan": ("seqrepro.commands.plan", "print the runs of a suite, and what a change would re-run"),
    "law": ("seqrepro.commands.law", "predict the best depth and width under a budget from a grid of our own runs"),
    "select": ("seqrepro.commands.select", "choose the best trial of each searched model, by the validation split"),
    "track": ("seqrepro.commands.track", "bring MLflow in step with the run folders"),
    "audit": ("seqrepro.commands.audit", "check every result against its sidecar and the manifest"),
    "manifest": ("seqrepro.commands.manifest", "write the list of all sidecars and their checksums"),
    "pack": ("seqrepro.commands.pack", "gather a suite's results for DVC"),
    "restore": ("seqrepro.commands.restore", "put back what DVC pulled, as far as it matches this tree"),
    "schema": ("seqrepro.commands.schema", "write workflow/schemas/params.schema.json"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run a verb and return its exit code: 0 done, 1 a check failed, 2 bad input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    verb = words[0] if words else "--help"
    if verb in ("--help", "-h"):
        print(_usage())
        return 0
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("seqrepro").setLevel(logging.INFO)
    try:
        code = _call(verb, words[1:])
        sys.stdout.flush()
        return code
    except SeqReproError as error:
        if debug:
            raise
        print(f"seqrepro {verb}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"seqrepro {verb}: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _call(verb: str, words: list[str]) -> int:
    if verb in STEPS:
        from seqrepro.commands.step import run_step

        return run_step(verb, STEPS[verb], words)
    if verb in VERBS:
        return int(import_module(VERBS[verb][0]).main(words) or 0)
    from seqrepro.config.faults import nearest
    from seqrepro.errors import InputError

    raise InputError(f"unknown verb{nearest(verb, [*STEPS, *VERBS])}")


def _usage() -> str:
    rows = [*STEPS.items(), *((name, text) for name, (_, text) in VERBS.items())]
    lines = [f"  {name:10} {text}" for name, text in rows]
    return "\n".join(
        [
            "seqrepro VERB [OPTIONS]    (seqrepro VERB --help says more; --debug shows tracebacks)",
            "",
            *lines,
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
