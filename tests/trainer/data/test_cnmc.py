"""C-NMC is read whole, by patient group, and a group that crosses splits is refused."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.errors import DataError
from trainer.data.cnmc import (
    CellRecord,
    digest_of,
    of_split,
    read_manifest,
    read_picture,
    refuse_crossing_groups,
)

ROW = {
    "file": "all/one.webp",
    "label": "ALL",
    "subject": "20",
    "group": "20+21",
    "split": "val",
    "fg_frac": "0.2",
    "bmp_sha256": "ab" * 32,
}


def write_manifest(root: Path, *rows: dict[str, str]) -> None:
    with (root / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def record(**changes: str) -> CellRecord:
    return replace(CellRecord("a", "blast", "1", "1", "train", 0.2, "d1"), **changes)


def test_a_row_becomes_a_typed_record(tmp_path: Path) -> None:
    write_manifest(tmp_path, ROW)
    (cell,) = read_manifest(tmp_path)
    assert (cell.label, cell.subject, cell.group, cell.split) == ("blast", "20", "20+21", "val")
    assert cell.area_um2 == pytest.approx(0.2 * 19.8**2)


def test_a_group_in_two_splits_is_refused() -> None:
    with pytest.raises(DataError, match="group '1' is in two splits"):
        refuse_crossing_groups([record(), record(split="val", original_sha256="d2")])


def test_one_cell_under_two_groups_in_two_splits_is_refused() -> None:
    with pytest.raises(DataError, match="merge the groups"):
        refuse_crossing_groups([record(), record(split="val", group="2")])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"label": "CML"}, "line 2: cannot be read"),
        ({"fg_frac": "much"}, "line 2: cannot be read"),
        ({"split": "test"}, "split 'test'"),
    ],
)
def test_a_row_that_cannot_be_read_names_its_line(
    tmp_path: Path, changes: dict[str, str], says: str
) -> None:
    write_manifest(tmp_path, ROW | changes)
    with pytest.raises(DataError, match=says):
        read_manifest(tmp_path)


def test_a_missing_manifest_says_where_to_point(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data"):
        read_manifest(tmp_path)


def test_a_manifest_without_groups_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, {name: value for name, value in ROW.items() if name != "group"})
    with pytest.raises(DataError, match="'group' is missing"):
        read_manifest(tmp_path)


def test_a_manifest_that_is_no_text_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, ROW)
    table = tmp_path / "manifest.csv"
    table.write_bytes(table.read_bytes().replace(b"20+21", b"\xff\xfe"))
    with pytest.raises(DataError, match="is not a table of text"):
        read_manifest(tmp_path)


def test_pictures_come_as_rgb(tmp_path: Path) -> None:
    red = np.zeros((9, 9, 3), np.uint8)
    red[..., 2] = 200  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "red.png"), red)
    assert (read_picture(tmp_path, record(file="red.png"))[0, 0] == (200, 0, 0)).all()
    with pytest.raises(DataError, match=r"none\.png"):
        read_picture(tmp_path, record(file="none.png"))


def test_the_digest_names_the_selection_whatever_its_order() -> None:
    one, two = record(), record(original_sha256="d2")
    assert digest_of([one, two]) == digest_of([two, one])
    assert digest_of([one, two]) != digest_of([one])
    assert digest_of([one]) != digest_of([record(label="normal")])


def test_the_shared_set_is_sound(leuko_data: Path) -> None:
    records = read_manifest(leuko_data / "cnmc2019")
    train, val = of_split(records, "train"), of_split(records, "val")
    assert len(train) + len(val) == len(records)
    assert {r.label for r in val} == {"blast", "normal"}
    assert not {r.group for r in train} & {r.group for r in val}
    assert not {r.original_sha256 for r in train} & {r.original_sha256 for r in val}
