"""Splits and folds in which a patient group cannot be on two sides.

Every figure of a classifier is worth as much as its split: C-NMC split by picture instead of by
patient inflates the AUROC by 0.03 to 0.10. A split here is a value that checks itself when it is
made, so that no code that holds one need ask again.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from edge_daemon.contract.terms import CLASSES, CellClass
from edge_daemon.errors import DataError
from trainer.data.cnmc import CellRecord, Split, refuse_crossing_groups

SUGGESTED_FOLDS = 5
"""One fold of five for validation, where the groups allow it."""
_JITTER = 0.2
"""By which share groups are taken out of the order of their size, so that seeds give other folds;
each then differs a little more in size."""


@dataclass(frozen=True)
class GroupSplit:
    """Cells to train on and cells to measure on; no group and no cell in both."""

    train: tuple[CellRecord, ...]
    val: tuple[CellRecord, ...]

    def __post_init__(self) -> None:
        """Raise :class:`DataError` naming a group, or a cell, that is on both sides."""
        refuse_crossing_groups(self.records)

    @property
    def records(self) -> tuple[CellRecord, ...]:
        """All cells, marked with the side they are on."""
        sides: tuple[tuple[Split, tuple[CellRecord, ...]], ...] = (
            ("train", self.train),
            ("val", self.val),
        )
        return tuple(replace(one, split=side) for side, cells in sides for one in cells)


@dataclass(frozen=True)
class Folds:
    """Cells in disjoint parts of whole groups, each part measured once by a cross-validation."""

    parts: tuple[tuple[CellRecord, ...], ...]
    seed: int

    def __post_init__(self) -> None:
        """Raise :class:`DataError` naming a group, or a cell, that is in two folds."""
        fold_of_group: dict[str, int] = {}
        fold_of_cell: dict[str, int] = {}
        for fold, part in enumerate(self.parts):
            for cell in part:
                other = fold_of_group.setdefault(cell.group, fold)
                if other != fold:
                    raise DataError(
                        f"group {cell.group!r} is in folds {other} and {fold}: "
                        "patients must not cross folds; assign whole groups"
                    )
                if fold_of_cell.setdefault(cell.original_sha256, fold) != fold:
                    raise DataError(
                        f"the cell {cell.file} is in two folds under two groups: merge the groups"
                    )

    def split(self, fold: int) -> GroupSplit:
        """Fold number ``fold`` to measure on, all the others to train on."""
        others = (part for number, part in enumerate(self.parts) if number != fold)
        return GroupSplit(tuple(cell for part in others for cell in part), self.parts[fold])


def make_folds(records: Iterable[CellRecord], folds: int, seed: int) -> Folds:
    """Divide ``records`` into ``folds`` parts of whole groups, alike in class and number of cells.

    The same records, in any order, ``folds`` and ``seed`` give the same folds on every machine.
    Groups with both classes come first, then from the large to the small, each to the part that
    has least of its classes: so every part gets every class as soon as that many groups have it.
    Raises :class:`DataError` when a class is in fewer groups than ``folds``, or there are fewer
    than two folds.
    """
    if folds < 2:
        raise DataError(f"{folds} folds: at least 2 are needed, one of them to measure on")
    records = sorted(records, key=lambda one: (one.group, one.original_sha256, one.file))
    cells: dict[str, list[CellRecord]] = defaultdict(list)
    for record in records:
        cells[record.group].append(record)
    groups_of = _groups_per_class(records)
    for label, count in groups_of.items():
        if count < folds:
            raise DataError(
                f"{count} groups have {label} cells, {folds} folds need {folds}: ask for fewer "
                "folds or add patients"
            )
    of_class = Counter(record.label for record in records)
    has: list[Counter[CellClass]] = [Counter() for _ in range(folds)]
    parts: list[list[CellRecord]] = [[] for _ in range(folds)]
    for group in _in_order_of_placing(cells, random.Random(seed)):
        inside = Counter(record.label for record in cells[group])
        place = min(range(folds), key=lambda at: _burden(has[at], inside, of_class, len(parts[at])))
        has[place].update(inside)
        parts[place] += cells[group]
    return Folds(tuple(tuple(part) for part in parts), seed)


def suggest_split(records: Sequence[CellRecord], seed: int = 0) -> GroupSplit:
    """A fifth of the cells to measure on, or a larger part where a class has fewer than 5 groups.

    Of the folds, it is the one nearest to its share of each class.
    With a class in a single group nothing can be measured: then all cells are to train on.
    """
    folds = min([SUGGESTED_FOLDS, *_groups_per_class(records).values()])
    if folds < 2:
        return GroupSplit(tuple(records), ())
    made = make_folds(records, folds, seed)
    of_class = Counter(record.label for record in records)

    def off(fold: int) -> float:
        """How far the fold is from its share of each class; groups are large and uneven."""
        inside = Counter(record.label for record in made.parts[fold])
        return sum(abs(inside[label] / of_class[label] - 1 / folds) for label in of_class)

    return made.split(min(range(folds), key=off))


def _groups_per_class(records: Iterable[CellRecord]) -> dict[CellClass, int]:
    """In how many groups each class of the records is."""
    pairs = {(record.label, record.group) for record in records}
    counts = Counter(label for label, _ in pairs)
    return {label: counts[label] for label in CLASSES if counts[label]}


def _in_order_of_placing(
    cells: Mapping[str, Sequence[CellRecord]], rng: random.Random
) -> list[str]:
    size = {group: len(cells[group]) * rng.uniform(1 - _JITTER, 1 + _JITTER) for group in cells}
    classes = {group: len({one.label for one in cells[group]}) for group in cells}
    return sorted(cells, key=lambda group: (-classes[group], -size[group]))


def _burden(
    has: Counter[CellClass], adds: Counter[CellClass], of_class: Counter[CellClass], cells: int
) -> tuple[float, int]:
    """How much of the classes of ``adds`` a part already has, then how many cells of any class."""
    return sum(has[label] / of_class[label] for label in adds), cells
