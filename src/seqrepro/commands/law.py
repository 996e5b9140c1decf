"""`seqrepro law predict`: the best depth and width under a budget, by the Performance Law fitted to our own runs."""

import argparse
from typing import Any

from seqrepro.commands.arguments import Parser, add_suite, load_plan, parser
from seqrepro.config.requests import SuitePlan
from seqrepro.errors import InputError
from seqrepro.laws.candidates import BUDGETS, candidates
from seqrepro.laws.points import FITTED, VALIDATION, Grid, own_grids, read_points
from seqrepro.laws.predict import BEYOND, Prediction, predict

DRAWS, SEED = 200, 1
UNBOUND = f"no larger budget gives another shape, of those up to {BEYOND} times the grid"
NAMES = ("dataset", "model", "data", "max_length")  # of a grid


def main(words: list[str]) -> int:
    """Print the best shape within a budget, with its intervals, and whether the law had to extrapolate."""
    given = _given(words)
    kind, most = _budget(given.budget)
    parameters, plan = load_plan(given.suite)
    grid = _grid(plan, given)
    panel, inverse_p1 = grid.panel(VALIDATION + given.metric), _refit(plan)["pf1"]
    found = predict(panel, candidates(parameters, grid, kind), most, inverse_p1, DRAWS, SEED)
    print("\n".join(lines(grid, found, kind, given)))
    return 0


def lines(grid: Grid, found: Prediction, kind: str, given: argparse.Namespace) -> list[str]:
    """What was found, in words."""
    words = grid.words
    told = [
        f"{words['dataset']}, {words['title']}, training on {words['data']}, L = {words['max_length']}: validation "
        f"{given.metric} of {words['n_points']} shapes, seeds: {words['seeds']}; R2 of the law {found.r2:.3f}",
        f"best within {given.budget}: depth {found.n_blocks}, width {found.d_emb}",
        f"  95 %: depth {found.depths[0]:g} to {found.depths[1]:g}, width {found.widths[0]:g} to {found.widths[1]:g}",
        f"  validation {given.metric} {found.value:.4f} [{found.values[0]:.4f}, {found.values[1]:.4f}] by the law",
        f"  cost: {found.cost:,.4g} {BUDGETS[kind]}",
        "  the budget binds: a larger one gives another shape" if found.is_bound else f"  {UNBOUND}",
    ]
    return [*told, *(f"  EXTRAPOLATED: {what}" for what in found.beyond)]


def _given(words: list[str]) -> argparse.Namespace:
    arguments = parser("law", __doc__ or "")
    verbs = arguments.add_subparsers(dest="action", metavar="predict", parser_class=Parser)
    asked = verbs.add_parser("predict", help="the best depth and width under a budget")
    asked.add_argument("--dataset", required=True, help="a dataset with a finished grid")
    asked.add_argument("--budget", required=True, metavar="KIND=NUMBER", help=f"KIND is one of {', '.join(BUDGETS)}")
    asked.add_argument("--model", help="a model with a finished grid there (default: the only one)")
    asked.add_argument("--metric", default="ndcg@10", choices=FITTED, help="default: ndcg@10")
    asked.add_argument("--data", default="all", help="what training sees, as laws/points.csv has it (default: all)")
    asked.add_argument("--length", type=int, help="longest history of the grid (default: the only one)")
    add_suite(asked)
    given = arguments.parse_args(words)
    if given.action is None:
        arguments.error("an action is missing, predict")
    return given


def _budget(text: str) -> tuple[str, float]:
    kind, _, number = text.partition("=")
    try:
        most = float(number)
    except ValueError:
        most = float("nan")
    if kind not in BUDGETS or not 0 < most < float("inf"):
        raise InputError(f"--budget: found '{text}', expected one of {', '.join(BUDGETS)}, '=' and a number above 0")
    return kind, most


def _refit(plan: SuitePlan) -> dict[str, Any]:
    found = next((one.parameters for one in plan.of("refit").values()), {})
    if not found.get("own"):
        raise InputError(f"suite '{plan.suite}' has no grid of the Performance Law (an experiment with `law`)")
    return found


def _grid(plan: SuitePlan, given: argparse.Namespace) -> Grid:
    """The one grid that is meant. Raises InputError with what there is."""
    entries = _refit(plan)["own"]
    grids = list(own_grids(entries, read_points(entries)))
    wanted = {"dataset": given.dataset, "model": given.model, "data": given.data, "max_length": given.length}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    chosen = [grid for grid in grids if all(grid.words[name] == value for name, value in wanted.items())]
    if len(chosen) == 1:
        return chosen[0]
    known = "; ".join(", ".join(f"{name} {grid.words[name]}" for name in NAMES) for grid in grids) or "none"
    asked = ", ".join(f"{name} {value}" for name, value in wanted.items())
    raise InputError(f"{asked}: {len(chosen)} finished grids, expected 1; finished are: {known}")
