"""A committee learns what one layer cannot, and is the average of its members."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from trainer.models.committee import (
    FEATURE_LIMIT,
    Committee,
    CommitteeTraining,
    fit_committee,
    thin_,
)

TRAINING = CommitteeTraining(members=3, hidden=16, steps=400, batch=64, feature_dropout=0.0)


def ring(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points inside and outside of a circle: no line parts them."""
    points = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
    outside = (points.norm(dim=1) > 1.2).long()
    return points, functional.one_hot(outside, 2).float()


def fitted(training: CommitteeTraining = TRAINING, seed: int = 0) -> Committee:
    committee = Committee(2, 2, training.members, training.hidden)
    points, truth = ring(500)
    fit_committee(committee, points, truth, torch.ones(500), training, seed=seed)
    return committee.eval()


@pytest.fixture(scope="module")
def committee() -> Committee:
    return fitted()


def test_it_learns_what_no_linear_layer_can(committee: Committee) -> None:
    points, truth = ring(1000, seed=1)
    right = committee(points).argmax(1) == truth.argmax(1)
    assert right.float().mean() > 0.9


def test_it_is_the_average_of_its_members(committee: Committee) -> None:
    """Each member alone, cut out of the wide layer, and their mean."""
    points, _ = ring(20)
    hidden = committee.hidden(points).relu().view(20, 3, 16)
    answer = 3 * committee.answer.weight.view(2, 3, 16)
    alone = torch.einsum("nmh,cmh->mnc", hidden, answer) + committee.answer.bias
    mean = alone.mean(0) + committee.straight(points)
    torch.testing.assert_close(committee(points), mean, atol=1e-5, rtol=1e-5)


def test_the_same_seed_gives_the_same_committee_whatever_was_drawn_before(
    committee: Committee,
) -> None:
    torch.randn(7)
    again, other = fitted(), fitted(seed=1)
    for name, value in committee.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not torch.equal(committee.hidden.weight, other.hidden.weight)


def test_training_it_leaves_the_random_numbers_of_others_alone() -> None:
    committee, (points, truth) = Committee(2, 2, 1, 2), ring(50)
    training = CommitteeTraining(members=1, hidden=2, steps=2, batch=4)
    before = torch.get_rng_state()
    fit_committee(committee, points, truth, torch.ones(50), training, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_without_weight_teach_nothing() -> None:
    points, truth = ring(300)
    wrong = torch.cat([truth, truth.flip(1)])
    weights = torch.cat([torch.ones(300), torch.zeros(300)])
    both = torch.cat([points, points])
    committee = Committee(2, 2, 3, 16)
    fit_committee(committee, both, wrong, weights, TRAINING, seed=0)
    assert (committee(points).argmax(1) == truth.argmax(1)).float().mean() > 0.9


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_dropout_takes_its_share_and_leaves_the_mean(share: float) -> None:
    torch.manual_seed(1)
    features = torch.ones(3, 1001, 101)  # not a multiple of eight
    thin_(features, share)
    dropped = features == 0
    assert dropped.float().mean() == pytest.approx(share, abs=4e-3)
    assert features.mean() == pytest.approx(1, abs=8e-3)
    assert features[~dropped].unique().numel() == 1
    # whatever stands next to each other in the memory is dropped independently
    both = (dropped[..., 1:] & dropped[..., :-1]).float().mean()
    assert both == pytest.approx(share**2, abs=6e-3)


def test_it_can_be_taught_probabilities() -> None:
    points = torch.randn(200, 2)
    truth = torch.full((200, 2), 0.5)
    truth[:, 0], truth[:, 1] = 0.8, 0.2
    training = CommitteeTraining(2, 4, steps=300, batch=64, rate=0.02, label_smoothing=0.0)
    committee = Committee(2, 2, 2, 4)
    fit_committee(committee, points, truth, torch.ones(200), training, seed=0)
    said = committee(points).softmax(1)[:, 0].mean()
    assert said.item() == pytest.approx(0.8, abs=0.03)


def test_a_feature_far_out_counts_as_one_at_the_limit(committee: Committee) -> None:
    far, limit = torch.tensor([[1e6, 0.0]]), torch.tensor([[FEATURE_LIMIT, 0.0]])
    assert torch.equal(committee(far), committee(limit))


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    points, truth = ring(50)
    training = CommitteeTraining(members=1, hidden=2, steps=5, batch=4)
    committee = Committee(2, 2, 1, 2)
    fit_committee(
        committee,
        points,
        truth,
        torch.ones(50),
        training,
        seed=0,
        tick=lambda step, steps: told.append((step, steps)),
    )
    assert told == [(step, 5) for step in range(1, 6)]
