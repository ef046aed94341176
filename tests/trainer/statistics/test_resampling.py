"""The bootstrap draws whole patients, and the same ones for every model."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.statistics.ranking import Ranking, auroc
from trainer.statistics.resampling import Resampling, group_bootstrap, percentile_interval


def test_the_interval_over_groups_is_wider_than_over_cells() -> None:
    rng = np.random.default_rng(0)
    names = [f"{group}" for group in range(12) for _ in range(100)]
    truth = np.repeat(np.arange(12) < 6, 100)
    score = truth + np.repeat(rng.normal(0, 1, 12), 100) + rng.normal(0, 1, 1200)

    def width(groups: list[str]) -> float:
        low, high = group_bootstrap(groups, truth, lambda i: auroc(truth[i], score[i]), rounds=200)
        return high - low

    assert width(names) > 2 * width([str(index) for index in range(1200)])


def test_every_round_draws_as_many_groups_of_each_class_as_there_are() -> None:
    groups = np.array(["a", "b", "b", "x", "y", "z", "z"])
    truth = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    resampling = Resampling.of(groups, truth, rounds=50)

    assert resampling.units == 5
    assert (resampling.draws[:, :2].sum(axis=1) == 2).all()
    assert (resampling.draws[:, 2:].sum(axis=1) == 3).all()
    for weights in resampling.weights():
        assert weights[1] == weights[2]
        assert weights[5] == weights[6]


def test_a_merged_group_with_both_classes_is_drawn_as_two() -> None:
    groups, truth = np.array(["m", "m", "n"]), np.array([True, False, False])
    resampling = Resampling.of(groups, truth, rounds=5)

    assert resampling.units == 3
    assert resampling.mean_by_unit(truth).tolist() == [1, 0, 0]


def test_weights_and_drawn_cells_give_one_interval() -> None:
    rng = np.random.default_rng(1)
    groups = [f"{n // 5}" for n in range(100)]
    truth = np.arange(100) < 60
    score = truth + rng.normal(0, 1, 100)
    ranking = Ranking.of(truth, score)
    resampling = Resampling.of(groups, truth, rounds=100)
    weighted = [ranking.counts(weights).auroc() for weights in resampling.weights()]

    drawn = group_bootstrap(groups, truth, lambda i: auroc(truth[i], score[i]), rounds=100)
    assert percentile_interval(weighted) == pytest.approx(drawn)
