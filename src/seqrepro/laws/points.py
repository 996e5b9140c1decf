"""Our own runs as points of the Performance Law: a row a run, and the panels that are fitted.

A point is a finished run of an experiment with `law`: its shape (N blocks, width d, longest history), what its training
saw and how that measures, and what came out on the test split. Ranks are among all items, ties pessimistic; the history
is masked, but not on generated data, where items recur and a masked target would count as a miss.

A panel holds one model, dataset, longest history, amount of data and metric, over N and d, as the paper's panels do. A
seed counts in a panel if it has run at each planned point of it; a panel is fitted if a seed counts, either axis has
three levels, and each depth is planned with each width. Its values are means over these seeds. What is incomplete
stands in the table of points, and nowhere else.

Shapes: P points of a panel, S seeds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seqrepro.files import Json, read_json
from seqrepro.laws.measures import COLUMNS as MEASURES
from seqrepro.laws.measures import amount, read_measures
from seqrepro.laws.panels import Panel
from seqrepro.laws.projection import Vector

Row = dict[str, Any]

FILES = ("metrics.json", "history.parquet", "ranks.parquet")
METRICS = ("hit_rate@10", "ndcg@10", "hit_rate@50", "ndcg@50")
FITTED = ("hit_rate@10", "ndcg@10")  # as in the paper
VALIDATION = "validation_"  # before the name of a metric of that split, by which shapes are chosen
LEVELS = 3  # of an axis, without which an exponent cannot be fitted
RECURRING = "generated"  # the class of data in which items recur
TEXTS = ("model", "title", "family", "dataset", "data_class", "protocol_name", "experiment")
SHAPE = ("n_blocks", "d_emb", "max_length")
WORDS = ("model", "title", "family", "dataset", "data_class", "protocol_name", "max_length", "data")
KEYS = ("model", "dataset", "protocol_name", "max_length", "data")  # of a panel, but for the metric
REAL, WHOLE, TEXT = pa.float64(), pa.int64(), pa.string()
SCHEMA = pa.schema(
    [
        *((name, TEXT) for name in TEXTS),
        *((name, WHOLE) for name in SHAPE),
        ("data", TEXT),  # what the training saw
        ("seed", WHOLE),
        *((name, REAL) for name in MEASURES),  # of that
        *((name, WHOLE) for name in ("parameters", "best_epoch", "epochs")),
        ("masking", TEXT),
        *((name, REAL) for name in METRICS),
        *((VALIDATION + name, REAL) for name in FITTED),
        *((name, REAL) for name in ("test_nll", "validation_nll")),  # mean over users, nats; unmasked
        ("train_loss", REAL),  # mean of the epoch whose weights count
        ("train_loss_last", REAL),  # of the last epoch
        ("folder", TEXT),
    ]
)


def read_points(entries: Iterable[Json]) -> list[Row]:
    """A row a finished run, in the order of the plan.

    Args:
        entries: of the request: dataset, data_class, model, title, family, protocol_name, experiment, n_blocks, d_emb,
            max_length, data, seed, folder, measures (a file).

    Raises:
        InputError: a file of a run is not what it must be.
    """
    return [_point(entry) for entry in entries if all((Path(entry["folder"]) / name).is_file() for name in FILES)]


@dataclass(frozen=True)
class Grid:
    """The complete runs of a model on one amount of data, over N and d; those of a panel for every metric."""

    rows_SP: list[list[Row]]  # by seed, in the order of the places

    @property
    def first(self) -> Row:
        """What all rows have in common stands in each."""
        return self.rows_SP[0][0]

    @property
    def words(self) -> Row:
        """What a table says of a panel."""
        named = {name: self.first[name] for name in WORDS}
        return named | {"seeds": len(self.rows_SP), "n_points": len(self.rows_SP[0])}

    def of(self, name: str) -> Vector:
        """[S, P] a number of the rows, such as a metric."""
        return np.array([[row[name] for row in of_seed] for of_seed in self.rows_SP], dtype=np.float64)

    def log_amount(self, name: str) -> float | None:
        """ln D' by a measure of data, mean over seeds; None where it is not known."""
        found = [amount(name, of_seed[0]) for of_seed in self.rows_SP]
        return None if None in found else float(np.mean(np.log(np.array(found, dtype=np.float64))))

    def panel(self, metric: str) -> Panel:
        """The points of one metric."""
        return Panel(
            points="own",
            **{name: self.first[name] for name in ("model", "dataset", "max_length", "data")},
            metric=metric,
            n_blocks=self.of("n_blocks")[0],
            d_emb=self.of("d_emb")[0],
            values=self.of(metric).mean(axis=0),
            by_seed=self.of(metric),
        )


def own_grids(entries: list[Json], rows: list[Row]) -> Iterator[Grid]:
    """The complete panels of our runs, in the order of the plan.

    Args:
        entries: what is planned.
        rows: what has run, as `read_points` gives it.
    """
    done = {(_key(row), _place(row), row["seed"]): row for row in rows}
    for key in dict.fromkeys(map(_key, entries)):
        planned = [entry for entry in entries if _key(entry) == key]
        places, seeds = dict.fromkeys(map(_place, planned)), dict.fromkeys(entry["seed"] for entry in planned)
        found = [[done.get((key, place, seed)) for place in places] for seed in seeds]
        complete = [[row for row in of_seed if row] for of_seed in found if None not in of_seed]
        levels = [len(set(axis)) for axis in zip(*places, strict=True)]
        if complete and min(levels) >= LEVELS and len(places) == levels[0] * levels[1]:
            yield Grid(complete)


def _point(entry: Json) -> Row:
    folder = Path(entry["folder"])
    told, masking = read_json(folder / "metrics.json"), _masking(entry)
    accuracy, chosen_by = (told["metrics"][split][masking]["pessimistic"] for split in ("test", "validation"))
    return {
        **{name: entry[name] for name in (*TEXTS, *SHAPE, "data", "seed", "folder")},
        **read_measures(entry.get("measures"), entry["max_length"]),
        **{name: told[name] for name in ("parameters", "best_epoch", "epochs")},
        "masking": masking,
        **{name: accuracy[name] for name in METRICS},
        **{VALIDATION + name: chosen_by[name] for name in FITTED},
        **_likelihoods(folder / "ranks.parquet"),
        **_losses(folder / "history.parquet"),
    }


def _masking(entry: Json) -> str:
    return "unmasked" if entry["data_class"] == RECURRING else "masked"


def _likelihoods(path: Path) -> Row:
    ranks = pq.read_table(path, columns=["split", "nll"])
    of_split = {split: ranks.filter(pc.field("split") == split)["nll"] for split in ("test", "validation")}
    return {f"{split}_nll": pc.mean(values).as_py() for split, values in of_split.items()}


def _losses(path: Path) -> Row:
    history = pq.read_table(path, columns=["train_loss", "is_best"]).to_pylist()
    best = next((line["train_loss"] for line in history if line["is_best"]), None)
    return {"train_loss": best, "train_loss_last": history[-1]["train_loss"]}


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEYS)


def _place(row: Mapping[str, Any]) -> tuple[int, int]:
    return row["n_blocks"], row["d_emb"]
