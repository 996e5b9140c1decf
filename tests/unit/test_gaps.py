"""Controls of time: what happens to the gaps, and to whom; and how a model gets to see timestamps."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import nn

from made_data import sequences_of
from seqrepro.config.dataset_plan import require_timestamps
from seqrepro.config.datasets import Dataset
from seqrepro.data.disturbances import disturb
from seqrepro.data.gaps import DAY, with_gaps
from seqrepro.data.registry import load_registry
from seqrepro.data.sequences import Sequences
from seqrepro.data.splits import global_temporal, leave_one_out, make_split
from seqrepro.errors import InputError
from seqrepro.models.interfaces import TimedModel
from seqrepro.training.views import make_view

N_ITEMS = 30
ROOT = Path(__file__).resolve().parents[2]
GAPS = st.lists(st.lists(st.integers(0, 10**7), max_size=12), min_size=1, max_size=5)


def timed(gaps, start=10**9):
    """Rows of items 1, 2, ... with these gaps between them."""
    rows = sequences_of([list(range(1, len(row) + 2)) for row in gaps], N_ITEMS)
    times = [start + sum(row[:place]) for row in gaps for place in range(len(row) + 1)]
    return Sequences(rows.users, rows.values, rows.offsets, torch.tensor(times), N_ITEMS)


def times_of(rows):
    return [row.tolist() for row in rows.timestamps.split(rows.lengths.tolist())]


def gaps_of(rows):
    return [[after - before for before, after in pairwise(row)] for row in times_of(rows)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(GAPS)
def test_constant_gaps_are_a_day(gaps):
    rows = timed(gaps)
    changed = with_gaps(rows, "constant", generator())
    assert gaps_of(changed) == [[DAY] * len(row) for row in gaps]
    assert [row[0] for row in times_of(changed)] == [row[0] for row in times_of(rows)]


@given(GAPS, st.integers(0, 100))
def test_shuffled_gaps_are_those_of_the_same_row(gaps, seed):
    rows = timed(gaps)
    changed = with_gaps(rows, "shuffled", generator(seed))
    assert [sorted(row) for row in gaps_of(changed)] == [sorted(row) for row in gaps]
    assert [(row[0], row[-1]) for row in times_of(changed)] == [(row[0], row[-1]) for row in times_of(rows)]
    assert torch.equal(changed.values, rows.values)


def test_shuffled_gaps_are_in_another_order():
    rows = timed([list(range(20))] * 3)
    first, second = (with_gaps(rows, "shuffled", generator(seed)) for seed in (1, 2))
    assert len({tuple(row) for row in [*gaps_of(first), *gaps_of(second), *gaps_of(rows)]}) == 7


@pytest.mark.parametrize(("kind", "found"), [("other", "found 'other'"), ("constant", "without timestamps")])
def test_what_cannot_be_done_is_one_line(kind, found):
    rows = timed([[1, 2]]) if kind == "other" else sequences_of([[1, 2, 3]], N_ITEMS)
    with pytest.raises(InputError, match=found) as error:
        with_gaps(rows, kind, generator())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("split", ["leave_one_out", "global_temporal"])
@pytest.mark.parametrize("gaps", ["constant", "shuffled"])
def test_other_gaps_hold_out_the_same_items(split, gaps):
    rows = timed([[5, 100, 7, 31, 9, 9, 8], [1000, 2, 3, 400, 3, 1], [6, 6, 60, 600, 6000]])
    config = {"split": split, "model": {"gaps": gaps}}
    if split == "global_temporal":
        config["temporal"] = {"validation_share": 0.2, "test_share": 0.2, "target": "first"}
    real = leave_one_out(rows) if split == "leave_one_out" else global_temporal(rows, **config["temporal"])
    other = make_split(config, rows)
    for name in ("validation", "test"):
        assert torch.equal(other.targets[name], real.targets[name])
        assert torch.equal(other.histories[name].values, real.histories[name].values)
    assert torch.equal(other.train.values, real.train.values)
    assert not torch.equal(other.train.timestamps, real.train.timestamps)
    again = make_split(config, rows)
    assert torch.equal(again.train.timestamps, other.train.timestamps)
    known, whole = other.train_and_validation, other.whole
    assert times_of(known) == [row[: len(kept)] for row, kept in zip(times_of(whole), times_of(known), strict=True)]


def test_disturbances_of_the_gaps_leave_the_items():
    rows = timed([[5, 100, 7, 31], [1, 2, 3]])
    for kind, expected in [("constant_gaps", [[DAY] * 4, [DAY] * 3]), ("shuffle_gaps", None)]:
        changed = disturb(rows, {"kind": kind}, generator(3), lambda owners, _: owners)
        assert torch.equal(changed.values, rows.values)
        assert expected is None or gaps_of(changed) == expected


def test_an_item_that_keeps_its_place_keeps_its_time():
    rows = timed([[5, 100, 7, 31]])
    moments = dict(zip(rows.values.tolist(), rows.timestamps.tolist(), strict=True))
    for wanted in ({"kind": "drop_last", "count": 2}, {"kind": "delete", "ratio": 0.4}):
        changed = disturb(rows, wanted, generator(), lambda owners, _: owners)
        assert [moments[item] for item in changed.values.tolist()] == changed.timestamps.tolist()


class Clock(TimedModel):
    """Its representation of a position is its item and its time."""

    max_length = 3

    def __init__(self):
        super().__init__()
        self.items = nn.Embedding(N_ITEMS + 1, 2)

    def hidden_at(self, padded_BL, times_BL):
        return torch.stack([padded_BL, times_BL], dim=-1).float()

    def item_table(self):
        return self.items.weight


def test_a_timed_model_gets_the_times_of_its_items():
    rows = timed([[5, 100, 7, 31], [8]], start=100)
    assert Clock().last_hidden(rows).tolist() == [[5, 243], [2, 108]]
    hidden, targets = make_view("all_positions", rows).batch(torch.tensor([0, 1])).representations(Clock())
    seen = dict(zip(targets.tolist(), hidden.tolist(), strict=True))
    assert seen == {2: [1, 100], 3: [2, 105], 4: [3, 205], 5: [4, 212]}


def test_a_timed_model_refuses_rows_without_timestamps():
    with pytest.raises(InputError, match="timestamps: found none"):
        Clock().last_hidden(sequences_of([[1, 2, 3]], N_ITEMS))


@pytest.mark.parametrize(
    ("dataset", "found"),
    [
        (
            {"source": "registry", "entry": "lastfm-s3rec-sequences"},
            "entry: found 'lastfm-s3rec-sequences', which",
        ),
        (
            {"source": "file", "path": "mine.csv", "columns": {"user": "u", "item": "i"}},
            "columns.timestamp: found none",
        ),
    ],
)
def test_the_plan_refuses_data_without_timestamps(dataset, found):
    parsed = TypeAdapter(Dataset).validate_python(dataset)
    with pytest.raises(InputError, match=rf"^params.yaml: datasets.mine.{found}"):
        require_timestamps("mine", parsed, load_registry(ROOT / "registry" / "datasets.yaml"))


@pytest.mark.parametrize("entry", ["ml-100k", "amazon-2014-beauty-s3rec"])
def test_the_plan_takes_data_with_timestamps(entry):
    parsed = TypeAdapter(Dataset).validate_python({"source": "registry", "entry": entry})
    require_timestamps("mine", parsed, load_registry(ROOT / "registry" / "datasets.yaml"))
