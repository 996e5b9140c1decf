"""The tables of variations: what a change of settings does to a model, against the same model without it.

- `variations`: a row a (model, setting, seed, measure): the value, and that of the plain run of the same seed. Measures
  are accuracies, on generated data also without history masking, what probes of sharpness found, and the seconds of a
  step where a probe of cost took them.
- `robustness`: training on fewer or noisier data. With v the metric after it, p that of the plain run, m and a two
  models, the change of seed s is c_s = v_s / p_s - 1, and the advantage of m over a is c_s(m) - c_s(a): how much less
  it loses. Means over seeds have 95 % t intervals, paired by seed; both models had the same data with one seed.
- `correlations`: Spearman's rank correlation of a measure of sharpness with accuracy over all settings and seeds of a
  model, with its 95 % interval from Fisher's transformation, whose variance is (1 + r^2 / 2) / (n - 3) (Bonett &
  Wright, Psychometrika, 2000).
"""

import statistics as spread
from collections.abc import Iterator
from math import atanh, sqrt, tanh
from pathlib import Path

import pyarrow as pa
from scipy import stats

from seqrepro.files import Json, read_json
from seqrepro.ledger.evidence import Row, grouped, seed_folder
from seqrepro.ledger.measurements import read_measurements
from seqrepro.ledger.statistics import t_interval
from seqrepro.ledger.tables import REAL, TEXT, WHOLE, complete, markdown, write_table, write_texts

METRICS = ("ndcg@10", "hit_rate@10")
VARIED = "tables/variations.csv"  # below the suite's results
UNMASKED = "{name}, unmasked"  # on generated data, where items recur
PACE = "seconds_per_step"
MEASURES = ("lambda_max", "trace", "loss_increase", "adaptive_loss_increase", "loss")
LEVEL = 0.05
KEYS = (
    *("dataset", "data_class", "protocol_name", "experiment", "model", "title"),
    *("variation", "setting", "group", "at", "folder"),
)
VARIATIONS = pa.schema(
    [
        *((name, REAL if name == "at" else TEXT) for name in KEYS),
        ("seed", WHOLE),
        ("measure", TEXT),
        ("value", REAL),
        ("plain", REAL),
    ]
)
ROBUSTNESS = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "data_class", "training", "metric", "model", "against")),
        ("seeds", WHOLE),
        *((name, REAL) for name in ("change", "change_low", "change_high", "change_of_other")),
        *((name, REAL) for name in ("advantage", "advantage_low", "advantage_high")),
    ]
)
CORRELATIONS = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "data_class", "experiment", "model", "variation", "measure", "metric")),
        ("runs", WHOLE),
        *((name, REAL) for name in ("correlation", "correlation_low", "correlation_high")),
    ]
)
NO_VARIATIONS = "No experiment of this suite varies anything.\n"


def write(folder: Path, wanted: Json) -> list[Path]:
    """Write the three tables, from the parameters of a request to compare; `varied` says what there is to read."""
    rows = [row for entry in wanted["varied"] for row in variation_rows(entry)]
    data = {entry["variation"] for entry in wanted["varied"] if entry["of_data"]}
    robust = complete(robustness_rows([row for row in rows if row["variation"] in data]), ROBUSTNESS)
    related = complete(correlation_rows([row for row in rows if row["variation"] not in data]), CORRELATIONS)
    return [
        *write_table(folder / "variations", rows, VARIATIONS),
        *write_table(folder / "robustness", robust, ROBUSTNESS),
        *write_texts(folder / "robustness", md=_robustness_markdown(robust)),
        *write_table(folder / "correlations", related, CORRELATIONS),
        *write_texts(folder / "correlations", md=_correlations_markdown(related)),
    ]


def variation_rows(entry: Json) -> list[Row]:
    """A row a (seed, measure) of one model with one setting; what did not run has none."""
    rows = []
    for seed, plain_seed in zip(entry["seeds"], entry["plain_seeds"], strict=True):
        own, plain = seed_folder(entry, seed), seed_folder({"folder": entry["plain"]}, plain_seed)
        told, before = (_accuracies(folder, entry["data_class"] == "generated") for folder in (own, plain))
        told |= {name: value for file in entry["measurements"] for name, value in _measured(own / file)}
        rows += [
            {key: entry[key] for key in KEYS}
            | {"seed": seed, "measure": name, "value": value, "plain": before.get(name)}
            for name, value in told.items()
        ]
    return rows


def robustness_rows(rows: list[Row]) -> Iterator[Row]:
    """Each model alone, and against each other of its experiment, for each setting and metric."""
    rows = [row for row in rows if row["measure"] in METRICS and row["plain"]]
    for (dataset, _, setting, metric), own in grouped(rows, "dataset", "experiment", "setting", "measure"):
        changes = {
            model: {row["seed"]: row["value"] / row["plain"] - 1 for row in of_model}
            for (model,), of_model in grouped(own, "model")
        }
        told = {"dataset": dataset, "data_class": own[0]["data_class"], "training": setting, "metric": metric}
        for model, mine in changes.items():
            for other, theirs in changes.items():
                if other != model:
                    yield told | {"model": model, "against": other} | _advantage(mine, theirs)


def correlation_rows(rows: list[Row]) -> Iterator[Row]:
    """Each measure of sharpness with each metric, over all settings and seeds of a model."""
    keys = ("dataset", "experiment", "model", "variation")
    for place, own in grouped(rows, *keys):
        values = {
            name: {(row["setting"], row["seed"]): row["value"] for row in own if row["measure"] == name}
            for name in (*MEASURES, *METRICS)
        }
        for measure in MEASURES:
            for metric in METRICS:
                both = [key for key in values[measure] if key in values[metric]]
                if both:
                    pairs = [(values[measure][key], values[metric][key]) for key in both]
                    told = dict(zip(keys, place, strict=True)) | {"data_class": own[0]["data_class"]}
                    yield told | {"measure": measure, "metric": metric, "runs": len(both)} | _rank_correlation(pairs)


def _accuracies(folder: Path, recurring: bool) -> dict[str, float]:
    path = folder / "metrics.json"
    found = read_json(path)["metrics"]["test"] if path.is_file() else {}
    ways = {"masked": "{name}"} | ({"unmasked": UNMASKED} if recurring else {})
    values = {way: found[way]["pessimistic"] for way in ways if way in found}
    return {ways[way].format(name=name): own[name] for way, own in values.items() for name in METRICS if name in own}


def _measured(path: Path) -> Iterator[tuple[str, float]]:
    found = read_measurements(path) if path.is_file() else []
    return ((one.measure, one.value) for one in found if one.measure in (*MEASURES, PACE) and one.at is None)


def _advantage(mine: dict[int, float], theirs: dict[int, float]) -> Row:
    seeds = [seed for seed in mine if seed in theirs]
    change = t_interval(list(mine.values()))
    row: Row = {"seeds": len(seeds), "change": change[0], "change_low": change[1], "change_high": change[2]}
    if seeds:
        found = t_interval([mine[seed] - theirs[seed] for seed in seeds])
        row |= dict(zip(("advantage", "advantage_low", "advantage_high"), found, strict=True))
        row["change_of_other"] = spread.fmean(theirs.values())
    return row


def _rank_correlation(pairs: list[tuple[float, float]]) -> Row:
    """Spearman's correlation and its interval; nothing where all values are the same."""
    first, second = zip(*pairs, strict=True)
    if len(set(first)) < 2 or len(set(second)) < 2:
        return {}
    r = float(stats.spearmanr(first, second).statistic)
    if len(pairs) <= 3 or abs(r) >= 1:
        return {"correlation": r}
    reach = float(stats.norm.ppf(1 - LEVEL / 2)) * sqrt((1 + r * r / 2) / (len(pairs) - 3))
    return {
        "correlation": r,
        "correlation_low": tanh(atanh(r) - reach),
        "correlation_high": tanh(atanh(r) + reach),
    }


def _robustness_markdown(rows: list[Row]) -> str:
    """One table a dataset."""
    parts = ["# Training on fewer or noisier data\n", f"{_CAPTION}\n" if rows else NO_VARIATIONS]
    for (dataset, metric), own in grouped(rows, "dataset", "metric"):
        lines = [
            [
                row["training"],
                row["model"],
                _percent(row["change"], row["change_low"], row["change_high"]),
                row["against"],
                _percent(row["advantage"], row["advantage_low"], row["advantage_high"]),
                str(row["seeds"]),
            ]
            for row in own
        ]
        head = ["Training on", "Model", f"change of {metric}", "Against", "advantage", "seeds"]
        parts.append(f"## {dataset}, {metric}\n\n{markdown(head, lines)}")
    return "\n".join(parts)


_CAPTION = (
    "Change of the test metric against the same model trained on all data, mean over seeds with a 95 % t interval. "
    "Advantage: how much less the model loses than the other, in percentage points, paired by seed."
)


def _correlations_markdown(rows: list[Row]) -> str:
    parts = ["# Sharpness and accuracy\n", "" if rows else NO_VARIATIONS]
    lines = [
        [
            *(row[name] for name in ("dataset", "model", "variation", "measure", "metric")),
            _number(row["correlation"], row["correlation_low"], row["correlation_high"]),
            str(row["runs"]),
        ]
        for row in rows
    ]
    head = ["Dataset", "Model", "Varied", "Measure", "Metric", "Spearman's correlation", "runs"]
    return "\n".join([*parts, markdown(head, lines)] if rows else parts)


def _percent(value: float | None, low: float | None, high: float | None) -> str:
    return _cell("{:+.1%}", value, low, high)


def _number(value: float | None, low: float | None, high: float | None) -> str:
    return _cell("{:+.2f}", value, low, high)


def _cell(form: str, value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return ""
    text = form.format(value)
    return text if low is None or high is None else f"{text} [{form.format(low)}, {form.format(high)}]"
