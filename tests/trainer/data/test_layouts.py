"""A folder's layout is seen by its signs, and where the signs are two, the user is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.errors import DataError
from tests.trainer.data.drawn_cells import drawn_cell, write_official, write_training
from tests.trainer.data.test_all_idb import write_frame
from tests.trainer.data.test_coco import write_coco
from tests.trainer.data.test_fields import write_picture, write_voc, write_yolo
from tests.trainer.small_sets import write_sets
from trainer.data.layouts import field_splits, find_set, find_sets


def test_each_layout_is_known_by_its_signs(tmp_path: Path) -> None:
    write_sets(tmp_path)
    write_coco(tmp_path / "coco")
    write_frame(tmp_path / "idb", "Im001_0", None)
    write_official(tmp_path / "published")
    assert {found.name: found.layout for found in find_sets(tmp_path)} == {
        "bccd": "voc",
        "cnmc2019": "cnmc-compact",
        "coco": "coco",
        "idb": "all-idb1",
        "published": "cnmc",
        "txl-pbc": "yolo",
    }


def test_the_archive_of_c_nmc_is_one_set_however_it_nests(tmp_path: Path) -> None:
    write_official(tmp_path / "deeper")
    assert find_set(tmp_path).layout == "cnmc"
    write_training(tmp_path / "alone", "fold_0", "all", "UID_1_1_1_all", drawn_cell(0))
    assert find_set(tmp_path / "alone" / "C-NMC_training_data").layout == "cnmc"


def test_two_layouts_in_one_folder_need_a_word(tmp_path: Path) -> None:
    write_voc(tmp_path, "a")
    write_yolo(tmp_path, "a", "")
    with pytest.raises(DataError, match="could be voc or yolo: say which with --layout"):
        find_set(tmp_path)
    assert find_set(tmp_path, "yolo").layout == "yolo"


def test_several_sets_are_not_one(tmp_path: Path) -> None:
    write_sets(tmp_path)
    with pytest.raises(DataError, match="several sets"):
        find_set(tmp_path)


def test_a_folder_of_nothing_known_says_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no known layout .*cnmc-compact"):
        find_sets(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        find_sets(tmp_path / "nowhere")


def test_splits_are_folders_of_the_set(tmp_path: Path) -> None:
    write_sets(tmp_path)
    names = [split.name for split in field_splits(find_set(tmp_path / "bccd"))]
    assert names == ["bccd/train", "bccd/val"]


def test_bccd_as_its_repository_has_it_is_one_split(tmp_path: Path) -> None:
    write_voc(tmp_path / "BCCD", "a", ("WBC", (0, 0, 9, 9)))
    (tmp_path / "BCCD" / "annotations_voc").rename(tmp_path / "BCCD" / "Annotations")
    (tmp_path / "BCCD" / "images").rename(tmp_path / "BCCD" / "JPEGImages")
    (split,) = field_splits(find_set(tmp_path / "BCCD"))
    assert split.name == "BCCD"
    assert len(split.frames[0]().marked) == 1


def test_txl_pbc_as_its_repository_has_it_has_its_splits_inside(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_picture(tmp_path / "set" / "images" / split, "a")
        (tmp_path / "set" / "labels" / split).mkdir(parents=True)
        (tmp_path / "set" / "labels" / split / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    splits = field_splits(find_set(tmp_path / "set"))
    assert [split.name for split in splits] == ["set/train", "set/val"]
    assert all(len(split.frames[0]().marked) == 1 for split in splits)


def test_coco_has_a_split_for_each_file(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_coco(tmp_path / "set" / split).rename(
            tmp_path / "set" / split / "_annotations.coco.json"
        )
    names = [split.name for split in field_splits(find_set(tmp_path / "set"))]
    assert names == ["set/train", "set/valid"]
