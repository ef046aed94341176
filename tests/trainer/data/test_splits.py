"""No group crosses a split, whatever the groups; every cell is in one fold; a seed is a seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge_daemon.contract.terms import CellClass
from edge_daemon.errors import DataError
from trainer.data.cnmc import CellRecord
from trainer.data.splits import Folds, GroupSplit, make_folds, suggest_split


def cells(group: str, **of_class: int) -> list[CellRecord]:
    """``cells("7", blast=3)``: three blasts of group 7."""
    return [
        CellRecord(f"{group}/{label}{n}", label, group, group, "train", 0.2, f"{group}{label}{n}")
        for label, count in of_class.items()
        for n in range(count)
    ]


GROUPS = st.dictionaries(
    st.integers(0, 40).map(str),
    st.fixed_dictionaries({"blast": st.integers(0, 9), "normal": st.integers(0, 9)}),
    min_size=1,
    max_size=20,
)


def groups_with(records: list[CellRecord], label: CellClass) -> int:
    return len({record.group for record in records if record.label == label})


@given(groups=GROUPS, folds=st.integers(2, 6), seed=st.integers(0, 2**32), order=st.randoms())
def test_folds_are_whole_complete_and_the_same_again(
    groups: dict[str, dict[str, int]], folds: int, seed: int, order: object
) -> None:
    records = [cell for name, counts in groups.items() for cell in cells(name, **counts)]
    classes = {record.label for record in records}
    assume(all(groups_with(records, label) >= folds for label in classes))
    made = make_folds(records, folds, seed)
    assert len(made.parts) == folds
    placed = Counter(cell for part in made.parts for cell in part)
    assert placed == Counter(records)
    homes = [{cell.group for cell in part} for part in made.parts]
    assert sum(map(len, homes)) == len(set().union(*homes))
    assert all({cell.label for cell in part} == classes for part in made.parts)
    shuffled = records.copy()
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert make_folds(shuffled, folds, seed) == made


@given(groups=GROUPS, seed=st.integers(0, 9))
def test_a_suggested_split_never_crosses(groups: dict[str, dict[str, int]], seed: int) -> None:
    records = [cell for name, counts in groups.items() for cell in cells(name, **counts)]
    split = suggest_split(records, seed)
    assert len(split.train) + len(split.val) == len(records)
    assert not {one.group for one in split.train} & {one.group for one in split.val}


def test_folds_are_alike_in_class_and_size() -> None:
    records = [
        cell
        for number in range(30)
        for cell in cells(f"{number}", **{"blast" if number % 3 else "normal": 20 + number})
    ]
    for part in make_folds(records, 5, 0).parts:
        blasts = sum(cell.label == "blast" for cell in part)
        assert blasts == pytest.approx(sum(c.label == "blast" for c in records) / 5, rel=0.2)
        assert len(part) == pytest.approx(len(records) / 5, rel=0.2)


def test_another_seed_gives_other_folds() -> None:
    records = [cell for number in range(20) for cell in cells(f"{number}", blast=9 + number)]
    assert len({make_folds(records, 4, seed).parts for seed in range(5)}) > 1


def test_each_fold_is_measured_once() -> None:
    records = [cell for n in range(6) for cell in cells(f"{n}", blast=2, normal=1)]
    folds = make_folds(records, 3, 0)
    measured = [cell for number in range(3) for cell in folds.split(number).val]
    assert Counter(measured) == Counter(records)
    split = folds.split(1)
    assert {one.split for one in split.records} == {"train", "val"}


def test_a_class_in_too_few_groups_is_told() -> None:
    records = [*cells("1", blast=5), *cells("2", blast=5, normal=1), *cells("3", blast=2)]
    with pytest.raises(DataError, match="1 groups have normal cells, 3 folds need 3"):
        make_folds(records, 3, 0)


def test_one_fold_is_no_division() -> None:
    with pytest.raises(DataError, match="at least 2"):
        make_folds(cells("1", blast=2), 1, 0)


def test_a_crossing_group_cannot_be_constructed() -> None:
    one, two = cells("7", blast=2)
    with pytest.raises(DataError, match="group '7'"):
        GroupSplit((one,), (two,))
    with pytest.raises(DataError, match="group '7' is in folds 0 and 1"):
        Folds(((one,), (two,)), 0)


def test_a_cell_under_two_groups_cannot_cross_either() -> None:
    one, two = cells("7", blast=2)
    copy = replace(two, group="8", original_sha256=one.original_sha256)
    with pytest.raises(DataError, match="merge the groups"):
        GroupSplit((one,), (copy,))
    with pytest.raises(DataError, match="merge the groups"):
        Folds(((one,), (copy,)), 0)


def test_with_one_group_of_a_class_everything_is_for_training() -> None:
    split = suggest_split([*cells("1", blast=5), *cells("2", normal=5), *cells("3", normal=5)])
    assert not split.val
