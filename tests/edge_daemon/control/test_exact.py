"""Fisher's exact test, held against another's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact as published

from edge_daemon.control.exact import fisher_exact

counts = st.tuples(st.integers(0, 400), st.integers(0, 400)).map(sorted)


def test_a_lady_tasting_tea():
    """Fisher's own example: three of four cups right is nothing out of the ordinary."""
    assert fisher_exact(3, 4, 1, 4) == pytest.approx(34 / 70)
    assert fisher_exact(4, 4, 0, 4) == pytest.approx(2 / 70)


@given(one=counts, other=counts)
def test_it_says_what_scipy_says(one, other):
    (hits, trials), (other_hits, other_trials) = one, other
    table = [[hits, trials - hits], [other_hits, other_trials - other_hits]]
    said = fisher_exact(hits, trials, other_hits, other_trials)
    assert said == pytest.approx(published(table).pvalue, rel=1e-6, abs=1e-12)
    assert said == pytest.approx(fisher_exact(other_hits, other_trials, hits, trials))


def test_the_same_share_is_never_out_of_the_ordinary():
    for trials in (1, 10, 5000):
        assert fisher_exact(trials // 2, trials, trials // 2, trials) == pytest.approx(1.0)


def test_counts_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="5 of 4"):
        fisher_exact(5, 4, 1, 4)
