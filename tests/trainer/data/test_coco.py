"""COCO's categories are told by name, its boxes by corner and size, its mistakes by their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_daemon.contract.terms import KINDS
from edge_daemon.errors import DataError
from tests.trainer.data.test_fields import write_picture
from trainer.data.fields import read_coco

CATEGORIES = [
    {"id": 0, "name": "cells"},
    {"id": 4, "name": "Platelets"},
    {"id": 7, "name": "White Blood Cell"},
    {"id": 9, "name": "RBC"},
]


def box(number: int, category: int, *bbox: float, image: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "bbox": list(bbox), **more}


def write_coco(folder: Path, *annotations: dict[str, Any], **changes: Any) -> Path:
    write_picture(folder / "images", "a")
    write_picture(folder / "images", "b")
    document = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48},
            {"id": 2, "file_name": "b.jpg", "width": 64, "height": 48},
        ],
        "annotations": list(annotations),
        "categories": CATEGORIES,
    } | changes
    path = folder / "annotations.json"
    path.write_text(json.dumps(document))
    return path


def test_boxes_and_kinds_whatever_their_numbers_and_capitals(tmp_path: Path) -> None:
    path = write_coco(
        tmp_path, box(1, 7, 1, 2, 30, 40), box(2, 9, 5, 5, 4, 4), box(3, 4, 0, 0, 2, 2)
    )
    marked, empty = read_coco(path, "set").records
    np.testing.assert_array_equal(marked.boxes, [[1, 2, 31, 42], [5, 5, 9, 9], [0, 0, 2, 2]])
    assert [KINDS[kind] for kind in marked.kinds] == ["wbc", "rbc", "platelet"]
    assert empty.boxes.shape == (0, 4)


def test_boxes_without_area_outside_or_around_a_crowd_are_dropped_and_reported(
    tmp_path: Path,
) -> None:
    path = write_coco(
        tmp_path, box(1, 9, 5, 5, 0, 9), box(2, 9, 90, 5, 9, 9), box(3, 9, 5, 5, 9, 9, iscrowd=1)
    )
    field_set = read_coco(path, "set")
    assert field_set.boxes_per_kind["rbc"] == 0
    for why in ("no area", "outside of the picture", "marks a crowd"):
        assert why in field_set.describe()


@pytest.mark.parametrize("where", ["beside", "split"])
def test_pictures_are_found_where_exports_put_them(tmp_path: Path, where: str) -> None:
    path = write_coco(tmp_path, box(1, 9, 5, 5, 9, 9))
    pictures = tmp_path / "images"
    if where == "beside":
        target = tmp_path / "train" / "_annotations.coco.json"
        pictures = pictures.rename(tmp_path / "train")
    else:
        target = tmp_path / "annotations" / "instances_train.json"
        target.parent.mkdir()
        pictures.rename(tmp_path / "train")
        (tmp_path / "images").mkdir()
        (tmp_path / "train").rename(tmp_path / "images" / "train")
    path.rename(target)
    assert len(read_coco(target, "set").records) == 2


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (box(3, 0, 1, 1, 5, 5), "annotation 3 of a.jpg: unknown kind of cell 'cells'"),
        (box(3, 5, 1, 1, 5, 5), "unknown kind of cell 5"),
        (box(3, 9, 1, 1, 5), "bbox .* is not x, y, width, height"),
        (box(3, 9, 1, 1, 5, float("nan")), "bbox .* is not x, y, width, height"),
        ({"id": 3, "image_id": 1, "category_id": 9}, "bbox None is not"),
        (box(3, 9, 1, 1, 5, 5, image=8), "1 boxes are of picture 8, not in 'images'"),
    ],
)
def test_a_wrong_annotation_is_named(tmp_path: Path, annotation: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_coco(write_coco(tmp_path, annotation), "set")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": []}, "lists no picture"),
        ({"images": [{"id": 1}]}, "without 'id' or 'file_name'"),
        ({"images": [{"id": 1, "file_name": "c.jpg"}]}, r"c\.jpg is missing"),
        ({"images": [{"id": 1, "file_name": "a.jpg", "width": 9}]}, "the picture is 64x48"),
        ({"categories": None}, "'categories' is missing or no list"),
        ({"annotations": [3]}, "'annotations' is missing or no list of objects"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read_coco(write_coco(tmp_path, **changes), "set")


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a\.json: cannot be read as JSON"):
        read_coco(tmp_path / "a.json", "set")
