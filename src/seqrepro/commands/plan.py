"""`seqrepro plan`: the runs of a suite, why each is needed, and what a change of parameters would re-run."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from seqrepro.commands.arguments import add_suite, load_plan, parser
from seqrepro.config.claim_plan import Covered, LeftOut, coverage, needed_runs
from seqrepro.config.load import PARAMETERS, parse_parameters
from seqrepro.config.plan import Need, Run
from seqrepro.config.requests import SuitePlan, state_of, write_requests
from seqrepro.config.selection import read_selections, selection_path
from seqrepro.data.registry import load_registry
from seqrepro.errors import InputError
from seqrepro.files import Json
from seqrepro.ledger.claims import claim_files, read_claims

COLUMNS = ("paper", "dataset", "model", "objective", "seed", "needed for", "state")
CHECKPOINTS = Path("results/checkpoints")


def main(words: list[str]) -> int:
    """Print the run table, or the difference to another version of the parameters."""
    arguments = parser("plan", __doc__ or "")
    add_suite(arguments)
    arguments.add_argument(
        "--diff",
        nargs="?",
        const="HEAD",
        metavar="OTHER",
        help="compare with params.yaml of a git revision (default HEAD) or with another file",
    )
    arguments.add_argument(
        "--claims", action="store_true", help="what each claim has in this suite, and what is missing"
    )
    arguments.add_argument("--csv", action="store_true", help="comma-separated, for other programs")
    given = arguments.parse_args(words)
    parameters, plan = load_plan(given.suite)
    if given.diff:
        before = parse_parameters(_other_version(given.diff), given.diff)
        if plan.suite not in before.suites:
            raise InputError(f"{given.diff}: has no suite '{plan.suite}'")
        selections = _other_selections(given.diff, before.suites[plan.suite].experiments)
        rows = diff_rows(needed_runs(before, plan.suite, load_registry(), selections)[0], plan.runs)
        _print(("what", "dataset", "model", "seed", "change"), rows, given.csv)
        print(_diff_summary(rows), file=sys.stderr)
        return 0
    (judged,) = plan.of("judge").values()
    claims_of_suite = map(read_claims, claim_files(parameters.suites[plan.suite].claims))
    covered = coverage(claims_of_suite, parameters, judged)
    if given.claims:
        claims: list[tuple[str, ...]] = [(one.claim, one.state, "; ".join(one.missing)) for one in covered]
        _print(("claim", "runs", "missing"), claims, given.csv)
        print(_claims_summary(covered), file=sys.stderr)
        return 0
    write_requests(plan)
    rows = run_rows(plan)
    _print(COLUMNS, rows, given.csv)
    words = [_summary(plan, rows), *map(_left_out, plan.left_out), _claims_summary(covered), plan.next_step]
    print("\n".join(filter(None, words)), file=sys.stderr)
    return 0


def run_rows(plan: SuitePlan) -> list[tuple[str, ...]]:
    """A row a run: paper, dataset, model, objective, seed, why it is needed, state."""
    states = {request.folder: state_of(request) for request in plan.of("train").values()}
    return [
        (
            ", ".join(sorted({paper for need in run.needs for paper in need.papers})),
            run.dataset,
            f"{(run.final or run.needs[0]).model} ({run.name})",
            run.config["training"].get("objective", {}).get("name", "closed form"),
            str(run.seed),
            ", ".join(dict.fromkeys(map(_reason, run.needs))),
            _run_state(run, states[f"{run.folder}/seed-{run.seed}"]),
        )
        for run in plan.runs
    ]


def diff_rows(before: list[Run], after: list[Run]) -> list[tuple[str, ...]]:
    """What to run anew, and what is no longer asked for: (what, dataset, model, seed, changed parameters)."""
    trained, wanted = {_result(run) for run in before}, {_result(run) for run in after}
    old, new = {_identity(run): run for run in before}, {_identity(run) for run in after}
    rows: list[tuple[str, ...]] = []
    for run in (run for run in after if _result(run) not in trained):
        if (key := _identity(run)) in old:
            rows.append(("re-run", *_named(run), "; ".join(changes(old[key].config, run.config))))
        else:
            rows.append(("run", *_named(run), "new"))
    gone = (run for key, run in old.items() if key not in new and _result(run) not in wanted)
    return rows + [("drop", *_named(run), "no longer planned") for run in gone]


def changes(before: Any, after: Any, place: str = "") -> list[str]:
    """Differences of two nested parameter objects, as 'path: old -> new'."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = dict.fromkeys([*before, *after])
        parts = ((key, before.get(key, "default"), after.get(key, "default")) for key in keys)
        return [line for key, old, new in parts for line in changes(old, new, f"{place}.{key}".lstrip("."))]
    return [] if before == after else [f"{place}: {before} -> {after}"]


def _identity(run: Run) -> tuple[str, str, str, int]:
    return (_reason(run.needs[0]), run.dataset, run.needs[0].model, run.seed)


def _reason(need: Need) -> str:
    if need.variant:
        return f"{need.experiment} ({need.variant.title})"
    return f"{need.experiment} (trial {need.trial.number})" if need.trial else need.experiment


def _result(run: Run) -> tuple[str, str, int]:
    return (run.dataset, run.config_hash, run.seed)


def _named(run: Run) -> tuple[str, str, str]:
    return (run.dataset, run.needs[0].model, str(run.seed))


def _run_state(run: Run, state: str) -> str:
    checkpoint = CHECKPOINTS / run.dataset / run.name / f"seed-{run.seed}"
    return "interrupted" if state == "to do" and checkpoint.is_dir() else state


def _other_version(name: str) -> str:
    if Path(name).is_file():
        return Path(name).read_text(encoding="utf-8")
    if (shown := _git_show(name, PARAMETERS)) is None:
        raise InputError(f"--diff {name}: neither a file nor a git revision that has {PARAMETERS}")
    return shown


def _other_selections(name: str, experiments: Iterable[str]) -> dict[str, Json]:
    """The selections of a git revision; beside a file stand those of this tree."""
    if Path(name).is_file():
        return read_selections(experiments)
    shown = {experiment: _git_show(name, selection_path(experiment)) for experiment in experiments}
    return {experiment: json.loads(text) for experiment, text in shown.items() if text is not None}


def _git_show(revision: str, path: Path) -> str | None:
    command = ["git", "show", f"{revision}:{path.as_posix()}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if shown.returncode else shown.stdout


def _summary(plan: SuitePlan, rows: list[tuple[str, ...]]) -> str:
    states = [row[-1] for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"suite '{plan.suite}': {len(rows)} runs ({counts}), {len(plan.requests)} jobs before tracking and audit"


def _left_out(one: LeftOut) -> str:
    models = ", ".join(one.models)
    return f"left out: {one.experiment} on {one.dataset} ({models}): no claim, published number or chapter needs it"


def _claims_summary(covered: list[Covered]) -> str:
    states = [one.state for one in covered]
    counts = [states.count(state) for state in ("planned", "in part", "not planned", "nothing to run")]
    text = "claims: {} have all their runs in this suite, {} some, {} none".format(*counts)
    text += f", {counts[3]} need none" if counts[3] else ""
    return f"{text} (`seqrepro plan --claims` names them)"


def _diff_summary(rows: list[tuple[str, ...]]) -> str:
    return f"{sum(row[0] != 'drop' for row in rows)} runs to train" if rows else "no run changes"


def _print(header: tuple[str, ...], rows: list[tuple[str, ...]], as_csv: bool) -> None:
    if as_csv:
        import csv

        csv.writer(sys.stdout, lineterminator="\n").writerows([header, *rows])
        return
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, tuple("-" * width for width in widths), *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
