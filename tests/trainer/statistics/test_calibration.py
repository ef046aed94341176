"""Temperature scaling undoes overconfidence, and no cell helps to calibrate its own fold."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trainer.statistics.overconfidence import overconfident
from trainer.statistics.calibration import (
    calibrate_out_of_fold,
    expected_calibration_error,
    fit_temperature,
    p_blast_of,
)
from trainer.statistics.ranking import auroc


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


def test_the_calibration_error_of_a_worked_example() -> None:
    # Two bins of two cells: 0.95 sure and always right; 0.65 sure and right once.
    p = np.array([0.95, 0.05, 0.65, 0.65])
    truth = np.array([True, False, True, False])
    assert expected_calibration_error(truth, p) == pytest.approx((2 * 0.05 + 2 * 0.15) / 4)


def test_a_weight_of_two_is_the_cell_twice() -> None:
    logits, truth = overconfident(count=200)
    p = p_blast_of(logits)
    weights = np.arange(200) % 3
    cells = np.repeat(np.arange(200), weights)
    weighted = expected_calibration_error(truth, p, weights=weights.astype(np.float64))
    assert weighted == pytest.approx(expected_calibration_error(truth[cells], p[cells]))


def test_a_fold_is_calibrated_by_the_others_alone() -> None:
    logits, truth = overconfident()
    fold = np.arange(len(truth)) % 4
    altered = truth ^ (fold == 2)
    found = calibrate_out_of_fold(logits, altered, fold)

    assert found.temperatures[2] == fit_temperature(logits[fold != 2], truth[fold != 2])
    assert found.temperatures[2] != found.temperatures[1]
    own = fold == 2
    assert np.array_equal(found.p_blast[own], p_blast_of(logits[own], found.temperatures[2]))
