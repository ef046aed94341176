"""Paired tests against direct implementations, scipy and a simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest, chi2

from trainer.statistics.paired import bootstrap_difference, delong, holm, mcnemar

TRUTH = np.arange(40) % 3 == 0

scores = hnp.arrays(np.float64, 40, elements=st.integers(0, 9))


def delong_directly(
    truth: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[float, float]:
    """Difference and standard error by the definition: every blast with every normal cell."""
    placements = []
    for score in (first, second):
        x, y = score[truth][:, None], score[~truth][None, :]
        wins = (x > y) + 0.5 * (x == y)
        placements.append((wins.mean(axis=1), wins.mean(axis=0)))
    of_blasts = placements[0][0] - placements[1][0]
    of_normals = placements[0][1] - placements[1][1]
    variance = of_blasts.var(ddof=1) / len(of_blasts) + of_normals.var(ddof=1) / len(of_normals)
    return float(of_blasts.mean()), float(np.sqrt(variance))


@given(first=scores, second=scores)
def test_delong_agrees_with_its_definition_ties_included(
    first: np.ndarray, second: np.ndarray
) -> None:
    found = delong(TRUTH, first, second)
    difference, error = delong_directly(TRUTH, first, second)

    assert found.first - found.second == pytest.approx(difference, abs=1e-12)
    assert found.standard_error == pytest.approx(error, abs=1e-7)


@given(first=scores, second=scores)
def test_delong_changes_only_its_sign_with_the_order(first: np.ndarray, second: np.ndarray) -> None:
    there, back = delong(TRUTH, first, second), delong(TRUTH, second, first)

    assert there.p_value == pytest.approx(back.p_value)
    assert (there.first, there.second) == (back.second, back.first)


def test_a_model_does_not_differ_from_itself() -> None:
    score = np.arange(40.0)
    assert delong(TRUTH, score, score).p_value == 1.0
    assert mcnemar(TRUTH, TRUTH).p_value == 1.0
    rounds = np.full(100, 0.8)
    assert bootstrap_difference(0.0, rounds, rounds).p_value == 1.0


def test_delong_rejects_equal_models_as_often_as_it_says() -> None:
    """Independent cells, two equally good scores: 5 % of the p-values below 0.05."""
    rng = np.random.default_rng(0)
    truth = np.arange(120) < 60
    rejected = 0
    for _ in range(1000):
        shared = truth + rng.normal(0, 1, 120)
        pair = shared + rng.normal(0, 1, (2, 120))
        rejected += delong(truth, pair[0], pair[1]).p_value < 0.05
    assert 30 <= rejected <= 75


def test_delong_is_optimistic_where_cells_share_patients() -> None:
    """The same simulation with ten cells a patient: far more than 5 % look significant."""
    rng = np.random.default_rng(0)
    truth = np.arange(200) < 100
    rejected = 0
    for _ in range(200):
        patients = np.repeat(rng.normal(0, 1, (2, 20)), 10, axis=1)
        pair = truth + patients + rng.normal(0, 0.5, (2, 200))
        rejected += delong(truth, pair[0], pair[1]).p_value < 0.05
    assert rejected > 60


def disagreeing(first_only: int, second_only: int) -> tuple[np.ndarray, np.ndarray]:
    """Two models of which each is right alone so many times, and both 50 times."""
    first = np.array([True] * first_only + [False] * second_only + [True] * 50)
    second = np.array([False] * first_only + [True] * second_only + [True] * 50)
    return first, second


@given(first=st.integers(0, 12), second=st.integers(0, 12))
def test_few_disagreements_are_judged_exactly(first: int, second: int) -> None:
    found = mcnemar(*disagreeing(first, second))

    assert found.exact
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert found.p_value == pytest.approx(expected)


def test_mcnemar_of_a_published_example() -> None:
    """Agresti, Categorical Data Analysis: approval of the prime minister, 150 against 86.

    The corrected statistic is (|150 - 86| - 1)^2 / 236 = 16.82.
    """
    found = mcnemar(*disagreeing(150, 86))

    assert (found.only_first_right, found.only_second_right, found.exact) == (150, 86, False)
    assert found.p_value == pytest.approx(chi2.sf(16.8178, 1), rel=1e-3)


def test_a_difference_in_every_round_has_the_smallest_p_value_of_so_many_rounds() -> None:
    rng = np.random.default_rng(0)
    second = rng.normal(0.7, 0.01, 999)
    found = bootstrap_difference(0.1, second + 0.1, second)

    assert found.p_value == pytest.approx(0.002)
    assert found.low == found.high == pytest.approx(0.1)


def test_holm_of_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_makes_a_finding_stronger_nor_changes_their_order(p: list[float]) -> None:
    adjusted = holm(p)

    assert all(after >= before for after, before in zip(adjusted, p, strict=True))
    by_p = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[by_p]) >= 0).all()
