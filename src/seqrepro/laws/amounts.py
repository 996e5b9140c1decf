"""Which measure of data explains our own runs: the joint law with each, by held-out error.

A row a model, metric and measure of data. All measures are fitted to the same panels: those of a model of which tokens
are known, at two amounts of data or more; a measure that one of them lacks has no row. Generated and real data are
never fitted together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from seqrepro.laws.joint import Amounted, dataset_out_error, fit_joint, panel_out_error, shared_shape, within_r2
from seqrepro.laws.measures import AMOUNTS, TOKENS
from seqrepro.laws.points import FITTED, RECURRING, Grid, Row
from seqrepro.laws.shapes import Shape

JOINT, ALONE = "joint", "one dataset"  # fits of several datasets, whose held-out errors leave a dataset out, and of one
COMPARED = ("r2", "held_out_error", "panel_held_out_error")


def joint_rows(grids: Sequence[Grid]) -> Iterator[Row]:
    """The rows of `data_factor.csv` from our own runs."""
    for own in _fitted_together(grids):
        for metric in FITTED:
            panels, shapes = [_amounted(grid, metric) for grid in own], _Remembered()
            found = {name: _fit([grid.log_amount(name) for grid in own], panels, shapes) for name in AMOUNTS}
            tokens = found[TOKENS]
            for measure, row in found.items():
                if row and tokens:
                    beside = {f"tokens_{name}": tokens[name] for name in COMPARED}
                    yield _words(own, metric) | {"measure": measure} | row | beside


def _fitted_together(grids: Sequence[Grid]) -> Iterator[list[Grid]]:
    """The panels of each model under one protocol, on generated or on real data."""
    known = [grid for grid in grids if grid.log_amount(TOKENS) is not None]
    keys = [(one.first["model"], one.first["protocol_name"], _generated(one)) for one in known]
    for key in dict.fromkeys(keys):
        own = [grid for grid, place in zip(known, keys, strict=True) if place == key]
        if len({grid.log_amount(TOKENS) for grid in own}) > 1:
            yield own


def _fit(amounts: list[float | None], panels: list[Amounted], shapes: "_Remembered") -> Row | None:
    """What the joint law says with one measure of data; None where a panel lacks it, or all are the same."""
    known = [amount for amount in amounts if amount is not None]
    if len(known) < len(panels) or len(set(known)) < 2:
        return None
    meant = [replace(one, log_data=amount) for one, amount in zip(panels, known, strict=True)]
    law, dataset_out = fit_joint(meant, shapes(meant)), dataset_out_error(meant, shapes)
    panel_out = panel_out_error(meant, shapes)
    return {
        "w5": law.w5,
        "r2": within_r2(meant, law),
        "held_out_error": panel_out if dataset_out is None else dataset_out,
        "panel_held_out_error": panel_out,
    }


class _Remembered:
    """The shared shape of some panels of one metric, fitted once for all measures of data."""

    def __init__(self) -> None:
        self.found: dict[tuple[bytes, ...], Shape] = {}

    def __call__(self, panels: Sequence[Amounted]) -> Shape:
        key = tuple(one.values.tobytes() for one in panels)
        if key not in self.found:
            self.found[key] = shared_shape(panels)
        return self.found[key]


def _amounted(grid: Grid, metric: str) -> Amounted:
    """A panel with its tokens for an amount of data."""
    panel, tokens = grid.panel(metric), grid.log_amount(TOKENS)
    assert tokens is not None, "who is fitted has tokens"
    return Amounted(panel.dataset, panel.n_blocks, panel.d_emb, panel.values, tokens, tokens)


def _words(grids: list[Grid], metric: str) -> Row:
    first, datasets = grids[0].first, dict.fromkeys(grid.first["dataset"] for grid in grids)
    return {
        **{name: first[name] for name in ("model", "title", "protocol_name", "data_class")},
        "fit": JOINT if len(datasets) > 1 else ALONE,
        "datasets": ", ".join(datasets),
        "panels": len(grids),
        "metric": metric,
    }


def _generated(grid: Grid) -> bool:
    return bool(grid.first["data_class"] == RECURRING)
