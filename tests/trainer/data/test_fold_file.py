"""Folds on disk come back as they were, for the cells they were made for and no others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon.errors import DataError
from tests.trainer.data.test_splits import cells
from trainer.data.fold_file import read_folds, write_folds
from trainer.data.splits import make_folds

RECORDS = [cell for number in range(6) for cell in cells(f"{number}", blast=2, normal=1)]


def test_folds_come_back(tmp_path: Path) -> None:
    folds = make_folds(RECORDS, 3, 4)
    write_folds(folds, tmp_path / "deep" / "folds.json")
    read = read_folds(tmp_path / "deep" / "folds.json", RECORDS)
    assert [set(part) for part in read.parts] == [set(part) for part in folds.parts]
    assert read.seed == 4


def test_other_cells_or_groups_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "folds.json"
    write_folds(make_folds(RECORDS, 3, 0), path)
    with pytest.raises(DataError, match="was made for other cells or groups"):
        read_folds(path, RECORDS[1:])
    with pytest.raises(DataError, match="was made for other cells or groups"):
        read_folds(path, [replace(RECORDS[0], group="1"), *RECORDS[1:]])


def test_a_group_that_someone_wrote_into_two_folds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "folds.json"
    write_folds(make_folds(RECORDS, 3, 0), path)
    document = json.loads(path.read_text())
    document["folds"][0]["groups"] += document["folds"][1]["groups"]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="is in folds 0 and 1"):
        read_folds(path, RECORDS)


@pytest.mark.parametrize(("text", "says"), [("{", "the file"), ('{"seed": 0}', "cells")])
def test_a_broken_file_names_its_field(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "folds.json").write_text(text)
    with pytest.raises(DataError, match=rf"folds\.json: {says}"):
        read_folds(tmp_path / "folds.json", RECORDS)
