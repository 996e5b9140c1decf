"""The jobs that describe datasets, and the one that surveys those of a suite."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seqrepro.config.dataset_plan import PLAN
from seqrepro.config.measures import Measures
from seqrepro.provenance.fingerprint import fingerprint
from seqrepro.request import Request

READ = ("sequences.parquet", "interactions.parquet", "items.parquet", "statistics.json")
CAPTIONS = {
    "statistics": (
        "Datasets",
        "Counts after filtering. Class: primary = the publisher's own file, archived = an unchanged copy of it, "
        "third-party = somebody else's processing. Time ties: interactions that share user and time with another one.",
    ),
    "published": (
        "Published data statistics beside ours",
        "Agrees: our value, rounded as theirs is printed, is theirs. Same counts: the same source prints the number of "
        "users and items that we have; if not, it means another variant of the data.",
    ),
    "splits": (
        "What the split changes",
        "Of the users with at least 3 interactions, how many have another held-out item than under leave-one-out by "
        "exact time, or none.",
    ),
    "entropy": (
        "Entropies",
        "ApEn (signed, nats) of item sequences cut to the last `window` items: mean over users, k-grams pooled over "
        "users, all users one behind the other, and the authors' convention. For users without a repeated item ApEn is "
        "a function of length alone. Lempel-Ziv in nats, Shannon in bits.",
    ),
    "length_alone": (
        "What the length alone makes of ApEn",
        "Mean |ApEn| over users beside the mean of ln((n - m + 1) / (n - m)) over the same lengths n: where no user "
        "repeats an item they are equal, and ApEn says nothing about items.",
    ),
    "windows": (
        "The published data table beside ours",
        "Tokens and S'_real of the last S_max items of each user, as printed and as measured on data of the same "
        "counts. The last column names the windows of our datasets that have the printed number of tokens.",
    ),
}


def describe_requests(datasets: list[str], measures: Measures) -> Iterator[tuple[Path, Request]]:
    """The description of each dataset, by the file that the request stands in."""
    module = "seqrepro.data.describe"
    for name in datasets:
        inputs = [f"data/prepared/{name}/{file}" for file in READ]
        wanted = {"dataset": name, "measures": measures.canonical()}
        folder = f"results/datasets/{name}"
        yield (
            PLAN / f"describe/{name}.json",
            Request("describe", module, folder, inputs, wanted, [], fingerprint((module,))),
        )


def survey_request(suite: str, described: dict[str, Any], published: list[str]) -> tuple[Path, Request]:
    """The tables of a suite's datasets: {name: how tables call it}, and the files of published numbers."""
    module = "seqrepro.ledger.datasets"
    inputs = [*(f"results/datasets/{name}/statistics.json" for name in described), *published]
    request = Request(
        "survey", module, f"results/{suite}/datasets", inputs, {"datasets": described}, [], fingerprint((module,))
    )
    return PLAN / f"survey/{suite}.json", request


def survey_tables(suite: str) -> list[dict[str, str]]:
    """How the report shows the tables of the survey."""
    return [
        {"title": title, "caption": caption, "path": f"results/{suite}/datasets/{name}.csv"}
        for name, (title, caption) in CAPTIONS.items()
    ]
