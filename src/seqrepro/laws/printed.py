"""The table printed: every printed number of P-Law that the published points let us compute, beside ours.

- The legends of the figures (R2, 6 digits) and Tables 1, 7 and 8 (R2, mean absolute error, root of the mean squared
  error): of the law, and of the 'Scaling Law', which is the regression on ln N and ln d. 'Precision Scaling Law' has a
  term of which one panel holds no information; how it was fitted is not printed.
- Table 2: its optima, and what the law predicts at the other shapes. `same_run` names runs of the panel with the very
  digits of a comparison row. Its panel of MovieLens-1M has length 200, for those are its runs; of Industrial both stand
  here, for its labels may be exchanged.
- Table 6: the regressions on measures that Table 3 prints (data_factor.py).

`ours` is the law with the 1/p1 of the highest R2; `ours_at_label` that with the 1/p1 whose R2 comes nearest to the
legend's, so that it looks at the answer. `low` and `high` are ends of the bootstrap interval of an optimum. `shift` is
the legend less our R2, both with 6 digits. Table 1 cuts digits as often as it rounds: either agrees there.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seqrepro.laws.numbers import Printed
from seqrepro.laws.panels import Panel, Row
from seqrepro.laws.performance_law import Fit
from seqrepro.laws.published_r2 import Fits, Published, best_pf1, closest_pf1
from seqrepro.laws.tables import stable

FORMS = {"Performance Law": "law", "Scaling Law": "log_linear"}
MODELS = {"law": "performance_law", "log_linear": "scaling_law"}  # names in published_r2.csv
LEGENDS = "legends of the figures"
LENGTHS = {"ml-1m": (200,), "industrial": (25, 50)}  # of the panels that Table 2 may be about
OPTIMUM = "the predicted optimum"  # as published.csv marks it
AGAIN = "right (N fixed)"  # this half of Table 2 repeats the optimum of the other
WITHIN = 0.05


@dataclass(frozen=True)
class Refitted:
    """A panel with all that was fitted to it."""

    panel: Panel
    fits: Fits
    label: float | None  # the legend's R2 of the law
    baseline: Row  # r2, mae, rmse of the regression on ln N and ln d
    optimum: Row
    constrained: list[Row]

    @property
    def best(self) -> Fit:
        """The law with the highest R2."""
        return self.fits[best_pf1(self.fits)]

    @property
    def at_label(self) -> Fit | None:
        """The law whose R2 is nearest to the legend's."""
        return None if self.label is None else self.fits[closest_pf1(self.fits, self.label)]


def printed_rows(
    refitted: Sequence[Refitted], legends: Published, numbers: Sequence[Printed], regressions: Iterable[Row]
) -> Iterator[Row]:
    """A row a printed number and panel, in the order of the tables.

    Args:
        refitted: the panels, in the order of the points.
        legends: published R2; those with 6 digits are read.
        numbers: all printed numbers.
        regressions: rows of the table data_factor.
    """
    yield from _legends(refitted, legends)
    yield from _errors(refitted, [one for one in numbers if one.table in ("Table 1", "Table 7", "Table 8")])
    yield from _shapes(refitted, [one for one in numbers if one.table.startswith("Table 2,")])
    for row in regressions:
        if row["published_r2"] is not None:
            number = next(one for one in numbers if one.table == "Table 6" and one.model == row["published_as"])
            yield _row(number, None, "line", row["r2"]) | {"metric": row["metric"]}


def _legends(refitted: Sequence[Refitted], legends: Published) -> Iterator[Row]:
    for form, model in MODELS.items():
        for one in refitted:
            panel = one.panel
            if (value := legends.get((panel.key, model, 6))) is not None:
                number = Printed(LEGENDS, panel.dataset, panel.max_length, model, "r2", f"{value:.6f}", "")
                row = _of_form(one, number, form)
                yield row | ({} if form == "law" else {"shift": round(value - round(one.baseline["r2"], 6), 6)})


def _errors(refitted: Sequence[Refitted], numbers: Sequence[Printed]) -> Iterator[Row]:
    by_key = {one.panel.key: one for one in refitted}
    for number in numbers:
        form, metric = _fitted(number)
        one = by_key.get((number.dataset, number.max_length or 0, metric))
        if form in FORMS and one is not None:
            yield _of_form(one, number, FORMS[form])


def _fitted(number: Printed) -> tuple[str, str]:
    """The form and the metric of 'Scaling Law, fitted to hit_rate@10', the metric as the points have it."""
    form, _, metric = number.model.partition(", fitted to ")
    return form, metric.replace("hit_rate", "hr")


def _of_form(one: Refitted, number: Printed, form: str) -> Row:
    """A printed R2 or error of the law or of the regression."""
    if form != "law":
        return _row(number, one.panel, form, one.baseline[number.quantity])
    at_label = None if one.at_label is None else getattr(one.at_label, number.quantity)
    return _row(number, one.panel, form, getattr(one.best, number.quantity), at_label)


def _shapes(refitted: Sequence[Refitted], numbers: Sequence[Printed]) -> Iterator[Row]:
    for number in numbers:
        metric, lengths = number.quantity.replace("hit_rate", "hr"), LENGTHS.get(number.dataset, ())
        for one in refitted:
            panel = one.panel
            if panel.dataset == number.dataset and panel.max_length in lengths and panel.metric == metric:
                n, d = _shape(number)
                ours, at_label = (_at(fit, n, d) for fit in (one.best, one.at_label))
                yield _row(number, panel, "law", ours, at_label) | {
                    "same_run": _same(panel, number),
                    "at": f"N={n}, d={d}",
                }
                if number.note.startswith(OPTIMUM) and AGAIN not in number.table:
                    yield from _optima(one, number)


def _optima(one: Refitted, number: Printed) -> Iterator[Row]:
    """The printed optimum beside ours, but for what a constraint gives."""
    shape = dict(zip(("n_star", "d_star"), _shape(number), strict=True))
    is_line = "about 512" in number.table
    free = ["d_star"] if "H = 64" in number.table else ["n_star", "d_star"]
    for quantity in free:
        told = Printed(
            number.table, number.dataset, number.max_length, number.model, quantity, str(shape[quantity]), ""
        )
        if is_line:
            ours = next(row[quantity] for row in one.constrained if row["constraint"] == "N * d = 512")
            yield _row(told, one.panel, "law", ours)
            continue
        places = [_place(fit, quantity) for fit in (one.best, one.at_label)]
        ends = {end: one.optimum[f"{quantity}_{end}"] for end in ("low", "high")}
        yield _row(told, one.panel, "law", *places) | ends


def _shape(number: Printed) -> tuple[int, int]:
    """N and d of 'HSTU-like decoder, N=28, d=54'."""
    n, d = re.findall(r"[Nd]=(\d+)", number.model)
    return int(n), int(d)


def _at(fit: Fit | None, n: int, d: int) -> float | None:
    return None if fit is None else float(fit.parameters.predict(np.array(float(n)), np.array(float(d))))


def _place(fit: Fit | None, quantity: str) -> float | None:
    if fit is None:
        return None
    return fit.parameters.best_n_blocks if quantity == "n_star" else fit.parameters.best_d_emb


def _same(panel: Panel, number: Printed) -> str:
    """The runs of the panel with the printed digits."""
    here = np.isclose(panel.values, number.value, rtol=0, atol=number.unit / 1000)
    return "; ".join(f"N={n:g}, d={d:g}" for n, d in zip(panel.n_blocks[here], panel.d_emb[here], strict=True))


def _row(number: Printed, panel: Panel | None, form: str, ours: float | None, at_label: float | None = None) -> Row:
    may_be_cut = number.table == "Table 1"
    return {
        "table": number.table,
        "dataset": panel.dataset if panel else number.dataset,
        "max_length": panel.max_length if panel else None,
        "metric": panel.metric if panel else None,
        "form": form,
        "quantity": number.quantity,
        "printed": number.value,
        "last_digit": number.unit,
        "ours": stable(ours),
        "difference": None if ours is None else stable(ours - number.value),
        "agrees": ours is not None and number.agrees(ours, may_be_cut),
        "within_5_percent": ours is not None and abs(ours / number.value - 1) < WITHIN,
        "ours_at_label": stable(at_label),
        "agrees_at_label": None if at_label is None else number.agrees(at_label, may_be_cut),
        "low": None,
        "high": None,
        "shift": None,
        "at": "",
        "same_run": "",
        "note": number.note,
    }
