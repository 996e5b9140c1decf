"""Templates: how values are printed, and where links lead."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from seqrepro.evaluation.exposure import MEASURES
from seqrepro.ledger import cost, exposure, searches, sizes, tables
from seqrepro.report import curvature
from seqrepro.report.cells import anchor, step_anchor
from seqrepro.report.claims import look
from seqrepro.report.drawing import Drawn


def templates(folder: Path) -> Environment:
    """The templates of the pages that stand in a folder."""
    environment = Environment(
        loader=PackageLoader("seqrepro.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS | {"beside": _beside(folder)}
    environment.tests["ties_matter"] = tables.ties_matter
    environment.globals |= {"metrics": tables.PAPER_METRICS, "not_run": tables.NOT_RUN}
    environment.globals |= {"measures": MEASURES, "exposure_caption": exposure.CAPTION}
    environment.globals["cost_caption"] = cost.CAPTION
    environment.globals |= {"sizes_caption": sizes.CAPTION, "searches_caption": searches.CAPTION}
    environment.globals |= {"curvatures": curvature.MEASURES, "weights": curvature.PARTS}
    return environment


def _beside(folder: Path) -> Callable[[Any], str]:
    """A link to a file that works from the file system, wherever the tree lies."""
    return lambda path: Path(os.path.relpath(path, folder)).as_posix()


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _svg(figure: Drawn) -> Markup:
    return Markup(figure.svg)  # our own drawing: its texts were escaped by matplotlib


def _prose(text: str) -> Markup:
    """A line of Markdown: what stands between backticks is code, all else is text."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


FILTERS: dict[str, Any] = {
    "number": lambda value, sign=False: _minus(tables.number(value, sign=sign)),
    "interval": lambda row: _minus(tables.interval(row)),
    "p_value": tables.p_value,
    "percent": lambda value: _minus(tables.percent(value)),
    "measured": lambda value, measure: _minus(exposure.printed(measure, value)),
    "references": exposure.references,
    "significant": lambda value: _minus(curvature.printed(value)),
    "bound": curvature.bound,
    "look": look,
    "anchor": anchor,
    "record": lambda folder: f"runs.html#{anchor(folder)}",
    "step_record": lambda folder: f"runs.html#{step_anchor(folder)}",
    "sentence": lambda text: text[:1].upper() + text[1:],
    "count": lambda value: "" if value is None else f"{value:,}",
    "short": lambda digest: digest[:12] if digest else "no record",
    "seconds": _duration,
    "times": lambda value: "" if value is None else f"{value:.2f}",
    "megabytes": lambda value: "" if value is None else f"{value / 1e6:.1f} MB",
    "svg": _svg,
    "prose": _prose,
}
