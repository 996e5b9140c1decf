from hypothesis import given
from hypothesis import strategies as st

from made_data import rows_of, sequences_of
from seqrepro.data.splits import leave_one_out, train_and_validation

ROWS = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=8), min_size=1, max_size=8)


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
    both = train_and_validation(split)
    by_user = dict(zip(both.users.tolist(), rows_of(both), strict=True))
    assert by_user == {user: row[:-1] if len(row) >= 3 else row for user, row in enumerate(rows, start=1)}
