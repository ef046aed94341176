"""Several models on the same cells: each one's figures, and which differences are more than noise.

A model counts as ahead when the paired bootstrap over patient groups says so at 5 %, after Holm's
correction for all pairs under the same condition. Predictions of a split by image take no part in
that: they stand beside the honest figure of the same model, to show what they would have claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from edge_daemon.errors import DataError
from trainer.predictions import Predictions
from trainer.statistics.measures import THRESHOLD, Estimate, Measured, measure
from trainer.statistics.paired import (
    DeLong,
    Difference,
    McNemar,
    bootstrap_difference,
    delong,
    holm,
    mcnemar,
)
from trainer.statistics.ranking import Ranking
from trainer.statistics.resampling import Resampling, percentile_interval

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Paired:
    """Two models under one condition; ``first`` has the higher AUROC."""

    condition: str
    first: str
    second: str
    auroc: Difference
    p_holm: float
    """Of the AUROC difference, corrected for all pairs under this condition."""
    balanced_accuracy: Difference
    delong: DeLong
    mcnemar: McNemar

    @property
    def told_apart(self) -> bool:
        """Whether the difference is more than other patients could have made of it."""
        return self.p_holm < SIGNIFICANCE


@dataclass(frozen=True)
class Leak:
    """AUROC of one model when patients were held apart, and when only pictures were."""

    model: str
    condition: str
    by_groups: Estimate | None
    """None where the comparison has no honest predictions of this model and condition."""
    by_images: Estimate


@dataclass(frozen=True, eq=False)
class Comparison:
    """All figures of a comparison."""

    models: tuple[Predictions, ...]
    """With whole groups held out, the same cells in the same order."""
    leaking: tuple[Predictions, ...]
    resampling: Resampling
    measured: dict[str, dict[str, Measured]]
    """Model -> condition -> figures."""
    paired: tuple[Paired, ...]
    leaks: tuple[Leak, ...]

    @property
    def conditions(self) -> tuple[str, ...]:
        """Every condition that a model has seen, in order of first mention."""
        return tuple(dict.fromkeys(name for model in self.models for name in model.conditions))

    def ranked(self, condition: str) -> list[str]:
        """Names of the models under ``condition``, the highest AUROC first."""
        under = [name for name, by_condition in self.measured.items() if condition in by_condition]
        return sorted(under, key=lambda name: -self.measured[name][condition].cells["auroc"].value)

    def pair(self, condition: str, one: str, other: str) -> Paired:
        """The comparison of two models under ``condition``, whichever is ahead."""
        wanted = {one, other}
        return next(
            pair
            for pair in self.paired
            if pair.condition == condition and {pair.first, pair.second} == wanted
        )

    def as_json(self) -> dict[str, Any]:
        """Plain types, the numbers unrounded; what does not exist is None."""
        cells = self.models[0]
        models = {
            model.model: {
                "description": dict(model.description),
                "digest": model.digest(),
                "conditions": {
                    name: {
                        "cells": {key: asdict(value) for key, value in one.cells.items()},
                        "groups": {key: asdict(value) for key, value in one.groups.items()},
                        "confusion": asdict(one.confusion),
                        "temperatures": {str(key): t for key, t in one.temperatures.items()},
                    }
                    for name, one in self.measured[model.model].items()
                },
            }
            for model in self.models
        }
        value = {
            "schema": "leukoedge-comparison/1",
            "cells": {
                "cells": len(cells),
                "blasts": int(cells.is_blast.sum()),
                "normals": int((~cells.is_blast).sum()),
                "subjects": len(np.unique(cells.subject)),
                "groups": len(np.unique(cells.group)),
                "blast_groups": len(np.unique(cells.group[cells.is_blast])),
                "normal_groups": len(np.unique(cells.group[~cells.is_blast])),
                "largest_group": int(np.unique(cells.group, return_counts=True)[1].max()),
                "folds": len(np.unique(cells.fold)),
                "digest": cells.digest_of_cells(),
            },
            "protocol": {"rounds": len(self.resampling.draws), "threshold": THRESHOLD},
            "conditions": list(self.conditions),
            "models": models,
            "paired": [asdict(pair) | {"told_apart": pair.told_apart} for pair in self.paired],
            "leaks": [asdict(leak) for leak in self.leaks],
        }
        return _without_nan(value)


def compare_models(
    predictions: Sequence[Predictions], *, rounds: int = 2000, seed: int = 0
) -> Comparison:
    """Measure every model and every pair; all must hold the same cells in the same order.

    Raises :class:`DataError` when two models have one name, none held groups out, or ``rounds``
    are so few that no difference between so many models could show.
    """
    honest = tuple(one for one in predictions if one.split == "groups")
    leaking = tuple(one for one in predictions if one.split == "images")
    _refuse_same_names(honest)
    _refuse_same_names(leaking)
    if not honest:
        raise DataError("every file holds a split by images: give one that held groups out")
    pairs = len(honest) * (len(honest) - 1) // 2
    needed = int(np.ceil(2 * pairs / SIGNIFICANCE))
    if rounds < needed:
        raise DataError(
            f"{rounds} rounds cannot tell {len(honest)} models apart ({pairs} pairs): "
            f"give --rounds {needed} or more"
        )
    resampling = Resampling.of(honest[0].group, honest[0].is_blast, rounds=rounds, seed=seed)
    measured = {
        one.model: {name: measure(one, name, resampling) for name in one.conditions}
        for one in honest
    }
    conditions = dict.fromkeys(name for one in honest for name in one.conditions)
    return Comparison(
        models=honest,
        leaking=leaking,
        resampling=resampling,
        measured=measured,
        paired=tuple(pair for name in conditions for pair in _pairs(measured, name)),
        leaks=tuple(
            _leak(one, name, measured, resampling) for one in leaking for name in one.conditions
        ),
    )


def _pairs(measured: dict[str, dict[str, Measured]], condition: str) -> list[Paired]:
    under = {name: one[condition] for name, one in measured.items() if condition in one}
    names = sorted(under, key=lambda name: -under[name].cells["auroc"].value)
    couples = list(combinations(names, 2))
    differences = [_difference(under[a], under[b], "auroc") for a, b in couples]
    corrected = holm([difference.p_value for difference in differences])
    found = []
    for (a, b), difference, p_holm in zip(couples, differences, corrected, strict=True):
        first, second = under[a].scored, under[b].scored
        truth = first.is_blast
        right = [(one.p_after >= THRESHOLD) == truth for one in (first, second)]
        found.append(
            Paired(
                condition=condition,
                first=a,
                second=b,
                auroc=difference,
                p_holm=p_holm,
                balanced_accuracy=_difference(under[a], under[b], "balanced_accuracy"),
                delong=delong(truth, first.score, second.score),
                mcnemar=mcnemar(*right),
            )
        )
    return found


def _difference(first: Measured, second: Measured, name: str) -> Difference:
    observed = first.cells[name].value - second.cells[name].value
    return bootstrap_difference(observed, first.rounds[name], second.rounds[name])


def _leak(
    one: Predictions,
    condition: str,
    measured: dict[str, dict[str, Measured]],
    resampling: Resampling,
) -> Leak:
    honest = measured.get(one.model, {}).get(condition)
    ranking = Ranking.of(one.is_blast, one.margin(condition))
    rounds = [ranking.counts(weights).auroc() for weights in resampling.weights()]
    return Leak(
        model=one.model,
        condition=condition,
        by_groups=honest.cells["auroc"] if honest else None,
        by_images=Estimate(ranking.counts().auroc(), *percentile_interval(rounds)),
    )


def _refuse_same_names(predictions: Sequence[Predictions]) -> None:
    names = [one.model for one in predictions]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"two files hold predictions of {name!r}: give each model its own name")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
