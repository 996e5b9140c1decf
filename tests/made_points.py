"""Run folders of a made grid: metrics that follow a law exactly, or with noise, and measures of what training saw."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from seqrepro.files import write_json, write_parquet

Entry = dict[str, Any]
Value = Callable[[Entry], float]
DEPTHS, WIDTHS = (1, 2, 4, 8), (16, 32, 64, 128)
TOKENS = {"all": 10000.0, "50 % of the users": 5000.0, "25 % of the users": 2500.0}


def entry(model: str, dataset: str, depth: int, width: int, data: str = "all", seed: int = 1, **more: Any) -> Entry:
    """An entry of the request to refit."""
    name = f"{model}-{depth}-{width}-{data.replace(' ', '')}"
    return {
        "model": model,
        "title": model.upper(),
        "family": model,
        "dataset": dataset,
        "data_class": "primary",
        "protocol_name": "leave-one-out",
        "experiment": "law",
        "n_blocks": depth,
        "d_emb": width,
        "max_length": 50,
        "data": data,
        "folder": f"results/runs/{dataset}/{name}/seed-{seed}",
        "seed": seed,
        "measures": f"results/datasets/{dataset}/measured/{data.replace(' ', '')}-{seed}/measures.json",
    } | more


def grid(
    model: str = "sasrec", dataset: str = "ml-100k", data: str = "all", seeds: tuple[int, ...] = (1, 2)
) -> list[Entry]:
    """The entries of one panel, four depths and four widths."""
    places = [(depth, width) for depth in DEPTHS for width in WIDTHS]
    return [entry(model, dataset, *place, data, seed) for seed in seeds for place in places]


def write_measures(one: Entry, tokens: float, entropy: float = 2.0) -> None:
    """What the measure step would leave; all entropies are the same number, but for ApEn of users."""
    apen = {"user_mean": {"signed": -0.02, "absolute": 0.02}, "concat": {"signed": 1.0, "absolute": 1.0}}
    lempel_ziv = {name: {"entropy": entropy} for name in ("authors", "kontoyiannis")}
    measured = {
        "repeats": {"users": 0, "share": 0.0},
        "approximate_entropy": {"1": apen, "2": apen},
        "lempel_ziv": lempel_ziv,
        "shannon_bits": {"pooled": entropy},
        "zlib_ratio": {"pooled": entropy / 10},
    }
    window = {"last": one["max_length"], "tokens": tokens, "sequences": 10, "items": 5, "entropy": measured}
    write_json(Path(one["measures"]), {"windows": [window]})


def write_run(one: Entry, metric: float, loss: float = 1.0) -> None:
    """The files of a run that a point is read from."""
    folder = Path(one["folder"])
    values = dict.fromkeys(("hit_rate@10", "ndcg@10", "hit_rate@50", "ndcg@50"), metric)
    ways = {"masked": {"pessimistic": values}, "unmasked": {"pessimistic": dict.fromkeys(values, 0.9)}}
    before = {way: {"pessimistic": dict.fromkeys(values, metric + 0.1)} for way in ways}
    told = {"parameters": 100, "best_epoch": 2, "epochs": 3, "metrics": {"test": ways, "validation": before}}
    write_json(folder / "metrics.json", told)
    losses = {"train_loss": [loss + 1, loss, loss - 0.5], "is_best": [False, True, False]}
    write_parquet(folder / "history.parquet", pa.table(losses))
    ranks = {"split": ["validation", "test", "test"], "nll": [1.0, 2.0, 4.0]}
    write_parquet(folder / "ranks.parquet", pa.table(ranks))


def write_all(entries: list[Entry], metric: Value, loss: Value = lambda _: 1.0) -> None:
    """The runs of all entries, and the measures of what they saw."""
    for one in entries:
        write_run(one, metric(one), loss(one))
        write_measures(one, TOKENS[one["data"]])
