"""Figures of the classifier against known answers and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainer.evaluate import (
    abstain_band,
    auroc,
    auroc_by_group,
    auroc_of_groups,
    expected_calibration_error,
    fit_temperature,
    group_bootstrap,
    operating_at,
    p_blast_of,
)


@given(scores=hnp.arrays(np.float64, 40, elements=st.integers(0, 9)))
def test_auroc_agrees_with_scikit_learn_ties_included(scores: np.ndarray) -> None:
    from sklearn.metrics import roc_auc_score

    truth = np.arange(40) % 3 == 0
    assert auroc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))


def test_auroc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(auroc(np.ones(4, bool), np.arange(4.0)))


def test_rates_at_a_threshold() -> None:
    truth = np.array([True, True, False, False])
    at = operating_at(truth, np.array([0.9, 0.4, 0.5, 0.1]), 0.5)
    assert (at.sensitivity, at.specificity, at.balanced_accuracy) == (0.5, 0.5, 0.5)


def overconfident(count: int = 4000, factor: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are ``factor`` times what the truth was drawn from."""
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 1.5, count)
    truth = rng.random(count) < 1 / (1 + np.exp(-logit))
    return np.stack([np.zeros(count), factor * logit], axis=1), truth


def test_the_temperature_undoes_overconfidence() -> None:
    logits, truth = overconfident()
    temperature = fit_temperature(logits, truth)
    assert temperature == pytest.approx(3.0, rel=0.1)
    before = expected_calibration_error(truth, p_blast_of(logits))
    after = expected_calibration_error(truth, p_blast_of(logits, temperature))
    assert after < 0.03 < before


def test_the_temperature_changes_no_ranking() -> None:
    logits, truth = overconfident()
    assert auroc(truth, p_blast_of(logits)) == pytest.approx(auroc(truth, p_blast_of(logits, 2.0)))


def test_the_abstain_band_keeps_its_promise_on_both_sides() -> None:
    logits, truth = overconfident(factor=1.0)
    p = p_blast_of(logits)
    low, high = abstain_band(truth, p, sensitivity=0.95, specificity=0.9)
    assert low < high
    assert (p[truth] >= low).mean() >= 0.95
    assert (p[~truth] < high).mean() >= 0.9


def test_a_perfect_classifier_abstains_from_nothing() -> None:
    p = np.array([0.1, 0.2, 0.8, 0.9])
    low, high = abstain_band(p > 0.5, p, sensitivity=0.9, specificity=0.9)
    assert 0.2 < low == high < 0.8


def test_the_interval_over_groups_is_wider_than_over_cells() -> None:
    rng = np.random.default_rng(0)
    names = [f"{group}" for group in range(12) for _ in range(100)]
    truth = np.repeat(np.arange(12) < 6, 100)
    score = truth + np.repeat(rng.normal(0, 1, 12), 100) + rng.normal(0, 1, 1200)

    def width(groups: list[str]) -> float:
        low, high = group_bootstrap(groups, truth, lambda i: auroc(truth[i], score[i]), rounds=200)
        return high - low

    assert width(names) > 2 * width([str(index) for index in range(1200)])


def test_a_group_is_ranked_against_all_cells_of_the_other_class() -> None:
    groups = ["a", "a", "b", "n", "n"]
    truth = np.array([True, True, True, False, False])
    score = np.array([0.9, 0.8, 0.1, 0.3, 0.2])
    by_group = auroc_by_group(groups, truth, score)
    assert by_group["a"]["auroc"] == 1.0
    assert by_group["b"]["auroc"] == 0.0
    assert by_group["n"]["auroc"] == pytest.approx(2 / 3)
    assert auroc_of_groups(groups, truth, score) == 0.5
