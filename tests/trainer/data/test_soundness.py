"""Whatever is wrong with a set is told in a line that names it, all at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.trainer.data.drawn_cells import (
    drawn_cell,
    photographed_again,
    write_official,
    write_training,
)
from tests.trainer.data.test_all_idb import write_frame
from tests.trainer.data.test_coco import box, write_coco
from tests.trainer.data.test_fields import write_picture, write_voc, write_yolo
from trainer.data.cell_import import import_cells
from trainer.data.cnmc_official import official_cells
from trainer.data.layouts import find_set
from trainer.data.reading import read_strictly
from trainer.data.soundness import check_set


def lines(root: Path) -> list[str]:
    return [str(finding) for finding in check_set(find_set(root))]


@pytest.fixture
def compact(tmp_path: Path) -> Path:
    write_official(tmp_path / "published")
    cells = read_strictly(official_cells(tmp_path / "published"))
    import_cells(cells, tmp_path / "set", name="set")
    return tmp_path / "set"


def rewrite(root: Path, old: str, new: str) -> None:
    path = root / "manifest.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_an_import_wrote_is_sound(compact: Path) -> None:
    assert lines(compact) == []


def other_split(root: Path) -> None:
    row = next(r for r in (root / "manifest.csv").read_text().splitlines() if "UID_11_1_1" in r)
    head, _, split = row.rpartition(",")
    rewrite(root, row, f"{head},{'val' if split == 'train' else 'train'}")


def add_row(root: Path, file: str, group: str, picture: np.ndarray) -> None:
    cv2.imwrite(str(root / file), picture)
    fraction = float((picture.max(axis=2) > 10).mean())
    with (root / "manifest.csv").open("a") as table:
        table.write(f"{file},ALL,{group},{group},,,,,,,,,,{fraction:.4f},{'ab' * 32},train\n")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda root: (root / "all/UID_11_1_1_all.webp").write_bytes(b"RIFF"),
            "UID_11_1_1_all.webp: is not a readable picture",
        ),
        (
            lambda root: (root / "all/UID_11_1_1_all.webp").unlink(),
            "UID_11_1_1_all.webp: cannot be read",
        ),
        (
            lambda root: shutil.copy(root / "all/UID_11_1_1_all.webp", root / "all/new.webp"),
            "new.webp: has no label in manifest.csv",
        ),
        (
            lambda root: rewrite(root, "UID_11_1_1_all.webp,ALL", "UID_11_1_1_all.webp,"),
            "line 2: cannot be read",
        ),
        (
            lambda root: rewrite(root, "UID_11_1_1_all.webp,ALL", "UID_11_1_1_all.webp,CML"),
            "line 2: cannot be read (KeyError('CML'))",
        ),
        (
            lambda root: rewrite(root, "UID_11_1_1_all.webp,ALL", "UID_11_1_1_all.webp,HEM"),
            "all/UID_11_1_1_all.webp is normal here, which its name denies",
        ),
        (other_split, "group '11' is in two splits"),
        (other_split, "patient '11' is in two splits"),
        (
            lambda root: add_row(root, "all/x.png", "80", photographed_again(drawn_cell(0))),
            "11 and 80 have cells in common, 1 pairs",
        ),
        (
            lambda root: add_row(root, "all/x.png", "80", drawn_cell(0)),
            "likeness 1.00): one patient under two groups",
        ),
        (
            lambda root: cv2.imwrite(
                str(root / "all/UID_11_1_1_all.webp"), drawn_cell(70, radius=60)
            ),
            "of it is cell, the manifest says",
        ),
    ],
)
def test_a_broken_set_of_cells_is_told(
    compact: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(compact)
    assert any(line.startswith("error: ") and says in line for line in lines(compact))


def test_one_digest_in_two_groups_is_told(compact: Path) -> None:
    add_row(compact, "all/a.png", "80", drawn_cell(80))
    add_row(compact, "all/b.png", "81", drawn_cell(81))
    assert any(
        "one and the same cell (abababababab) is in groups 80, 81" in x for x in lines(compact)
    )


def test_all_faults_are_told_at_once(compact: Path) -> None:
    other_split(compact)
    (compact / "all/UID_12_1_1_all.webp").unlink()
    (compact / "hem/UID_H1_1_1_hem.webp").write_bytes(b"")
    assert len(lines(compact)) == 4  # the split of the group and of the patient, two pictures


def test_in_the_official_layout_shared_cells_are_for_the_import_to_join(tmp_path: Path) -> None:
    write_official(tmp_path / "set")
    again = photographed_again(drawn_cell(0))
    write_training(tmp_path / "set", "fold_1", "all", "UID_80_1_1_all", again)
    (line,) = lines(tmp_path / "set")
    assert line.startswith("warning: ")
    assert "11 and 80 have cells in common" in line


def test_the_official_layouts_faults_are_told(tmp_path: Path) -> None:
    write_official(tmp_path / "set")
    write_training(tmp_path / "set", "fold_1", "hem", "UID_80_1_1_all", drawn_cell(90))
    write_training(tmp_path / "set", "fold_1", "hem", "UID_H9_1_1_hem", drawn_cell(0))
    write_training(tmp_path / "set", "fold_1", "hem", "UID_H8_1_1_hem", drawn_cell(91)).write_bytes(
        b"BM"
    )
    told = "\n".join(lines(tmp_path / "set"))
    assert "the name says ALL, the folder HEM" in told
    assert "UID_H8_1_1_hem.bmp: is not a readable picture" in told
    assert "under another label" in told


def test_boxes_that_the_reader_puts_right_are_warnings(tmp_path: Path) -> None:
    write_voc(tmp_path / "set", "a", ("RBC", (9, 9, 9, 9)), ("WBC", (70, 0, 90, 9)))
    assert lines(tmp_path / "set") == [
        "warning: set: a.jpg: (9.0, 9.0, 9.0, 9.0) dropped: no area",
        "warning: set: a.jpg: (70.0, 0.0, 90.0, 9.0) dropped: outside of the picture",
    ]


def test_broken_fields_are_told(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_voc(root, "a", ("Parasite", (0, 0, 9, 9)))
    write_voc(root, "b", ("WBC", (0, 0, 9, 9)))
    (root / "annotations_voc" / "c.xml").write_text("<annotation/>")
    told = "\n".join(lines(root))
    assert "a.xml: unknown kind of cell 'Parasite'" in told
    assert "c.jpg is missing" in told


def test_a_picture_without_annotation_is_told(tmp_path: Path) -> None:
    write_yolo(tmp_path / "set", "a", "")
    write_picture(tmp_path / "set" / "images", "b", height=50)
    (line,) = lines(tmp_path / "set")
    assert "b.jpg: has no annotation" in line


def test_a_truncated_picture_is_told(tmp_path: Path) -> None:
    write_coco(tmp_path / "set", box(1, 9, 1, 1, 9, 9))
    path = tmp_path / "set" / "images" / "a.jpg"
    path.write_bytes(path.read_bytes()[:-40])
    assert any("a.jpg cannot be decoded" in line for line in lines(tmp_path / "set"))


def test_a_picture_in_two_splits_is_told(tmp_path: Path) -> None:
    write_yolo(tmp_path / "set" / "train", "a", "")
    write_yolo(tmp_path / "set" / "val", "b", "")
    (line,) = lines(tmp_path / "set")
    assert line.startswith("error: ")
    assert "in another split" in line


def test_points_outside_and_contradictions_of_all_idb1_are_told(tmp_path: Path) -> None:
    write_frame(tmp_path / "set", "Im001_1", "900 5")
    write_frame(tmp_path / "set", "Im002_0", "5 5")
    told = lines(tmp_path / "set")
    assert "error: " in told[0]
    assert "says healthy" in told[0]
    assert told[1] == "warning: set: Im001_1.jpg: (900.0, 5.0) dropped: outside of the picture"


def test_a_cell_that_is_marked_twice_is_told(tmp_path: Path) -> None:
    one, same, beside = (1, 1, 31, 31), (1, 1, 30, 31), (20, 1, 50, 31)
    write_voc(tmp_path / "set", "a", ("WBC", one), ("RBC", same), ("RBC", beside), ("RBC", beside))
    assert lines(tmp_path / "set") == [
        "error: set: a.jpg: (1.0, 1.0, 31.0, 31.0) marked as wbc and as rbc: remove one box",
        "error: set: a.jpg: (20.0, 1.0, 50.0, 31.0) marked twice: remove one box",
    ]


def test_what_is_wrong_with_the_published_fields(leuko_data: Path) -> None:
    told = [line for name in ("bccd", "txl-pbc") for line in lines(leuko_data / name)]
    errors = [line for line in told if line.startswith("error: ")]
    twice = [line for line in errors if line.endswith("marked twice: remove one box")]
    contradicting = sorted(set(errors) - set(twice))
    assert len(twice) == 24
    assert len(contradicting) == 9
    assert (
        "error: txl-pbc/val: 3abfbc94-8066-509c-a9d0-d9f5b4de716d.jpg: (1.0, 1.0, 54.0, 68.0) "
        "marked as wbc and as rbc: remove one box"
    ) in contradicting
