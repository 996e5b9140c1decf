"""The tables of what training costs: a step beside a step of another model, and equal steps beside equal compute.

`cost` has a row a run and other model, as its cost probe measured them side by side; a run whose probe is not there has
none. `compute` has a row a finished run and other model. An epoch's steps are counted by the probe; a run's passes
stand in `metrics.json` where they are not its steps. With S steps and P passes of the other model's run of the same
seed, in all its epochs, and s steps and p passes in the e epochs of a run:

    at equal steps      best validation value of the run's epochs 1..k, with k the largest for which k s / e <= S
    at equal compute    the same with k p / e <= P

A training that ended before has no more to show than its best. Seconds are steps times the probe's seconds a step, not
those of the training itself, which other jobs may have disturbed; they depend on the machine as it was. Its time to the
best epoch, as a multiple of the other's, is the ratio of a step times the steps of one over those of the other. A
training with two stages has only the second in its history, so nothing is said of it at equal steps or compute.
"""

import statistics
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from seqrepro.files import Json, read_json
from seqrepro.ledger.evidence import Row, seed_folder
from seqrepro.ledger.measurements import read_measurements
from seqrepro.ledger.tables import REAL, TEXT, WHOLE, complete, write_table

SIDES = ("", "against_")
MEASURED = ("seconds_per_step", "passes_per_step", "targets_per_second", "memory_bytes")
SHARES = ("weight_bytes", "gradient_bytes", "optimizer_bytes", "vector_bytes")  # of the memory, of the run itself
RATIOS = ("ratio", "ratio_low", "ratio_high", "memory_ratio")
IDENTITY = [*((name, TEXT) for name in ("dataset", "data_class", "model", "title", "against")), ("seed", WHOLE)]
PLACE = [(name, TEXT) for name in ("protocol", "folder")]
COST = pa.schema(
    [
        *IDENTITY,
        *((name, REAL) for name in (*RATIOS, *(side + name for name in MEASURED for side in SIDES), *SHARES)),
        *PLACE,
    ]
)
COMPUTE = pa.schema(
    [
        *IDENTITY,
        *((name, WHOLE) for name in ("epochs", "best_epoch", "steps", "steps_to_best", "passes", "passes_to_best")),
        *((name, REAL) for name in ("seconds", "seconds_to_best", "time_to_best_ratio")),
        ("metric", TEXT),
        *((name, REAL) for name in ("best", "at_equal_steps", "at_equal_compute")),
        *((name, TEXT) for name in ("note", "reference")),
        *PLACE,
    ]
)
TWO_STAGES = "two stages"
CAPTION = (
    "A step of training beside a step of the other model's, in turns in one process: time ratio (geometric mean over "
    "blocks and seeds, and the lowest and the highest end of the 95 % intervals of the seeds), forward and backward "
    "passes, and the bytes of weights, gradients and whatever the optimizer holds, without activations. Then what the "
    "whole training took to its best validation epoch (time: as a multiple of the other's), and the best validation "
    "value within as many steps, and within as many passes, as the other's training took in all; means over seeds."
)


def write(folder: Path, wanted: Json) -> list[Path]:
    """Write `cost` and `compute`, `.parquet` and `.csv` each, from the parameters of a request to compare."""
    asked = [found for run in wanted["runs"] for found in _asked(run, wanted["cost"])]
    cost = complete((row for one in asked for row in _cost(*one)), COST)
    compute = complete((row for one in asked for row in _compute(*one)), COMPUTE)
    return [*write_table(folder / "cost", cost, COST), *write_table(folder / "compute", compute, COMPUTE)]


def by_model(cost: list[Row], compute: list[Row]) -> list[Row]:
    """What the report shows: a line a configuration and other model, over its seeds, in order of first appearance."""
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in [*compute, *cost]:
        lines.setdefault((row["folder"], row["against"]), []).append(row)
    return [_line(rows) for rows in lines.values()]


def _asked(run: Json, files: dict[str, Json]) -> list[tuple[Row, Path, Json]]:
    """What rows of a configuration begin with, the probe's file, and what it is asked for; one each seed and model."""
    seeds = {seed_folder(run, seed).as_posix(): seed for seed in run["seeds"]}
    begin = {key: run[key] for key in ("dataset", "data_class", "model", "title", "protocol", "folder")}
    return [
        (begin | {"against": told["against"], "seed": seeds[told["trained"]]}, Path(path), told)
        for path, told in files.items()
        if told["trained"] in seeds
    ]


def _cost(begin: Row, path: Path, told: Json) -> list[Row]:
    found = _read(path)
    return [begin | {name: found[name] for name in COST.names if name in found}] if found else []


def _compute(begin: Row, path: Path, told: Json) -> list[Row]:
    trained, other = Path(told["trained"]), Path(told["reference"])
    if not _finished(trained):
        return []
    probed = _read(path)
    own = _spent(trained, probed.get("steps_per_epoch"))
    reference, ratio = own, 1.0 if probed else None
    if other != trained:
        reference = _spent(other, probed.get("against_steps_per_epoch")) if _finished(other) else {}
        ratio = probed.get("ratio")
    values = [value for value in _history(trained, told["metric"]) if value is not None]
    row = {
        **begin,
        **own,
        "metric": told["metric"],
        "reference": other.as_posix(),
        "best": max(values, default=None),
        "at_equal_steps": _within(values, own, reference, "steps"),
        "at_equal_compute": _within(values, own, reference, "passes"),
    }
    return [row | _times(own, reference, probed.get("seconds_per_step"), ratio)]


def _spent(run: Path, steps_per_epoch: float | None) -> Row:
    """Epochs, steps and passes of a finished training, in all and to its best epoch."""
    facts = read_json(run / "metrics.json")
    spent = {"epochs": facts["epochs"], "best_epoch": facts["best_epoch"]}
    if "pretraining_losses" in facts:
        return spent | {"note": TWO_STAGES}
    if steps_per_epoch is None:
        return spent
    steps = facts["epochs"] * round(steps_per_epoch)
    whole = {"steps": steps, "passes": facts.get("passes", steps)}
    return spent | whole | {f"{name}_to_best": n * facts["best_epoch"] // facts["epochs"] for name, n in whole.items()}


def _times(own: Row, reference: Row, pace: float | None, ratio: float | None) -> Row:
    """Seconds at the pace of the probe, and the time to the best epoch as a multiple of the reference's."""
    if pace is None or "steps" not in own:
        return {}
    times = {"seconds": pace * own["steps"], "seconds_to_best": pace * own["steps_to_best"]}
    if ratio is None or "steps" not in reference:
        return times
    return times | {"time_to_best_ratio": ratio * own["steps_to_best"] / reference["steps_to_best"]}


def _within(values: list[float], own: Row, reference: Row, unit: str) -> float | None:
    """The best of the epochs that a training finishes with as many steps, or passes, as the reference has in all."""
    if unit not in own or unit not in reference:
        return None
    epochs = own["epochs"] * reference[unit] // own[unit]
    return max(values[:epochs], default=None)


def _history(run: Path, metric: str) -> list[float | None]:
    """The validation values of the epochs, in order."""
    values: list[float | None] = pq.read_table(run / "history.parquet")[f"validation_{metric}"].to_pylist()
    return values


def _finished(run: Path) -> bool:
    return all((run / name).is_file() for name in ("metrics.json", "history.parquet"))


def _read(path: Path) -> dict[str, float]:
    """The single numbers of a probe's file; none if it is not there."""
    rows = read_measurements(path) if path.is_file() else []
    return {row.measure: row.value for row in rows if row.at is None}


def _line(rows: list[Row]) -> Row:
    line = {key: rows[0][key] for key in ("title", "model", "against", "folder", "data_class")}
    line |= {"seeds": len({row["seed"] for row in rows}), "metric": _first(rows, "metric")}
    means = ("ratio", "memory_ratio", "time_to_best_ratio")
    plain = ("seconds_per_step", "passes_per_step", "memory_bytes", "best_epoch", "passes_to_best")
    line |= {name: _mean(rows, name, geometric=True) for name in means}
    line |= {name: _mean(rows, name) for name in (*plain, "best", "at_equal_steps", "at_equal_compute")}
    ends = {"ratio_low": min, "ratio_high": max}
    return line | {name: end(_known(rows, name), default=None) for name, end in ends.items()}


def _mean(rows: list[Row], name: str, geometric: bool = False) -> float | None:
    values = _known(rows, name)
    if not values:
        return None
    return statistics.geometric_mean(values) if geometric else statistics.fmean(values)


def _first(rows: list[Row], name: str) -> str | None:
    return next((row[name] for row in rows if row.get(name) is not None), None)


def _known(rows: list[Row], name: str) -> list[float]:
    return [row[name] for row in rows if row.get(name) is not None]
