"""The real datasets are what the registry says: counts, and equality with their references, user by user.

Needs SEQREPRO_MIRROR, a folder with the files.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from seqrepro.data import prepare, retrieve
from seqrepro.data.library import Library, NotAtHand
from seqrepro.data.registry import load_registry
from seqrepro.data.sequences import read_sequences
from seqrepro.data.splits import leave_one_out
from seqrepro.models.interfaces import build_sequential
from seqrepro.request import Request
from seqrepro.training.inputs import read_attributes
from seqrepro.training.pretraining import s3_rec
from seqrepro.training.views import make_view

REGISTRY = Path(__file__).parents[2] / "registry" / "datasets.yaml"
ENTRIES = load_registry(REGISTRY)
BEAUTY, SPORTS, TOYS = (22_363, 12_101, 198_502), (35_598, 18_357, 296_337), (19_412, 11_924, 167_597)
GAMES, YELP, LASTFM = (24_303, 10_672, 231_780), (30_431, 20_033, 316_354), (1_090, 3_646, 52_551)
ML_1M = (6_040, 3_416, 999_611)
PUBLISHED = {  # 5-core: users, items, interactions, as papers print them
    "ml-100k": (943, 1_349, 99_287),
    "ml-1m-assembled-low": ML_1M,
    "ml-1m-assembled-mid": ML_1M,
    "ml-1m-assembled-high": ML_1M,
    "ml-1m-sasrec": ML_1M,
    "amazon-2014-beauty-s3rec": BEAUTY,
    "amazon-2014-beauty-s3rec-sequences": BEAUTY,
    "amazon-2014-beauty-ticoserec": BEAUTY,
    "amazon-2014-beauty-bert4rec": BEAUTY,
    "amazon-2014-sports-s3rec": SPORTS,
    "amazon-2014-sports-s3rec-sequences": SPORTS,
    "amazon-2014-sports-ticoserec": SPORTS,
    "amazon-2014-toys-s3rec": TOYS,
    "amazon-2014-toys-s3rec-sequences": TOYS,
    "amazon-2014-toys-mk4srec": TOYS,
    "amazon-2014-video-games-sequences": GAMES,
    "amazon-2014-video-games-sasrec": GAMES,
    "amazon-2014-health-sequences": (38_609, 18_534, 346_355),
    "amazon-2014-apps-sequences": (87_271, 13_209, 752_937),
    "amazon-2014-home-sequences": (66_519, 28_237, 551_682),
    "yelp-2019-s3rec-sequences": YELP,
    "yelp-2019-ticoserec": YELP,
    "lastfm-s3rec-sequences": LASTFM,
    "lastfm-hetrec-tags": LASTFM,
}
COUNTS = [(name, variant) for name in PUBLISHED for variant in ENTRIES[name].expected]
REFERENCES = [
    (name, place)
    for name in PUBLISHED
    for place, reference in enumerate(ENTRIES[name].references)
    if reference.entry in PUBLISHED
]
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif("SEQREPRO_MIRROR" not in os.environ, reason="SEQREPRO_MIRROR is not set"),
]


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory):
    """Work in an empty folder, so that only the mirror is at hand."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("real"))
    yield
    os.chdir(before)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return Library(ENTRIES, os.environ["SEQREPRO_MIRROR"], tmp_path_factory.mktemp("mirrored"))


def _prepared(name: str, k_core: int | None) -> Path:
    entry = ENTRIES[name]
    folder = f"data/prepared/{name}-{k_core}"
    parameters = {"dataset": name, "mirror": None, **entry.retrieval()}
    retrieve.run(Request("retrieve", "seqrepro.data.retrieve", f"data/raw/{name}", [], parameters, [], ""))
    parameters = {"dataset": name, **entry.preparation({"k_core": k_core} if k_core else {})}
    prepare.run(Request("prepare", "seqrepro.data.prepare", folder, entry.raw_paths(), parameters, [], ""))
    return Path(folder)


def test_everything_that_a_mirror_can_hold_is_at_hand(library):
    away = []
    for name in ENTRIES:
        try:
            library.read(name)
        except NotAtHand:
            away.append(name)
    assert set(ENTRIES) - set(away) == set(PUBLISHED)
    assert all(ENTRIES[name].counts == "computed" for name in PUBLISHED)


@pytest.mark.parametrize(("name", "variant"), COUNTS)
def test_counts(library, name, variant):
    found = library.counts(name, {} if variant == "raw" else {"k_core": int(variant.removesuffix("_core"))})
    assert found == ENTRIES[name].expected[variant]
    if variant == "5_core":
        assert (found.users, found.items, found.interactions) == PUBLISHED[name]


@pytest.mark.parametrize(("name", "place"), REFERENCES)
def test_references(library, name, place):
    reference = ENTRIES[name].references[place]
    assert library.compare(name, reference) == reference.expected


def test_the_assembled_movielens_is_sasrecs_file_byte_for_byte(library):
    """Users and items under SASRec's ids, in SASRec's order of users."""
    entry = ENTRIES["ml-1m-assembled-mid"]
    numbered, ordered = library.ordered(entry.name, {"k_core": 5}, None)
    users, items = (
        np.array([int(library.mapping("ml-1m-sasrec", file)[str(i)]) for i in ids.to_pylist()])
        for file, ids in (
            (entry.references[0].user_map, numbered.user_ids),
            (entry.references[0].item_map, numbered.item_ids),
        )
    )
    rows = np.stack([np.repeat(users[ordered.users - 1], ordered.lengths), items[ordered.items - 1]], axis=1)
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    text = "".join(f"{user} {item}\n" for user, item in rows.tolist())
    (reference,) = ENTRIES["ml-1m-sasrec"].files
    assert text.encode() == library.path("ml-1m-sasrec", reference).read_bytes()


@pytest.mark.parametrize("name", ["beauty-s3rec", "sports-s3rec", "toys-s3rec"])
def test_one_order_of_the_catalogue_explains_all_ties_of_s3rec(library, name):
    """Put an arrow from each item to the next one at the same time: there is no cycle."""
    assert _largest_cycle(library, f"amazon-2014-{name}") == 1


@pytest.mark.parametrize("name", ["beauty-ticoserec", "sports-ticoserec", "toys-mk4srec"])
def test_no_order_of_the_catalogue_explains_the_ties_of_the_others(library, name):
    assert _largest_cycle(library, f"amazon-2014-{name}") > 10_000


def _largest_cycle(library, name: str) -> int:
    """Items in the largest strongly connected component of 'comes next at the same time'."""
    _, ordered = library.ordered(name, {}, None)
    users = np.repeat(ordered.users, ordered.lengths)
    tied = (np.diff(users) == 0) & (np.diff(ordered.timestamps) == 0)
    arrows = ordered.items[:-1][tied], ordered.items[1:][tied]
    size = ordered.items.max() + 1
    graph = coo_matrix((np.ones(len(arrows[0])), arrows), shape=(size, size))
    return int(np.bincount(connected_components(graph, directed=True, connection="strong")[1]).max())


S3REC = {  # targets of an epoch of fine-tuning, instances of an epoch of pre-training, attributes, parameters of both
    "amazon-2014-beauty-s3rec": (128_031, 150_258, 637, 935_360),
    "amazon-2014-sports-s3rec": (187_944, 223_464, 2_277, 1_440_704),
    "amazon-2014-toys-s3rec": (106_592, 125_896, 1_027, 948_992),
    "yelp-2019-s3rec-sequences": (217_739, 247_854, 1_001, 1_466_304),
    "lastfm-s3rec-sequences": (24_893, 25_726, 388, 378_304),
}


@pytest.mark.parametrize("name", S3REC)
def test_the_counts_of_s3rec(name):
    """Inputs s_1..s_{m-3}, targets s_2..s_{m-2} of a user, 50 at most; each prefix of the last 50 of s_1..s_{m-2}."""
    folder = _prepared(name, 5)
    n_items = json.loads((folder / "statistics.json").read_text())["n_items"]
    split = leave_one_out(read_sequences(folder / "sequences.parquet", n_items))
    split = replace(split, attributes=read_attributes(folder / "items.parquet", n_items))
    parameters = {"family": "sasrec", "positions_from": "newest", "mask_row": True}  # all sizes at their defaults
    model = build_sequential(parameters, n_items, torch.Generator())
    first = s3_rec.build({}, split, model, torch.Generator())
    assert (
        make_view("all_positions", split.train).n_targets(50),
        len(first.view(split.train, 50)),
        split.attributes.shape[1] - 1,
        sum(weight.numel() for network in (model, first) for weight in network.parameters()),
    ) == S3REC[name]


def test_ml_100k_prepared():
    folder = _prepared("ml-100k", 5)
    statistics = json.loads((folder / "statistics.json").read_text())
    assert statistics["verified"] is True
    items = pq.read_table(folder / "items.parquet").to_pylist()
    assert items[0] == {"item": 1, "source_id": "242", "attributes": ["Comedy"]}
    assert (
        pq.read_table(folder / "sequences.parquet")["items"].combine_chunks().value_lengths().to_numpy().sum() == 99_287
    )


def test_the_two_beauty_variants_hold_the_same_sequences():
    timed, plain = (
        pq.read_table(_prepared(name, None) / "sequences.parquet")
        for name in ("amazon-2014-beauty-s3rec", "amazon-2014-beauty-s3rec-sequences")
    )
    assert timed["user"].equals(plain["user"])
    assert timed["items"].equals(plain["items"])
    assert timed["timestamps"].null_count == 0
    assert plain["timestamps"].null_count == len(plain)


def test_the_assembled_movielens_prepared():
    folder = _prepared("ml-1m-assembled-mid", 5)
    statistics = json.loads((folder / "statistics.json").read_text())
    assert statistics["verified"] is True
    assert statistics["timestamps"]["reversals"] == 0
    assert pq.read_table(folder / "items.parquet")["attributes"].null_count == 0
