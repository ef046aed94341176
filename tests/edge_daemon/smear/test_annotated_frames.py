"""Frames of BCCD and TXL-PBC are read with their boxes, whatever form these have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_daemon.errors import DataError
from edge_daemon.smear.annotated_frames import list_annotated, read_annotated
from tests.edge_daemon.smear.own_folders import write_rgb

_VOC = """<annotation><object><name>WBC</name><bndbox><xmin>10</xmin><ymin>20</ymin>
<xmax>60</xmax><ymax>80</ymax></bndbox></object><object><name>RBC</name><bndbox><xmin>5</xmin>
<ymin>5</ymin><xmax>5</xmax><ymax>9</ymax></bndbox></object></annotation>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rgb(tmp_path / "images" / "a.png", np.full((100, 200, 3), (10, 20, 30), np.uint8))
    return tmp_path


def annotate(folder: Path, form: str, text: str) -> None:
    place = folder / {"voc": "annotations_voc/a.xml", "yolo": "labels/a.txt"}[form]
    place.parent.mkdir()
    place.write_text(text)


def test_pascal_voc_is_read_and_boxes_without_area_are_left_out(folder: Path) -> None:
    annotate(folder, "voc", _VOC)
    frame = read_annotated(*list_annotated(folder)[0])
    assert frame.pixels[0, 0].tolist() == [10, 20, 30]
    assert frame.boxes["wbc"].tolist() == [[10, 20, 60, 80]]
    assert frame.boxes["rbc"].shape == (0, 4)


def test_yolo_is_read_in_pixels(folder: Path) -> None:
    annotate(folder, "yolo", "1 0.5 0.5 0.1 0.2\n\n2 0.25 0.5 0.5 0.5\n")
    frame = read_annotated(*list_annotated(folder)[0])
    assert frame.boxes["rbc"] == pytest.approx(np.array([[90, 40, 110, 60]]))
    assert frame.boxes["platelet"] == pytest.approx(np.array([[0, 25, 100, 75]]))


@pytest.mark.parametrize(
    ("form", "text"), [("voc", "<annotation><obj"), ("yolo", "1 2 3"), ("yolo", "7 .5 .5 .1 .1")]
)
def test_a_broken_annotation_is_named(folder: Path, form: str, text: str) -> None:
    annotate(folder, form, text)
    with pytest.raises(DataError, match="cannot be read as an annotation"):
        read_annotated(*list_annotated(folder)[0])


def test_a_frame_without_annotation_is_left_out(folder: Path) -> None:
    with pytest.raises(DataError, match="no picture with an annotation"):
        list_annotated(folder)


def test_a_folder_of_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder images/"):
        list_annotated(tmp_path)
