"""The verbs that carry out a request: those of one job, and those of a whole suite."""

from pathlib import Path

from seqrepro.commands.arguments import add_suite, load_plan, parser
from seqrepro.config.load import load_parameters
from seqrepro.config.requests import write_requests
from seqrepro.errors import InputError
from seqrepro.harness import execute
from seqrepro.workflow import announce_mirror

OF_A_SUITE = ("refit", "survey", "compare", "judge", "report")


def run_step(verb: str, description: str, words: list[str]) -> int:
    """Carry out one request, given as a file; or, for the verbs of a whole suite, by the suite's name."""
    arguments = parser(verb, description)
    arguments.add_argument("request", type=Path, nargs="?", help=f"a file under results/plan/{verb}/")
    if verb in OF_A_SUITE:
        add_suite(arguments)
    given = arguments.parse_args(words)
    path = given.request
    if path is None and verb in OF_A_SUITE:
        _, plan = load_plan(given.suite)
        write_requests(plan)
        path = next(iter(plan.of(verb)), None)
        if path is None:
            raise InputError(f"params.yaml: suite '{plan.suite}' asks for no {verb}")
    elif path is None:
        arguments.error("a request file is missing (`seqrepro plan` writes them)")
    if verb == "retrieve":
        announce_mirror(load_parameters())
    execute(verb, path)
    return 0
