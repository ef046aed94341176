"""Patients are drawn alike, and size gives the class away no more than it must."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.sampling import area_balanced, group_balanced
from trainer.statistics.ranking import auroc


def share(weights: np.ndarray, groups: list[str], name: str) -> float:
    return float(weights[np.array(groups) == name].sum())


def test_large_groups_are_drawn_equally_often() -> None:
    groups = ["a"] * 1000 + ["b"] * 100 + ["n"] * 50
    labels = np.array([1] * 1100 + [0] * 50)
    weights = group_balanced(labels, groups, cap=80)
    assert share(weights, groups, "a") == pytest.approx(share(weights, groups, "b"))


def test_a_tiny_group_is_drawn_in_proportion() -> None:
    groups = ["a"] * 80 + ["tiny"] * 2 + ["n"] * 50
    labels = np.array([1] * 82 + [0] * 50)
    weights = group_balanced(labels, groups, cap=80)
    assert share(weights, groups, "tiny") == pytest.approx(share(weights, groups, "a") / 40)


@given(blasts=st.integers(1, 300), normals=st.integers(1, 300), strength=st.floats(0, 1))
def test_classes_are_drawn_equally_often(blasts: int, normals: int, strength: float) -> None:
    labels = np.array([1] * blasts + [0] * normals)
    groups = [f"{label}-{index % 3}" for index, label in enumerate(labels)]
    area = np.random.default_rng(0).uniform(30, 90, len(labels)) + 20 * labels
    weights = group_balanced(labels, groups, cap=50)
    weights = area_balanced(weights, labels, area, strength=strength)
    assert weights.sum() == pytest.approx(1)
    assert weights[labels == 1].sum() == pytest.approx(0.5)


def test_area_balance_makes_the_areas_of_the_classes_alike() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 3000)
    area = rng.normal(50, 10, 6000) + 12 * labels
    weights = np.full(6000, 1 / 6000)

    def give_away(strength: float) -> float:
        drawn = area_balanced(weights, labels, area, strength=strength)
        index = rng.choice(6000, 6000, p=drawn)
        return auroc(labels[index] == 1, area[index])

    assert give_away(0.0) == pytest.approx(0.80, abs=0.03)
    assert give_away(1.0) < 0.65
