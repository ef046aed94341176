"""What a threshold does, against scikit-learn; the abstain band keeps its promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from tests.trainer.statistics.overconfidence import overconfident
from trainer.statistics.calibration import p_blast_of
from trainer.statistics.operating import abstain_band, confusion, operating_at


def test_rates_at_a_threshold() -> None:
    truth = np.array([True, True, False, False])
    at = operating_at(truth, np.array([0.9, 0.4, 0.5, 0.1]), 0.5)
    assert (at.sensitivity, at.specificity, at.balanced_accuracy) == (0.5, 0.5, 0.5)


@given(
    called=hnp.arrays(np.bool_, 30),
    weights=hnp.arrays(np.float64, 30, elements=st.integers(1, 4)),
)
def test_a_confusion_agrees_with_scikit_learn(called: np.ndarray, weights: np.ndarray) -> None:
    truth = np.arange(30) % 4 == 0
    table = confusion(truth, called, weights)

    assert [
        [table.normals_kept, table.normals_called_blast],
        [table.blasts_missed, table.blasts_found],
    ] == confusion_matrix(truth, called, sample_weight=weights).tolist()
    assert table.weighted_f1 == pytest.approx(
        f1_score(truth, called, average="weighted", sample_weight=weights, zero_division=0)
    )
    assert table.balanced_accuracy == pytest.approx(
        balanced_accuracy_score(truth, called, sample_weight=weights)
    )


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
