import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from made_data import random_rows, rows_of, sequences_of, write_prepared
from seqrepro.data.sequences import length_groups, read_sequences
from seqrepro.errors import InputError

ROWS = [[3, 1, 2], [5], [4, 4, 1, 2, 3]]


@pytest.fixture
def sequences():
    return sequences_of(ROWS, 5)


def test_a_file_comes_back_as_it_was_written(tmp_path):
    stamps = [[10, 11, 12], [5], [1, 1, 2, 3, 9]]
    write_prepared(tmp_path, ROWS, 5, stamps)
    read = read_sequences(tmp_path / "sequences.parquet", 5)
    assert rows_of(read) == ROWS
    assert read.users.tolist() == [1, 2, 3]
    assert read.timestamps.tolist() == [10, 11, 12, 5, 1, 1, 2, 3, 9]
    assert {tensor.dtype for tensor in (read.users, read.values, read.offsets, read.timestamps)} == {torch.int64}


def test_a_column_of_null_timestamps_means_none(tmp_path):
    write_prepared(tmp_path, ROWS, 5)
    assert read_sequences(tmp_path / "sequences.parquet", 5).timestamps is None


def test_items_outside_the_catalogue_are_refused_with_user_and_item(tmp_path):
    write_prepared(tmp_path, [[1, 2], [3, 9]], 5)
    with pytest.raises(InputError, match=r"user 2 has item 9; expected ids 1\.\.5"):
        read_sequences(tmp_path / "sequences.parquet", 5)


def test_timestamps_that_do_not_match_are_refused(tmp_path):
    write_prepared(tmp_path, [[1, 2], [3]], 5, [[1], [2]])
    with pytest.raises(InputError, match="one timestamp an item"):
        read_sequences(tmp_path / "sequences.parquet", 5)


def test_missing_files_and_columns_are_refused(tmp_path):
    path = tmp_path / "sequences.parquet"
    with pytest.raises(InputError, match="no such file"):
        read_sequences(path, 5)
    pq.write_table(pa.table({"user": [1]}), path)
    with pytest.raises(InputError, match="items"):
        read_sequences(path, 5)


def test_select_gives_rows_in_the_order_asked(sequences):
    chosen = sequences.select(torch.tensor([2, 0]))
    assert rows_of(chosen) == [ROWS[2], ROWS[0]]
    assert chosen.users.tolist() == [3, 1]


def test_head_and_tail(sequences):
    assert rows_of(sequences.head(torch.tensor([1, 1, 4]))) == [[3], [5], [4, 4, 1, 2]]
    assert rows_of(sequences.tail(2)) == [[1, 2], [5], [2, 3]]


def test_last_pads_on_the_right_with_zero(sequences):
    padded, lengths = sequences.last(4)
    assert padded.tolist() == [[3, 1, 2, 0], [5, 0, 0, 0], [4, 1, 2, 3]]
    assert lengths.tolist() == [3, 1, 4]


def test_later_items_counts_what_follows_in_the_row(sequences):
    assert sequences.later_items.tolist() == [2, 1, 0, 0, 4, 3, 2, 1, 0]


def test_length_groups_cover_every_row_once_and_hold_similar_lengths():
    lengths = sequences_of(random_rows(60, 9, longest=60), 9).lengths
    groups = list(length_groups(lengths))
    assert sorted(torch.cat(groups).tolist()) == list(range(60))
    assert all(int(lengths[rows].max()) <= max(4, 2 * int(lengths[rows].min())) for rows in groups)
    assert len(groups) >= 4
