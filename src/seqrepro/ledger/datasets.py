"""The survey step: what the datasets of a suite are like, and what others have published about them.

It reads the descriptions (`results/datasets/<dataset>/statistics.json`) and the published data statistics, the rows of
`registry/papers/*/published.csv` with the model `(data set)`, and writes six tables. What was not described is absent
and never an error.
"""

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from seqrepro.files import Json, read_json
from seqrepro.ledger.evidence import Row
from seqrepro.ledger.published import Published, read_published
from seqrepro.ledger.tables import REAL, TEXT, WHOLE, complete, write_table
from seqrepro.request import Request

DATA_SET = "(data set)"
S3REC_LENGTH = 50  # its pre-training takes every prefix of the last 50 training items
COUNTS = ("users", "items", "interactions")
Facts = dict[tuple[str, int | None], float]  # (measure, window) -> value

STATISTICS = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "class")),
        *((name, WHOLE) for name in ("users", "items", "interactions")),
        *((name, REAL) for name in ("mean_length", "median_length", "sparsity_percent")),
        *((name, WHOLE) for name in ("max_length", "repeated_interactions", "time_ties", "time_reversals")),
        *((name, TEXT) for name in ("timestamps", "order", "checksums", "title", "variant", "caveat")),
    ]
)
PUBLISHED = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "class", "measure")),
        ("window", WHOLE),
        ("ours", REAL),
        *((name, TEXT) for name in ("published", "agrees", "same_counts", "reported_by", "variant_theirs")),
        ("relative_difference", REAL),
        *((name, TEXT) for name in ("paper", "table", "source_class", "source", "note")),
    ]
)
SPLITS = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "class", "compared_with_leave_one_out")),
        *((name, WHOLE) for name in ("users", "test_targets_differ", "validation_targets_differ")),
        ("test_percent", REAL),
        ("note", TEXT),
    ]
)
ENTROPY_COLUMNS = {
    "shannon_bits": ("shannon_bits", "pooled"),
    "zlib_ratio": ("zlib_ratio", "chunk_mean"),
    "lempel_ziv_authors": ("lempel_ziv", "authors", "entropy"),
    "lempel_ziv_kontoyiannis": ("lempel_ziv", "kontoyiannis", "entropy"),
    "lempel_ziv_tokens": ("lempel_ziv", "tokens"),
}
APPROXIMATE_ENTROPY_COLUMNS = {
    "user_mean": ("user_mean", "signed"),
    "pooled": ("pooled", "signed"),
    "concat": ("concat", "signed"),
    "authors": ("authors",),
    "undefined_users": ("undefined_users",),
    "users_without_repeats": ("users_without_repeats",),
}
ENTROPY = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "class")),
        *((name, WHOLE) for name in ("window", "tokens", "apen_order")),
        *((name, REAL) for name in ("user_mean", "pooled", "concat", "authors")),
        *((name, WHOLE) for name in ("undefined_users", "users_without_repeats")),
        *((name, REAL) for name in ENTROPY_COLUMNS if name != "lempel_ziv_tokens"),
        ("lempel_ziv_tokens", WHOLE),
    ]
)
LENGTH_ALONE = pa.schema(
    [
        *((name, TEXT) for name in ("dataset", "class")),
        *((name, WHOLE) for name in ("window", "apen_order", "users", "users_with_repeats")),
        *((name, REAL) for name in ("repeats_percent", "user_mean_absolute", "length_alone", "difference")),
    ]
)
WINDOWS = pa.schema(
    [
        *((name, TEXT) for name in ("paper", "table", "dataset_theirs", "variant_theirs")),
        *((name, WHOLE) for name in ("window", "tokens_published")),
        ("tokens_ours", WHOLE),
        *((name, REAL) for name in ("s'_real_published", "s'_real_ours")),
        *((name, TEXT) for name in ("dataset", "class", "same_tokens_in")),
    ]
)


def run(request: Request) -> list[Path]:
    """Write the tables of the suite's datasets into the request's folder."""
    datasets, folder = request.parameters["datasets"], request.output
    described = {name: found for name in datasets if (found := _description(name)) is not None}
    published = read_published([Path(path) for path in request.inputs if Path(path).name == "published.csv"])
    rows: dict[str, tuple[Iterable[Row], pa.Schema]] = {
        "statistics": ((statistics_row(name, datasets[name], found) for name, found in described.items()), STATISTICS),
        "published": (
            (
                row
                for name, found in described.items()
                for row in published_rows(name, datasets[name], found, published)
            ),
            PUBLISHED,
        ),
        "splits": (
            (row for name, found in described.items() for row in split_rows(name, datasets[name], found)),
            SPLITS,
        ),
        "entropy": (
            (row for name, found in described.items() for row in entropy_rows(name, datasets[name], found)),
            ENTROPY,
        ),
        "length_alone": (
            (row for name, found in described.items() for row in length_alone_rows(name, datasets[name], found)),
            LENGTH_ALONE,
        ),
        "windows": (window_rows(datasets, described, published), WINDOWS),
    }
    return [
        path
        for name, (lines, schema) in rows.items()
        for path in write_table(folder / name, complete(lines, schema), schema)
    ]


def facts(described: Json) -> Facts:
    """A description in the words of published data statistics; a window is the last so many items of each user."""
    users, items, interactions = (described[f"n_{name}"] for name in ("users", "items", "interactions"))
    length = described["length"]
    found: Facts = {
        ("users", None): users,
        ("items", None): items,
        ("interactions", None): interactions,
        ("average_length", None): length["mean"],
        ("median_length", None): length["median"],
        ("min_length", None): length["min"],
        ("max_length", None): length["max"],
        ("interactions_per_item", None): interactions / items,
        ("sparsity_percent", None): 100 * (1 - described["density"]),
        ("steps_per_epoch_at_batch_256", None): math.ceil(users / 256),
    }
    if described["attributes"]:
        found["attributes", None] = described["attributes"]["distinct"]
        found["attributes_per_item", None] = described["attributes"]["per_item"]
    for window in described["windows"]:
        found |= _window_facts(window, users)
    return found


def statistics_row(name: str, dataset: Json, described: Json) -> Row:
    """The first table: a row a dataset."""
    times = described["timestamps"]
    return {
        "dataset": name,
        **{key: dataset[key] for key in ("title", "variant")},
        "class": dataset["class"],
        "order": described["order_source"],
        **{key: described[f"n_{key}"] for key in ("users", "items", "interactions")},
        **{f"{key}_length": described["length"][key] for key in ("mean", "median", "max")},
        "sparsity_percent": 100 * (1 - described["density"]),
        "repeated_interactions": described["repeated_interactions"],
        "time_ties": times and times["ties"],
        "time_reversals": times and times["reversals"],
        "timestamps": "yes" if times else "no",
        "checksums": "verified" if described["verified"] else "unverified",
        "caveat": dataset.get("caveat"),
    }


def published_rows(name: str, dataset: Json, described: Json, published: list[Published]) -> Iterator[Row]:
    """What others report of the same family, beside ours; `same_counts`: their users and items equal ours.

    Of other variants (`no`) the counts alone are shown, as their other statistics say nothing about ours. What we do
    not measure (fitted numbers, other windows) is left out.
    """
    ours = facts(described)
    theirs = [number for number in published if _is_of(number, dataset)]
    for number in theirs:
        measure, window = _measure(number)
        value, same_counts = ours.get((measure, window)), _same_counts(number, theirs, ours)
        if value is None or (same_counts == "no" and measure not in COUNTS):
            continue
        yield {
            "dataset": name,
            "class": dataset["class"],
            "measure": measure,
            "window": window,
            "ours": value,
            "published": number.row["value"],
            "agrees": "yes" if _agrees(value, number.row["value"]) else "no",
            "relative_difference": value / number.value - 1 if number.value else None,
            "same_counts": same_counts,
            "variant_theirs": number.row["variant"],
            **{key: number.row[key] for key in ("paper", "table", "reported_by", "source_class", "source", "note")},
        }


def split_rows(name: str, dataset: Json, described: Json) -> Iterator[Row]:
    """How many held-out items another split, or another order, changes."""
    for row in described["splits"]:
        differ = row.get("test_targets_differ")
        percent = None if differ is None else 100 * differ / row["users"]
        yield {"dataset": name, "class": dataset["class"], "test_percent": percent, **row}


def entropy_rows(name: str, dataset: Json, described: Json) -> Iterator[Row]:
    """A row a (window, order of ApEn), with the other entropies of the window beside it; signed values in nats."""
    for window in described["windows"]:
        entropy = window["entropy"]
        others = {column: _at(entropy, path) for column, path in ENTROPY_COLUMNS.items()}
        for order, measured in entropy["approximate_entropy"].items():
            yield {
                "dataset": name,
                "class": dataset["class"],
                "window": window["last"],
                "tokens": window["tokens"],
                "apen_order": int(order),
                **{column: _at(measured, path) for column, path in APPROXIMATE_ENTROPY_COLUMNS.items()},
                **others,
            }


def length_alone_rows(name: str, dataset: Json, described: Json) -> Iterator[Row]:
    """A row a (window, order of ApEn): the users' mean |ApEn| beside what it would be if nobody repeated an item."""
    for window in described["windows"]:
        for order, measured in window["entropy"]["approximate_entropy"].items():
            mean, alone = (measured[key]["absolute"] for key in ("user_mean", "without_repeats"))
            repeats = window["entropy"]["repeats"]
            yield {
                "dataset": name,
                "class": dataset["class"],
                "window": window["last"],
                "apen_order": int(order),
                "users": described["n_users"],
                "users_with_repeats": repeats["users"],
                "repeats_percent": None if repeats["share"] is None else 100 * repeats["share"],
                "user_mean_absolute": mean,
                "length_alone": alone,
                "difference": None if mean is None or alone is None else round(mean - alone, 12) + 0.0,
            }


def window_rows(datasets: Json, described: Json, published: list[Published]) -> Iterator[Row]:
    """A row a published (dataset, window): tokens and S'_real beside ours, and which of our windows has these tokens.

    Ours is the first described dataset of the family whose counts equal those of the same source. A number of tokens
    that another dataset has to the last digit tells exchanged cells.
    """
    ours = {name: facts(found) for name, found in described.items()}
    every = [number for number in published if number.row["model"] == DATA_SET]
    printed = {(number.row["dataset"], _source(number), *_measure(number)): number for number in every}
    for (family, source, measure, window), number in printed.items():
        if measure != "tokens" or window is None:
            continue
        theirs = [other for other in every if other.row["dataset"] == family]
        alike = [name for name in ours if datasets[name]["family"] == family]
        name = next((name for name in alike if _same_counts(number, theirs, ours[name]) == "yes"), None)
        entropy = printed.get((family, source, "s'_real", window))
        yield {
            **{key: number.row[key] for key in ("paper", "table")},
            **{f"{key}_theirs": number.row[key] for key in ("dataset", "variant")},
            "window": window,
            "tokens_published": int(number.value),
            "s'_real_published": entropy and entropy.value,
            "dataset": name,
            "class": name and datasets[name]["class"],
            "tokens_ours": name and ours[name].get(("tokens", window)),
            "s'_real_ours": name and ours[name].get(("s'_real", window)),
            "same_tokens_in": ", ".join(_with_tokens(ours, number.value)) or None,
        }


def _with_tokens(ours: dict[str, Facts], tokens: float) -> Iterator[str]:
    """The described datasets and windows with so many tokens, in words."""
    for name, found in ours.items():
        for (measure, window), value in found.items():
            if measure == "tokens" and value == tokens:
                yield f"{name} (last {window})"


def _description(name: str) -> Json | None:
    path = Path(f"results/datasets/{name}/statistics.json")
    return read_json(path) if path.is_file() else None


def _window_facts(window: Json, users: int) -> Facts:
    last = window["last"]
    if last is None:
        return {}
    return {
        ("tokens", last): window["tokens"],
        (f"users_longer_than_{last}", None): window["users_longer"],
        (f"train_targets_at_l{last}", None): window["train_targets"],
        **({("pretraining_prefixes", None): window["train_items"]} if last == S3REC_LENGTH else {}),
        (f"users_with_at_most_{last}_training_items_percent", None): 100
        * (1 - window["users_with_longer_training"] / users),
        ("s'_real", last): window["entropy"]["lempel_ziv"]["authors"]["reciprocal"],
    }


def _is_of(number: Published, dataset: Json) -> bool:
    return number.row["model"] == DATA_SET and number.row["dataset"] == dataset["family"]


def _measure(number: Published) -> tuple[str, int | None]:
    window = re.search(r"S_max (\d+)", number.row["variant"])
    return number.metric, int(window[1]) if window else None


def _agrees(value: float, printed: str) -> bool:
    """Whether a value, rounded as the published one is printed, is the published one."""
    mantissa, _, exponent = printed.lower().partition("e")
    digits = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return math.isclose(round(value, digits), float(printed), rel_tol=1e-12)


def _same_counts(number: Published, theirs: list[Published], ours: Facts) -> str:
    """'yes' or 'no' if the same source prints users and items of this variant, else 'not stated'."""
    printed = {
        other.metric: _agrees(ours[other.metric, None], other.row["value"])
        for other in theirs
        if other.metric in ("users", "items") and _source(other) == _source(number)
    }
    if not printed:
        return "not stated"
    return "yes" if all(printed.values()) else "no"


def _source(number: Published) -> tuple[str, ...]:
    variant = re.sub(r",?\s*S_max \d+", "", number.row["variant"])
    return (*(number.row[key] for key in ("paper", "table", "reported_by")), variant)


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree
