import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from made_data import rows_of, sequences_of
from seqrepro.data.sequences import Sequences, offsets_of
from seqrepro.data.splits import by_time, global_temporal, leave_one_out, temporal_cutoffs
from seqrepro.errors import InputError

NAMES = ("validation", "test")
ROWS = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=8), min_size=1, max_size=8)
SHARES = st.sampled_from([0.05, 0.1, 0.25, 0.4])


@given(ROWS)
def test_histories_and_targets_put_together_are_the_rows(rows):
    split = leave_one_out(sequences_of(rows, 9))
    long_rows = [row for row in rows if len(row) >= 3]
    for name, left in (("validation", 1), ("test", 0)):
        joined = [
            [*history, target]
            for history, target in zip(rows_of(split.histories[name]), split.targets[name].tolist(), strict=True)
        ]
        assert joined == [row[: len(row) - left] for row in long_rows]


@given(ROWS)
def test_no_held_out_item_is_trained_on(rows):
    split = leave_one_out(sequences_of(rows, 9))
    assert rows_of(split.train) == [row[:-2] if len(row) >= 3 else row for row in rows]
    assert rows_of(split.train_and_validation) == [row[:-1] if len(row) >= 3 else row for row in rows]


@st.composite
def events(draw):
    """Rows whose values are all different and so name their interactions; timestamps with ties, in any order."""
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=7))
    total = sum(lengths)
    stamps = draw(st.lists(st.integers(0, 12), min_size=total, max_size=total))
    offsets = offsets_of(torch.tensor(lengths))
    users = torch.arange(1, len(lengths) + 1)
    return Sequences(users, torch.arange(1, total + 1), offsets, torch.tensor(stamps), total)


@st.composite
def temporal_splits(draw):
    rows, shares = draw(events()), (draw(SHARES), draw(SHARES))
    target = draw(st.sampled_from(["first", "last"]))
    try:
        split = global_temporal(rows, *shares, target)
    except InputError:  # a part would be empty
        assume(False)
    return rows, split, temporal_cutoffs(rows.timestamps, *shares), target


def times(rows, values):
    return rows.timestamps[torch.as_tensor(values, dtype=torch.int64) - 1]


@given(temporal_splits())
def test_a_temporal_split_leaks_nothing(case):
    rows, split, (validation, test), _ = case
    assert split.train.timestamps.max() < validation
    assert split.train_and_validation.timestamps.max() < test
    assert (times(rows, split.targets["validation"]) >= validation).all()
    assert (times(rows, split.targets["validation"]) < test).all()
    assert (split.histories["validation"].timestamps < test).all()
    assert (times(rows, split.targets["test"]) >= test).all()


@given(temporal_splits())
def test_a_history_is_all_that_stands_before_its_target_in_order(case):
    rows, split, _, _ = case
    ordered = dict(zip(rows.users.tolist(), rows_of(by_time(rows, rows.timestamps)), strict=True))
    for name in NAMES:
        shown = split.histories[name]
        for user, history, target in zip(
            shown.users.tolist(), rows_of(shown), split.targets[name].tolist(), strict=True
        ):
            assert [*history, target] == ordered[user][: len(history) + 1]
            assert history
        assert torch.equal(times(rows, shown.values), shown.timestamps)


@given(temporal_splits())
def test_a_temporal_split_is_a_partition_and_takes_the_target_that_was_asked_for(case):
    rows, split, (validation, test), target = case
    windows = {"train": (-1, validation), "validation": (validation, test), "test": (test, 99)}
    inside = {
        name: {v for v, t in zip(rows.values.tolist(), rows.timestamps.tolist(), strict=True) if low <= t < high}
        for name, (low, high) in windows.items()
    }
    assert set(split.train.values.tolist()) == inside["train"]
    assert set(split.train_and_validation.values.tolist()) == inside["train"] | inside["validation"]
    for name in NAMES:
        expected = set()
        for row in rows_of(by_time(rows, rows.timestamps)):
            found = [index for index, value in enumerate(row) if value in inside[name]]
            if found and (place := found[0 if target == "first" else -1]) > 0:
                expected.add(row[place])
        assert set(split.targets[name].tolist()) == expected


@given(events())
def test_order_by_time_is_stable_within_each_row(rows):
    ordered = by_time(rows, rows.timestamps)
    stamps = dict(zip(rows.values.tolist(), rows.timestamps.tolist(), strict=True))
    assert rows_of(ordered) == [sorted(row, key=stamps.__getitem__) for row in rows_of(rows)]
