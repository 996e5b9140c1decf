"""What was fitted: the coefficients of the law in each panel, and what it and other forms say of each point.

`coefficients` has a row a panel, in the sign of the equation; the authors' script, and so P-Law's Table 4, has w1 and
w2 with the other sign. `fitted` has a row a point: its value, and that of each form.
"""

from collections.abc import Iterator, Mapping

import pyarrow as pa

from seqrepro.laws.forms import Form
from seqrepro.laws.panels import Panel, Row
from seqrepro.laws.performance_law import Fit
from seqrepro.laws.tables import stable

OTHERS = ("quadratic", "power", "log_linear")
WEIGHTS = ("w1", "w2", "w3", "w4", "p1", "constant")
TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
PANEL = ("points", "model", "dataset", "max_length", "data", "metric")  # what names one
KEYS = [(name, WHOLE if name == "max_length" else TEXT) for name in PANEL]
COEFFICIENTS = pa.schema([*KEYS, *((name, REAL) for name in (*WEIGHTS, "r2"))])
FITTED = pa.schema([*KEYS, *((name, REAL) for name in ("n_blocks", "d_emb", "value", "law", *OTHERS))])


def coefficient_row(panel: Panel, law: Fit) -> Row:
    """The law as it was fitted to a panel."""
    return panel.name | {name: stable(getattr(law.parameters, name)) for name in WEIGHTS} | {"r2": stable(law.r2)}


def fitted_rows(panel: Panel, law: Fit, forms: Mapping[str, Form]) -> Iterator[Row]:
    """The points of a panel, with what the law and some other forms make of them."""
    sizes = panel.n_blocks, panel.d_emb
    curves = {"law": law.parameters.predict(*sizes)}
    curves |= {name: forms[name].fit(*sizes, panel.values).predict(*sizes) for name in OTHERS}
    for place, (n, d, value) in enumerate(zip(*sizes, panel.values, strict=True)):
        told = {name: stable(float(curve[place])) for name, curve in curves.items()}
        yield panel.name | {"n_blocks": float(n), "d_emb": float(d), "value": stable(float(value))} | told
