"""What was fitted: the coefficients of the law in each panel, and what it and other forms say of each point.

`coefficients` has a row a panel, in the sign of the equation; the authors' script, and so P-Law's Table 4, has w1 and
w2 with the other sign. `fitted` has a row a point: its value, and that of each form.
"""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from seqrepro.laws.forms import Form
from seqrepro.laws.panels import Panel, Row
from seqrepro.laws.performance_law import best_of, fits
from seqrepro.laws.tables import stable

COMPARED = ("law", "quadratic", "power", "log_linear")
WEIGHTS = ("w1", "w2", "w3", "w4", "p1", "constant")
TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
PANEL = [
    *((name, TEXT) for name in ("points", "model", "dataset")),
    ("max_length", WHOLE),
    *((name, TEXT) for name in ("data", "metric")),
]
COEFFICIENTS = pa.schema([*PANEL, *((name, REAL) for name in (*WEIGHTS, "r2"))])
FITTED = pa.schema([*PANEL, *((name, REAL) for name in ("n_blocks", "d_emb", "value", *COMPARED))])


def coefficient_row(panel: Panel, inverse_p1: Sequence[int]) -> Row:
    """The law with the best p1 of a grid of 1/p1."""
    best = best_of(fits(panel.n_blocks, panel.d_emb, panel.values, [1 / one for one in inverse_p1]))
    return panel.name | {name: stable(getattr(best.parameters, name)) for name in WEIGHTS} | {"r2": stable(best.r2)}


def fitted_rows(panel: Panel, forms: Mapping[str, Form]) -> Iterator[Row]:
    """The points of a panel, with what some forms make of them."""
    sizes = panel.n_blocks, panel.d_emb
    curves = {name: forms[name].fit(*sizes, panel.values).predict(*sizes) for name in COMPARED}
    for place, (n, d, value) in enumerate(zip(*sizes, panel.values, strict=True)):
        told = {name: stable(float(curve[place])) for name, curve in curves.items()}
        yield panel.name | {"n_blocks": float(n), "d_emb": float(d), "value": stable(float(value))} | told
