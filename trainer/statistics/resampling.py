"""How far a figure would move with other patients: the bootstrap over patient groups.

Groups are drawn with replacement, blast groups and normal groups apart, so that every round holds
both classes. A merged group with cells of both classes is drawn as two. With few groups the
interval is wide, and should be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.statistics.arrays import Bools, Floats

COVERAGE = 0.95


@dataclass(frozen=True, eq=False)
class Resampling:
    """How often each patient group is drawn in each round: the same draws for every model.

    Two models measured on the same draws differ only by what they said of the same patients.
    """

    unit_of_cell: NDArray[np.intp]
    """Patient group of each cell, ``[N]``; blast groups first, each class in order of the names."""
    draws: NDArray[np.int64]
    """``[rounds, units]``."""

    @classmethod
    def of(
        cls,
        groups: Sequence[str] | NDArray[np.str_],
        is_blast: Bools,
        *,
        rounds: int,
        seed: int = 0,
    ) -> Resampling:
        """Draw ``rounds`` times from the groups of cells ``[N]``."""
        rng = np.random.default_rng(seed)
        names = np.asarray(groups)
        unit_of_cell = np.empty(len(names), np.intp)
        sizes: list[int] = []
        for chosen in (is_blast, ~is_blast):
            found, index = np.unique(names[chosen], return_inverse=True)
            unit_of_cell[chosen] = index + sum(sizes)
            sizes.append(len(found))
        draws = [
            np.concatenate([np.bincount(rng.integers(n, size=n), minlength=n) for n in sizes if n])
            for _ in range(rounds)
        ]
        return cls(unit_of_cell, np.array(draws).reshape(rounds, sum(sizes)))

    @property
    def units(self) -> int:
        """Number of patient groups."""
        return self.draws.shape[1]

    def weights(self) -> Iterator[Floats]:
        """For each round how often each cell counts, ``[N]``."""
        for drawn in self.draws.astype(np.float64):
            yield drawn[self.unit_of_cell]

    def mean_by_unit(self, values: NDArray[np.number] | Bools) -> Floats:
        """Mean of ``values`` ``[N]`` over the cells of each patient group, ``[units]``."""
        cells = np.bincount(self.unit_of_cell, minlength=self.units)
        return np.bincount(self.unit_of_cell, values, minlength=self.units) / cells


def percentile_interval(
    values: Sequence[float] | NDArray[np.floating], coverage: float = COVERAGE
) -> tuple[float, float]:
    """The middle ``coverage`` of ``values``; rounds in which the figure is ``nan`` are left out."""
    tail = (1 - coverage) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def group_bootstrap(
    groups: Sequence[str],
    is_blast: Bools,
    statistic: Callable[[NDArray[np.intp]], float],
    *,
    rounds: int = 1000,
    seed: int = 0,
    coverage: float = COVERAGE,
) -> tuple[float, float]:
    """Percentile interval of ``statistic(indices)`` over resampled patient groups."""
    resampling = Resampling.of(groups, is_blast, rounds=rounds, seed=seed)
    cells = np.arange(len(is_blast))
    values = [statistic(np.repeat(cells, w.astype(np.intp))) for w in resampling.weights()]
    return percentile_interval(values, coverage)
