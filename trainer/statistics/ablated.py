"""What is lost when a network's committee has fewer features to judge by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainer.predictions import Predictions
from trainer.statistics.measures import Estimate
from trainer.statistics.paired import Difference, bootstrap_difference
from trainer.statistics.ranking import Ranking
from trainer.statistics.resampling import Resampling, percentile_interval


@dataclass(frozen=True)
class Choice:
    """One model with some of its features, under one condition."""

    model: str
    condition: str
    choice: str
    auroc: Estimate
    change: Difference | None
    """Of the AUROC, against all features; ``None`` for all themselves."""
    effort: Mapping[str, str | float] = field(default_factory=dict)
    """What was spent on it, where that is less than on the model itself."""


def measure_choices(
    model: str, choices: Sequence[Predictions], resampling: Resampling
) -> list[Choice]:
    """Each of ``choices`` against the first, which is ``model`` with all of its features.

    All hold the cells of ``resampling``, in its order.
    """
    return [
        choice
        for condition in choices[0].conditions
        for choice in _under(model, condition, choices, resampling)
    ]


def _under(
    model: str, condition: str, choices: Sequence[Predictions], resampling: Resampling
) -> Iterator[Choice]:
    whole, whole_rounds = _ranked(choices[0], condition, resampling)
    yield Choice(model, condition, choices[0].model, whole, None, choices[0].description)
    for one in choices[1:]:
        auroc, rounds = _ranked(one, condition, resampling)
        change = bootstrap_difference(auroc.value - whole.value, rounds, whole_rounds)
        yield Choice(model, condition, one.model, auroc, change, one.description)


def _ranked(
    one: Predictions, condition: str, resampling: Resampling
) -> tuple[Estimate, NDArray[np.float64]]:
    ranking = Ranking.of(one.is_blast, one.margin(condition))
    rounds = np.array([ranking.counts(weights).auroc() for weights in resampling.weights()])
    return Estimate(ranking.counts().auroc(), *percentile_interval(rounds)), rounds
