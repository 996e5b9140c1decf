from made_data import rows_of, sequences_of
from seqrepro.data.splits import leave_one_out, train_and_validation

ROWS = [[1, 2, 3, 4], [5, 6], [7, 8, 9]]


def test_leave_one_out_holds_out_the_last_two_items():
    split = leave_one_out(sequences_of(ROWS, 9))
    assert rows_of(split.train) == [[1, 2], [5, 6], [7]]
    assert rows_of(split.histories["validation"]) == [[1, 2], [7]]
    assert rows_of(split.histories["test"]) == [[1, 2, 3], [7, 8]]
    assert split.targets["validation"].tolist() == [3, 8]
    assert split.targets["test"].tolist() == [4, 9]


def test_evaluated_users_keep_their_ids():
    split = leave_one_out(sequences_of(ROWS, 9))
    assert split.train.users.tolist() == [1, 2, 3]
    assert split.histories["test"].users.tolist() == [1, 3]


def test_train_and_validation_adds_only_the_validation_items():
    both = train_and_validation(leave_one_out(sequences_of(ROWS, 9)))
    assert dict(zip(both.users.tolist(), rows_of(both), strict=True)) == {1: [1, 2, 3], 2: [5, 6], 3: [7, 8]}
