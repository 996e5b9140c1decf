"""Early stopping on any series: as its definition without a state says, and what holds whatever the series."""

from hypothesis import given
from hypothesis import strategies as st

from seqrepro.training.stopping import RULES, four_decimals
from stopping_series import follow, slow_general, slow_recbole

metrics = st.one_of(
    st.floats(0, 1),
    st.integers(0, 5).map(lambda n: n / 5),  # many ties
    st.integers(0, 40).map(lambda n: 0.1 + n / 80_000),  # ties at four decimals, and halves between them
)
series = st.lists(metrics, min_size=1, max_size=30)
patiences = st.integers(1, 6)


@given(series, patiences)
def test_general_is_its_definition(series, patience):
    assert follow(RULES["general"], series, patience) == slow_general(series, patience)


@given(series, patiences)
def test_recbole_is_its_definition(series, patience):
    assert follow(RULES["recbole"], series, patience) == slow_recbole(series, patience)


@given(series, patiences)
def test_recbole_never_stops_earlier(series, patience):
    """It forgives one epoch more, and an epoch that is better is also better or equal at four decimals."""
    stops = [follow(rule, series, patience)[1] or len(series) + 1 for rule in (RULES["general"], RULES["recbole"])]
    assert stops[0] <= stops[1]


@given(series, patiences, metrics)
def test_the_future_does_not_change_a_decision(series, patience, later):
    for rule in RULES.values():
        best, stopped = follow(rule, series, patience)
        if stopped is not None:
            assert follow(rule, [*series, later], patience) == (best, stopped)


@given(st.floats(0, 1))
def test_four_decimals_are_near_and_stay(value):
    rounded = four_decimals(value)
    assert abs(rounded - value) <= 0.5e-4 + 1e-12
    assert four_decimals(rounded) == rounded
