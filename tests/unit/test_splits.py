from itertools import chain

import numpy as np
import pyarrow as pa
import pytest
import torch

from made_data import rows_of, sequences_of
from seqrepro.data.interactions import Interactions, number, order
from seqrepro.data.prepare import sequences_table
from seqrepro.data.sequences import Sequences, offsets_of, read_sequences
from seqrepro.data.split_variants import compare_splits
from seqrepro.data.splits import (
    by_time,
    global_temporal,
    leave_one_out,
    make_split,
    read_rows,
    temporal_cutoffs,
)
from seqrepro.errors import InputError
from seqrepro.files import write_json, write_parquet

ROWS = [[1, 2, 3, 4], [5, 6], [7, 8, 9]]
TEMPORAL = {"validation_share": 0.2, "test_share": 0.2, "target": "first"}
NAMES = ("validation", "test")
EPOCH = 1_600_000_000  # a multiple of 128, as all 32-bit floats of that size


def timed(rows, stamps, n_items=9):
    """Sequences of users 1, 2, ... with timestamps."""
    lengths = torch.tensor([len(row) for row in rows])
    values, times = (torch.tensor(list(chain.from_iterable(lists))) for lists in (rows, stamps))
    return Sequences(torch.arange(1, len(rows) + 1), values, offsets_of(lengths), times, n_items)


def write_interactions(folder, rows, n_items=9):
    """interactions.parquet of (user, item, timestamp), and statistics.json."""
    users, items, times = zip(*rows, strict=True)
    columns = {"user": pa.array(users), "item": pa.array(items, pa.int32()), "timestamp": pa.array(times, pa.int64())}
    write_parquet(folder / "interactions.parquet", pa.table(columns))
    write_json(folder / "statistics.json", {"n_items": n_items})
    return folder / "interactions.parquet", folder / "statistics.json"


def told(split):
    """{part: {user: (history, target)}}"""
    return {
        name: {
            user: (history, target)
            for user, history, target in zip(
                split.histories[name].users.tolist(),
                rows_of(split.histories[name]),
                split.targets[name].tolist(),
                strict=True,
            )
        }
        for name in NAMES
    }


def test_leave_one_out_holds_out_the_last_two_items():
    split = leave_one_out(sequences_of(ROWS, 9))
    assert rows_of(split.train) == [[1, 2], [5, 6], [7]]
    assert rows_of(split.histories["validation"]) == [[1, 2], [7]]
    assert rows_of(split.histories["test"]) == [[1, 2, 3], [7, 8]]
    assert split.targets["validation"].tolist() == [3, 8]
    assert split.targets["test"].tolist() == [4, 9]


def test_the_row_of_the_source_decides_between_interactions_of_one_moment(tmp_path):
    users, items, stamps = [1] * 5, [5, 4, 3, 2, 1], [9, 7, 9, 1, 7]
    told = Interactions(pa.array(users), pa.array(items), np.array(stamps), n_items=5)
    write_parquet(tmp_path / "sequences.parquet", sequences_table(order(number(told, "timestamp"))))
    write_json(tmp_path / "statistics.json", {"n_items": 5})
    rows = read_rows({"split": "leave_one_out"}, tmp_path / "sequences.parquet", tmp_path / "statistics.json")
    split = leave_one_out(rows)
    assert rows_of(rows) == [[2, 4, 1, 5, 3]]
    assert (split.targets["validation"].tolist(), split.targets["test"].tolist()) == ([5], [3])


def test_evaluated_users_keep_their_ids():
    split = leave_one_out(sequences_of(ROWS, 9))
    assert split.train.users.tolist() == [1, 2, 3]
    assert split.histories["test"].users.tolist() == [1, 3]


def test_train_and_validation_adds_only_the_validation_items():
    both = leave_one_out(sequences_of(ROWS, 9)).train_and_validation
    assert both.users.tolist() == [1, 2, 3]
    assert rows_of(both) == [[1, 2, 3], [5, 6], [7, 8]]


def test_recbole_order_is_that_of_32_bit_timestamps_and_then_of_the_rows(tmp_path):
    close, far = EPOCH + 10, EPOCH + 300
    files = write_interactions(tmp_path, [(1, 1, far), (1, 2, close), (2, 5, 7), (1, 3, EPOCH), (1, 4, EPOCH + 5)])
    rows = read_rows({"split": "leave_one_out_recbole"}, *files)
    assert rows_of(rows) == [[2, 3, 4, 1], [5]]  # 2, 3 and 4 have one 32-bit timestamp
    assert rows.timestamps.tolist() == [close, EPOCH, EPOCH + 5, far, 7]  # exact, and so not ascending
    split = make_split({"split": "leave_one_out_recbole"}, rows)
    assert told(split) == {"validation": {1: ([2, 3], 4)}, "test": {1: ([2, 3, 4], 1)}}
    assert rows_of(by_time(rows, rows.timestamps)) == [[3, 4, 2, 1], [5]]


def test_the_recbole_order_refuses_data_without_timestamps(tmp_path):
    files = write_interactions(tmp_path, [(1, 1, None), (1, 2, None)])
    with pytest.raises(InputError, match=r"interactions\.parquet: no timestamps; the split leave_one_out_recbole"):
        read_rows({"split": "leave_one_out_recbole"}, *files)


def test_the_recbole_order_reads_interactions_alone(tmp_path):
    write_parquet(tmp_path / "sequences.parquet", pa.table({"user": [1]}))
    _, statistics = write_interactions(tmp_path, [(1, 1, 1)])
    with pytest.raises(InputError, match=r"no column \['item', 'timestamp'\]; expected user, item and timestamp"):
        read_rows({"split": "leave_one_out_recbole"}, tmp_path / "sequences.parquet", statistics)


def test_cutoffs_are_the_timestamps_of_the_latest_shares():
    stamps = torch.arange(10, 110, 10)[torch.randperm(10)]
    assert temporal_cutoffs(stamps, 0.2, 0.1) == (80, 100)  # test: 100; validation: 80 and 90
    assert temporal_cutoffs(stamps, 0.25, 0.1) == (70, 100)  # 3.5 interactions become 4
    assert temporal_cutoffs(torch.arange(1000), 0.1, 0.2) == (700, 800)  # although 0.1 + 0.2 > 0.3 in binary


def test_ties_at_a_cutoff_go_to_the_later_side():
    assert temporal_cutoffs(torch.tensor([1, 2, 3, 3, 3, 4, 4, 4, 4, 4]), 0.4, 0.2) == (3, 4)
    split = global_temporal(timed([[1, 2, 3, 4], [5, 6, 7, 8]], [[1, 2, 3, 4], [1, 3, 3, 4]]), 0.25, 0.125, "first")
    assert rows_of(split.train) == [[1, 2], [5]]  # t_validation is 3


STAMPS = [[1, 2, 7, 9, 10], [1, 8, 9], [9, 10], [2, 3, 4, 5], [10]]
ITEMS = [[1, 2, 3, 4, 5], [6, 7, 8], [9, 1], [2, 3, 4, 5], [6]]


@pytest.mark.parametrize(
    ("target", "validation", "test"),
    [
        ("first", {1: ([1, 2], 3), 2: ([6], 7)}, {1: ([1, 2, 3], 4), 2: ([6, 7], 8)}),
        ("last", {1: ([1, 2], 3), 2: ([6], 7)}, {1: ([1, 2, 3, 4], 5), 2: ([6, 7], 8), 3: ([9], 1)}),
    ],
)
def test_global_temporal_by_hand(target, validation, test):
    """15 interactions: the latest 6 happen from 9 on, the 2 before them from 7 on."""
    split = global_temporal(timed(ITEMS, STAMPS), validation_share=0.13, test_share=0.4, target=target)
    assert told(split) == {"validation": validation, "test": test}
    assert (split.train.users.tolist(), rows_of(split.train)) == ([1, 2, 4], [[1, 2], [6], [2, 3, 4, 5]])
    assert rows_of(split.train_and_validation) == [[1, 2, 3], [6, 7], [2, 3, 4, 5]]


def test_global_temporal_sorts_by_time_before_it_cuts():
    """An order that disagrees with the timestamps would put later interactions into histories."""
    split = global_temporal(timed([[5, 4, 3, 2, 1]], [[50, 40, 30, 20, 10]]), 0.2, 0.2, "first")
    assert rows_of(split.histories["test"]) == [[1, 2, 3, 4]]
    assert split.targets["test"].tolist() == [5]


def test_global_temporal_refuses_data_without_timestamps():
    with pytest.raises(InputError, match="split: global_temporal needs timestamps, and this dataset has none"):
        global_temporal(sequences_of(ROWS, 9), **TEMPORAL)


@pytest.mark.parametrize(
    ("stamps", "empty"), [([[5, 5, 5, 5]], "train and validation and test"), ([[1, 2, 3, 3]], "validation")]
)
def test_global_temporal_with_an_empty_part_is_one_line(stamps, empty):
    with pytest.raises(InputError, match=f"split: global_temporal leaves no user for {empty}; expected other shares"):
        global_temporal(timed([[1, 2, 3, 4]], stamps), **TEMPORAL)


def test_an_unknown_split_is_refused(tmp_path):
    files = write_interactions(tmp_path, [(1, 1, 1)])
    with pytest.raises(InputError, match="split: found 'random', expected one of leave_one_out, leave_one_out_recbole"):
        read_rows({"split": "random"}, *files)


def prepared(folder, source, order):
    """Interactions in the order of the source, and their sequences by (user, key of the row)."""
    interactions, _ = write_interactions(folder, source)
    exact = sorted(source, key=order)
    users = sorted({user for user, _, _ in source})
    lists = [[[row[column] for row in exact if row[0] == user] for user in users] for column in (1, 2)]
    timestamps = pa.array(lists[1], pa.list_(pa.int64()))
    table = {"user": pa.array(users), "items": pa.array(lists[0], pa.list_(pa.int32())), "timestamps": timestamps}
    write_parquet(folder / "sequences.parquet", pa.table(table))
    return interactions, read_sequences(folder / "sequences.parquet", 9)


def test_variants_are_counted(tmp_path):
    source = [
        *(
            (1, 1, EPOCH),
            (1, 3, EPOCH + 9),
            (1, 2, EPOCH + 5),
        ),  # the last two change places in source order and RecBole
        *((2, 4, EPOCH), (2, 6, EPOCH + 999), (2, 5, EPOCH + 500)),  # in source order alone
        *((3, 7, EPOCH), (3, 8, EPOCH + 2000), (3, 9, EPOCH + 4000)),  # nowhere
        *((4, 1, EPOCH + 5000), (4, 2, EPOCH + 6000)),  # too short to be counted
    ]
    interactions, exact = prepared(tmp_path, source, order=lambda row: (row[0], row[2]))
    found = compare_splits(interactions, exact, TEMPORAL)
    rows = {row.pop("compared_with_leave_one_out"): row for row in found}
    counted = {name: [row[f"{part}_targets_differ"] for part in NAMES] for name, row in rows.items()}
    assert counted == {"source_order": [2, 2], "leave_one_out_recbole": [1, 1], "global_temporal": [2, 2]}
    assert {row["users"] for row in rows.values()} == {3}
    temporal = rows["global_temporal"]
    assert temporal["interactions"] == {"train": 6, "validation": 2, "test": 3}
    assert (temporal["validation_targets"], temporal["test_targets"]) == (2, 1)
    assert temporal["from"] == {"validation": EPOCH + 999, "test": EPOCH + 4000}


def test_variants_without_timestamps(tmp_path):
    source = [(1, 1, None), (1, 2, None), (1, 3, None)]
    interactions, exact = prepared(tmp_path, source, order=lambda row: row[0])
    without = {"note": "no timestamps"}
    assert compare_splits(interactions, exact, TEMPORAL) == [
        {
            "compared_with_leave_one_out": "source_order",
            "users": 1,
            "validation_targets_differ": 0,
            "test_targets_differ": 0,
            "note": None,
        },
        {"compared_with_leave_one_out": "leave_one_out_recbole", **without},
        {"compared_with_leave_one_out": "global_temporal", **without},
    ]
