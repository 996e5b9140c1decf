"""The compare step: from rank files to tables, published numbers beside ours, and tests against simple baselines.

Accuracy comes from `ranks.parquet` alone. What did not run is 'not run' and never an error. Selection (of the
baseline) looks at the validation split only.
"""

import statistics as spread
from pathlib import Path

from seqrepro.errors import InputError
from seqrepro.evaluation.metrics import NAMES
from seqrepro.files import Json, sha256_file, write_json
from seqrepro.ledger import cost, exposure, searches, sizes, tables, variations
from seqrepro.ledger.bootstrap import relative_gain
from seqrepro.ledger.evidence import Evidence, Row, by_place, collect, seed_folder
from seqrepro.ledger.published import Published, matches, obstacles, published_row, read_protocol, read_published
from seqrepro.ledger.statistics import Estimate, Sample, difference, holm, mean
from seqrepro.request import Request

SELECTION_METRIC = "ndcg@10"
TESTED_METRICS = ("ndcg@10", "hit_rate@10")
LEVEL = 0.05
ONE_SEED = "one seed"


def run(request: Request) -> list[Path]:
    """Write the tables of a suite into the request's folder, and return the files.

    Raises:
        InputError: a rank file or a table of published numbers is not what it must be.
    """
    wanted, folder = request.parameters, request.output
    datasets, split, shown = wanted["datasets"], wanted["split"], (wanted["datasets"], wanted["runs"])
    evidence = collect(wanted["runs"])
    metrics = tables.complete((row for one in evidence for row in metric_rows(one, split)), tables.METRICS)
    compared = tables.complete(
        (
            row
            for name in datasets
            for group in by_place([one for one in evidence if one.run["dataset"] == name])
            for row in comparison_rows(group, split)
        ),
        tables.COMPARISONS,
    )
    paths = [Path(path) for path in request.inputs if Path(path).name == "published.csv"]
    published = tables.complete(published_rows(evidence, read_published(paths), datasets, split), tables.PUBLISHED)
    write_json(folder / "metrics.json", headline(evidence, metrics))
    return [
        folder / "metrics.json",
        *tables.write_table(folder / "metrics", metrics, tables.METRICS),
        *tables.write_texts(
            folder / "metrics",
            md=tables.metrics_markdown(metrics, *shown, split),
            tex=tables.metrics_latex(metrics, *shown, split),
        ),
        *tables.write_table(folder / "runs", (row for one in evidence for row in run_rows(one)), tables.RUNS),
        *tables.write_table(folder / "published", published, tables.PUBLISHED),
        *tables.write_texts(folder / "published", md=tables.published_markdown(published, *shown)),
        *tables.write_table(folder / "comparisons", compared, tables.COMPARISONS),
        *tables.write_texts(folder / "comparisons", md=tables.comparisons_markdown(compared, *shown)),
        *sizes.write(folder, wanted, evidence),
        *exposure.write(folder, wanted),
        *cost.write(folder, wanted),
        *variations.write(folder, wanted),
        *searches.write(folder, wanted),
    ]


def metric_rows(evidence: Evidence, split: str) -> list[Row]:
    """Each metric of one configuration, with and without history masking, and among negatives where they are used."""
    return [
        {
            **_identity(evidence),
            "metric": metric,
            "masking": masking,
            "split": split,
            "protocol": protocol,
            "seeds": len(evidence.seeds),
            "missing_seeds": " ".join(map(str, evidence.missing)),
            **(_accuracy(evidence, metric, masking, split) if evidence.seeds else {}),
        }
        for masking, protocol in evidence.run["rankings"].items()
        for metric in NAMES
    ]


def run_rows(evidence: Evidence) -> list[Row]:
    """One row a (configuration, seed), finished or not."""
    facts = dict(zip(evidence.seeds, evidence.facts, strict=True))
    return [_run_row(evidence, seed, facts.get(seed)) for seed in evidence.run["seeds"]]


def comparison_rows(evidence: list[Evidence], split: str) -> list[Row]:
    """Every configuration of one dataset and protocol against the best simple baseline; nothing where none is there."""
    baseline = best_baseline(evidence)
    if baseline is None:
        return []
    others = [one for one in evidence if one is not baseline]
    return [row for metric in TESTED_METRICS for row in _compared(others, baseline, metric, split)]


def best_baseline(evidence: list[Evidence]) -> Evidence | None:
    """The closed-form model with the best validation accuracy; the first one wins a tie."""
    simple = [one for one in evidence if one.deterministic]
    return max(simple, key=lambda one: one.sample(SELECTION_METRIC, "validation").gains_US.mean(), default=None)


def published_rows(evidence: list[Evidence], published: list[Published], datasets: Json, split: str) -> list[Row]:
    """Published numbers of the same family, model and metric beside each of our configurations."""
    return [
        _beside(one, number, datasets[one.run["dataset"]], split)
        for one in evidence
        for number in published
        if number.metric in NAMES and matches(number, one.run, datasets[one.run["dataset"]])
    ]


def headline(evidence: list[Evidence], metrics: list[Row]) -> Json:
    """{dataset: {model: {metric: value}}}; a model with several configurations is named by its folder."""
    values: Json = {}
    names = [(one.run["dataset"], one.run["model"]) for one in evidence]
    for row in metrics:
        if row["masking"] == "masked" and row["metric"] in TESTED_METRICS and row["seeds"]:
            unique = names.count((row["dataset"], row["model"])) == 1
            model = row["model"] if unique else Path(row["folder"]).name
            values.setdefault(row["dataset"], {}).setdefault(model, {})[row["metric"]] = round(row["mean"], 6)
    return values


def _identity(evidence: Evidence) -> Row:
    return {key: evidence.run[key] for key in ("dataset", "data_class", "model", "title", "folder", "precision")}


def _accuracy(evidence: Evidence, metric: str, masking: str, split: str) -> Row:
    sample = evidence.sample(metric, split, masking)
    estimate = mean(sample)
    by_seed = [float(value) for value in sample.gains_US.mean(axis=0)]
    return {
        "users": len(sample.gains_US),
        "mean": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "optimistic": float(evidence.sample(metric, split, masking, "optimistic").gains_US.mean()),
        "sd_seeds": spread.stdev(by_seed) if len(by_seed) > 1 else None,
        "interval_covers": _covers(evidence, estimate),
        "targets_in_history": max(fact["targets_in_history"][split] for fact in evidence.facts),
    }


def _covers(evidence: Evidence, estimate: Estimate) -> str:
    if evidence.deterministic:
        return "users (closed form)"
    return "users and seeds" if estimate.covers_seeds else "users"


def _run_row(evidence: Evidence, seed: int, fact: Json | None) -> Row:
    row = {**_identity(evidence), "seed": seed, "state": "done" if fact else tables.NOT_RUN}
    if fact is None:
        return row
    names = ("n_users", "n_items", "parameters", "best_epoch", "epochs", "stopped")
    ranks = sha256_file(seed_folder(evidence.run, seed) / "ranks.parquet")
    return {**row, **{name: fact.get(name) for name in names}, "ranks_sha256": ranks}


def _compared(others: list[Evidence], baseline: Evidence, metric: str, split: str) -> list[Row]:
    rows = [_comparison(one, baseline, metric, split) for one in others]
    tested = [row for row in rows if row.get("p") is not None]
    for row, p_holm in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p_holm
        row["verdict"] = _verdict(row)
    return rows


def _comparison(one: Evidence, baseline: Evidence, metric: str, split: str) -> Row:
    row = {
        **_identity(one),
        "baseline": baseline.run["title"],
        "baseline_folder": baseline.run["folder"],
        "baseline_seeds": len(baseline.seeds),
        "metric": metric,
        "protocol": one.run["protocol"],
        "seeds": len(one.seeds),
    }
    if not one.seeds:
        return {**row, "note": tables.NOT_RUN}
    sample, simple = one.sample(metric, split), baseline.sample(metric, split)
    found = difference(sample, simple)
    row |= {"users": len(sample.gains_US), "difference": found.value, "low": found.low, "high": found.high}
    row |= _relative(sample, simple)
    return row | ({"p": found.p} if found.covers_seeds else {"note": ONE_SEED})


def _relative(sample: Sample, simple: Sample) -> Row:
    """The relative gain and its interval; nothing where there is no ratio."""
    try:
        gain = relative_gain(sample, simple)
    except InputError:
        return {}
    return {"relative": gain.value, "relative_low": gain.low, "relative_high": gain.high}


def _verdict(row: Row) -> str:
    if row["p_holm"] < LEVEL and row["low"] > 0:
        return "better"
    return "worse" if row["p_holm"] < LEVEL and row["high"] < 0 else "no difference shown"


def _beside(one: Evidence, number: Published, dataset: Json, split: str) -> Row:
    masking = number.ranking(one.run["rankings"])
    ours = mean(one.sample(number.metric, split, masking)) if one.seeds else None
    protocol = one.run["rankings"][masking]
    return {
        **_identity(one),
        "seeds": len(one.seeds),
        "variant_ours": dataset["variant"],
        "masking": masking,
        "protocol_ours": protocol,
        **published_row(number, ours, obstacles(number, read_protocol(protocol), dataset)),
    }
