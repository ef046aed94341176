"""What is like the training cells is near, what is not is far, in whichever direction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.models.novelty import AXES, Novelty

WIDTH = 80


@pytest.fixture(scope="module")
def cells() -> torch.Tensor:
    """Features that differ much along some directions and little along the others."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(40, WIDTH)) * np.geomspace(3, 0.05, 40)[:, None]
    features = rng.normal(size=(4000, 40)) @ directions + rng.normal(size=WIDTH)
    return torch.from_numpy((features + 0.05 * rng.normal(size=features.shape)).astype(np.float32))


@pytest.fixture(scope="module")
def settled(cells: torch.Tensor) -> Novelty:
    novelty = Novelty(WIDTH)
    novelty.settle(cells, torch.ones(len(cells)))
    return novelty


def test_a_training_cell_is_at_about_one(settled, cells):
    distances = settled(cells)
    assert distances.square().mean() == pytest.approx(1.0, abs=0.01)


def test_it_is_the_mahalanobis_distance_and_the_distance_off_the_axes(settled, cells):
    away = (cells - cells.mean(0)).double().numpy()
    variance, axes = np.linalg.eigh(away.T @ away / len(away))
    p = away @ axes
    on = (p[:, -AXES:] ** 2 / variance[-AXES:]).mean(1)
    off = (p[:, :-AXES] ** 2).sum(1) / variance[:-AXES].sum()
    np.testing.assert_allclose(settled(cells), np.sqrt((on + off) / 2), rtol=2e-3)


def test_a_step_in_a_direction_in_which_no_cell_differs_is_far(settled, cells):
    least = torch.linalg.eigh((cells - cells.mean(0)).T @ (cells - cells.mean(0)))[1][:, 0]
    near = settled(cells).quantile(0.99)
    step = (cells[1] - cells[0]).norm()  # no further than one cell is from the next
    assert (settled(cells[:50] + step * least) > 2 * near).all()


def test_patients_of_more_weight_decide_where_the_middle_is(cells):
    novelty = Novelty(WIDTH)
    weights = torch.where(cells[:, 0] > cells[:, 0].median(), 1.0, 1e-6)
    novelty.settle(cells, weights)
    assert novelty(cells)[weights == 1].mean() < novelty(cells)[weights < 1].mean()


def test_before_it_is_settled_nothing_is_far(cells):
    assert (Novelty(WIDTH)(cells) == 0).all()


def test_few_features_and_features_that_never_differ_do_no_harm():
    novelty = Novelty(5)
    novelty.settle(torch.zeros(10, 5), torch.ones(10))
    assert torch.isfinite(novelty(torch.ones(1, 5))).all()
