"""The test of drift is Mann and Whitney's, and says little that is not so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from deploy.dashboard.alerts.drift import drifted, rank_sum
from deploy.dashboard.alerts.words import DEFAULT

SHARES = st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.4, 1.0]), min_size=1, max_size=30)


@given(SHARES, SHARES)
def test_it_is_scipys(one: list[float], other: list[float]) -> None:
    if len(set(one + other)) == 1:
        assert rank_sum(one, other) == 1.0
        return
    theirs = mannwhitneyu(one, other, method="asymptotic", use_continuity=True).pvalue
    assert rank_sum(one, other) == pytest.approx(theirs, abs=1e-9)


def test_a_device_that_stays_as_it_is_raises_next_to_nothing() -> None:
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(200):  # devices
        shares = list(rng.beta(0.6, 2.5, size=140))  # most patients have few, some have many
        alarms += drifted(shares, DEFAULT.scores_by, DEFAULT) is not None
    assert alarms <= 2


def test_a_device_that_calls_twice_as_many_cells_is_noticed() -> None:
    rng = np.random.default_rng(8)
    noticed = 0
    for _ in range(100):
        past = rng.beta(2, 18, size=120)
        recent = rng.beta(4, 14, size=12)
        noticed += drifted([*recent, *past], DEFAULT.scores_by, DEFAULT) is not None
    assert noticed >= 60


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="both"):
        rank_sum([], [1.0])
