"""Ranking figures against scikit-learn, ties and weights included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, roc_auc_score

from trainer.statistics.ranking import Ranking, auroc, auroc_by_group, auroc_of_groups

TRUTH = np.arange(40) % 3 == 0

scores = hnp.arrays(np.float64, 40, elements=st.integers(0, 9))
weights = hnp.arrays(np.float64, 40, elements=st.integers(1, 4))


@given(scores=scores)
def test_auroc_agrees_with_scikit_learn_ties_included(scores: np.ndarray) -> None:
    assert auroc(TRUTH, scores) == pytest.approx(roc_auc_score(TRUTH, scores))


def test_auroc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(auroc(np.ones(4, bool), np.arange(4.0)))


@given(scores=scores, weights=weights)
def test_a_weighted_ranking_agrees_with_scikit_learn(
    scores: np.ndarray, weights: np.ndarray
) -> None:
    counts = Ranking.of(TRUTH, scores).counts(weights)

    assert counts.auroc() == pytest.approx(roc_auc_score(TRUTH, scores, sample_weight=weights))
    assert counts.average_precision() == pytest.approx(
        average_precision_score(TRUTH, scores, sample_weight=weights)
    )


@given(scores=scores, weights=weights)
def test_a_weight_of_two_is_the_cell_twice(scores: np.ndarray, weights: np.ndarray) -> None:
    cells = np.repeat(np.arange(40), weights.astype(int))
    weighted = Ranking.of(TRUTH, scores).counts(weights)

    assert weighted.auroc() == pytest.approx(auroc(TRUTH[cells], scores[cells]))


@given(scores=scores, rate=st.floats(0.05, 1))
def test_sensitivity_at_a_specificity_is_the_best_that_a_threshold_gives(
    scores: np.ndarray, rate: float
) -> None:
    given_by_a_threshold = [
        (scores[TRUTH] >= threshold).mean()
        for threshold in [*scores, np.inf]
        if (scores[~TRUTH] < threshold).mean() >= rate
    ]

    counts = Ranking.of(TRUTH, scores).counts()
    assert counts.sensitivity_at(rate) == pytest.approx(max(given_by_a_threshold))


def test_both_readings_of_one_small_curve() -> None:
    truth = np.array([True, True, False, True, False, False, False])
    counts = Ranking.of(truth, np.arange(7.0)[::-1]).counts()

    assert counts.sensitivity_at(1.0) == pytest.approx(2 / 3)
    assert counts.sensitivity_at(0.75) == 1.0
    assert counts.sensitivity_at(0.80) == pytest.approx(2 / 3)
    assert counts.specificity_at(0.9) == 0.75


def test_a_group_is_ranked_against_all_cells_of_the_other_class() -> None:
    groups = ["a", "a", "b", "n", "n"]
    truth = np.array([True, True, True, False, False])
    score = np.array([0.9, 0.8, 0.1, 0.3, 0.2])
    by_group = auroc_by_group(groups, truth, score)
    assert by_group["a"]["auroc"] == 1.0
    assert by_group["b"]["auroc"] == 0.0
    assert by_group["n"]["auroc"] == pytest.approx(2 / 3)
    assert auroc_of_groups(groups, truth, score) == 0.5
