"""Several models on the same cells: whole figures, pairs, the area baseline and the leak."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from edge_daemon.errors import DataError
from tests.trainer.drawn_predictions import draw_cells, draw_model
from trainer.area_baseline import NAME, area_baseline, fit_logistic
from trainer.image_split import image_folds
from trainer.statistics.comparison import Comparison, compare_models

CELLS = draw_cells(scale=0.1)
GOOD = draw_model(CELLS, "good", 4.0, seed=1)
ALIKE = draw_model(CELLS, "alike", 4.0, seed=2)
LEAKING = draw_model(CELLS, "good", 4.0, seed=3, split="images")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare_models([GOOD, ALIKE, area_baseline(GOOD), LEAKING], rounds=150)


def test_the_figures_of_the_cells_agree_with_scikit_learn(comparison: Comparison) -> None:
    found = comparison.measured["good"]["on_black"]
    truth, score = CELLS.is_blast, GOOD.margin("on_black")
    called = found.scored.p_after >= 0.5

    assert found.cells["auroc"].value == pytest.approx(roc_auc_score(truth, score))
    assert found.cells["average_precision"].value == pytest.approx(
        average_precision_score(truth, score)
    )
    assert found.cells["weighted_f1"].value == pytest.approx(
        f1_score(truth, called, average="weighted")
    )


def test_the_figures_of_the_groups_are_those_of_their_mean_probability(
    comparison: Comparison,
) -> None:
    found = comparison.measured["good"]["on_black"]
    names = np.unique(CELLS.group)
    mean = [found.scored.p_after[CELLS.group == name].mean() for name in names]
    truth = [CELLS.is_blast[CELLS.group == name][0] for name in names]

    assert found.groups["auroc"].value == pytest.approx(roc_auc_score(truth, mean))
    right = [(p >= 0.5) == blast for p, blast in zip(mean, truth, strict=True)]
    sensitivity = np.mean([ok for ok, blast in zip(right, truth, strict=True) if blast])
    assert found.groups["sensitivity"].value == pytest.approx(sensitivity)


def test_auroc_within_folds_is_the_mean_over_the_folds(comparison: Comparison) -> None:
    score = GOOD.margin("on_black")
    areas = [
        roc_auc_score(CELLS.is_blast[CELLS.fold == one], score[CELLS.fold == one])
        for one in range(5)
    ]
    found = comparison.measured["good"]["on_black"].cells["auroc_within_folds"]
    assert found.value == pytest.approx(np.mean(areas))


def test_every_figure_lies_in_its_range_and_its_interval_is_one(comparison: Comparison) -> None:
    for by_condition in comparison.measured.values():
        for one in by_condition.values():
            for estimate in [*one.cells.values(), *one.groups.values()]:
                assert 0 <= estimate.low <= estimate.high <= 1
                assert 0 <= estimate.value <= 1


def test_models_drawn_alike_are_not_told_apart_but_both_from_the_area(
    comparison: Comparison,
) -> None:
    assert not comparison.pair("on_black", "good", "alike").told_apart
    pair = comparison.pair("on_black", NAME, "good")
    assert (pair.first, pair.second, pair.told_apart) == ("good", NAME, True)
    assert pair.p_holm >= pair.auroc.p_value


def test_the_leak_stands_beside_the_honest_figure(comparison: Comparison) -> None:
    leak = comparison.leaks[0]
    honest = comparison.measured["good"]["on_black"].cells["auroc"]

    assert (leak.model, leak.condition, leak.by_groups) == ("good", "on_black", honest)
    assert leak.by_images.value > honest.value
    assert "good" in comparison.ranked("on_black")
    assert len(comparison.models) == 3


def test_a_leak_without_its_honest_twin_says_that_there_is_none() -> None:
    alone = compare_models([ALIKE, LEAKING], rounds=50)
    assert alone.leaks[0].by_groups is None


def test_the_figures_are_plain_json_without_nan(comparison: Comparison) -> None:
    text = json.dumps(comparison.as_json(), allow_nan=False)
    assert json.loads(text)["cells"]["groups"] == 39


def test_two_models_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="two files hold predictions of 'good'"):
        compare_models([GOOD, GOOD], rounds=50)


def test_splits_by_image_alone_are_refused() -> None:
    with pytest.raises(DataError, match="give one that held groups out"):
        compare_models([LEAKING], rounds=50)


def test_too_few_rounds_for_so_many_models_are_refused() -> None:
    with pytest.raises(DataError, match="give --rounds 120 or more"):
        compare_models([GOOD, ALIKE, area_baseline(GOOD)], rounds=100)


def test_the_area_baseline_is_fitted_to_the_other_folds_alone() -> None:
    moved = np.where(CELLS.fold == 1, 500 - CELLS.area_um2, CELLS.area_um2)
    one, other = area_baseline(CELLS), area_baseline(replace(CELLS, area_um2=moved))
    offsets = [fit_logistic(CELLS.area_um2[CELLS.fold != 1], CELLS.is_blast[CELLS.fold != 1])]
    offset, slope = offsets[0]

    own = CELLS.fold == 1
    assert one.margin("on_black")[own] == pytest.approx(offset + slope * CELLS.area_um2[own], 1e-4)
    assert other.margin("on_black")[own] == pytest.approx(offset + slope * moved[own], 1e-4)


def test_the_logistic_curve_agrees_with_scikit_learn() -> None:
    theirs = LogisticRegression(C=1e9, tol=1e-8).fit(CELLS.area_um2[:, None], CELLS.is_blast)
    offset, slope = fit_logistic(CELLS.area_um2, CELLS.is_blast)

    assert slope == pytest.approx(float(theirs.coef_[0, 0]), rel=1e-3)
    assert offset == pytest.approx(float(theirs.intercept_[0]), rel=1e-3)


def test_a_fit_that_separates_the_classes_stays_finite() -> None:
    x = np.arange(20.0)
    assert np.isfinite(fit_logistic(x, x > 9)).all()


def test_a_split_by_image_puts_patients_on_both_sides() -> None:
    fold = image_folds(CELLS.is_blast, 5)
    largest = CELLS.group == "B23"

    assert len(np.unique(fold[largest])) == 5
    assert len({(fold[CELLS.is_blast] == one).sum() for one in range(5)}) <= 2
