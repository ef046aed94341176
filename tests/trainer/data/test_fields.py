"""Published fields become typed records, and no box disappears without a word."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.contract.terms import KINDS
from edge_daemon.errors import DataError
from trainer.data.fields import read_field_sets, read_voc, read_yolo

OBJECT = """<object><name>{name}</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin>
<xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"""


def write_picture(folder: Path, stem: str, height: int = 48, width: int = 64) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{stem}.jpg"), np.full((height, width, 3), 90, dtype=np.uint8))


def write_voc(folder: Path, stem: str, *objects: tuple[str, tuple[float, ...]]) -> None:
    write_picture(folder / "images", stem)
    (folder / "annotations_voc").mkdir(exist_ok=True)
    body = "".join(OBJECT.format(*box, name=name) for name, box in objects)
    (folder / "annotations_voc" / f"{stem}.xml").write_text(f"<annotation>{body}</annotation>")


def write_yolo(folder: Path, stem: str, text: str) -> None:
    write_picture(folder / "images", stem)
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / f"{stem}.txt").write_text(text)


def test_voc_boxes_keep_their_pixels_and_kinds(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", ("RBC", (1, 2, 30, 40)), ("Platelets", (5, 5, 9, 9)))
    (record,) = read_voc(tmp_path, "set").records
    np.testing.assert_array_equal(record.boxes, [[1, 2, 30, 40], [5, 5, 9, 9]])
    assert [KINDS[kind] for kind in record.kinds] == ["rbc", "platelet"]
    assert (record.height, record.width) == (48, 64)
    assert record.read().shape == (48, 64, 3)


def test_yolo_boxes_are_relative_centres_and_sizes(tmp_path: Path) -> None:
    write_yolo(tmp_path, "a", "0 0.5 0.5 0.25 0.5\n\n2 0.25 0.25 0.1 0.1\n")
    (record,) = read_yolo(tmp_path, "set").records
    np.testing.assert_allclose(record.boxes[0], [24, 12, 40, 36])
    assert [KINDS[kind] for kind in record.kinds] == ["wbc", "platelet"]


def test_a_box_without_area_is_dropped_and_reported(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", ("RBC", (10, 10, 10, 10)), ("WBC", (0, 0, 20, 20)))
    field_set = read_voc(tmp_path, "set")
    assert field_set.boxes_per_kind == {"wbc": 1, "rbc": 0, "platelet": 0}
    assert "1 boxes dropped (a.jpg (10.0, 10.0, 10.0, 10.0) no area)" in field_set.describe()


def test_a_box_outside_of_its_picture_is_dropped_and_reported(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", ("RBC", (70, 10, 90, 30)))
    field_set = read_voc(tmp_path, "set")
    assert len(field_set.records[0].boxes) == 0
    assert "outside of the picture" in field_set.describe()


def test_a_box_over_the_edge_is_clipped_and_counted(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", ("RBC", (50, 10, 90, 30)))
    field_set = read_voc(tmp_path, "set")
    np.testing.assert_array_equal(field_set.records[0].boxes, [[50, 10, 64, 30]])
    assert "1 boxes clipped to their picture" in field_set.describe()


def test_a_frame_without_cells_is_a_frame(tmp_path: Path) -> None:
    write_yolo(tmp_path, "a", "")
    (record,) = read_yolo(tmp_path, "set").records
    assert record.boxes.shape == (0, 4)
    assert record.kinds.shape == (0,)


@pytest.mark.parametrize(
    "line",
    [
        "0 0.5 0.5 0.2",
        "7 0.5 0.5 0.2 0.2",
        "-1 0.5 0.5 0.2 0.2",
        "0 0.5 0.5 nan 0.2",
        "0 a b c d",
        "wbc 1 1 1 1",
    ],
)
def test_a_broken_line_names_file_and_line(tmp_path: Path, line: str) -> None:
    write_yolo(tmp_path, "a", f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(DataError, match=r"a\.txt:2: not 'class x y w h'"):
        read_yolo(tmp_path, "set")


def test_class_numbers_mean_what_the_sets_own_table_says(tmp_path: Path) -> None:
    write_yolo(tmp_path, "a", "0 0.5 0.5 0.2 0.2\n2 0.5 0.5 0.2 0.2\n")
    (tmp_path / "labels" / "classes.txt").write_text("Platelets\nRBC\nWhite_Blood_Cells\n")
    (record,) = read_yolo(tmp_path, "set").records
    assert [KINDS[kind] for kind in record.kinds] == ["platelet", "wbc"]
    (tmp_path / "labels" / "classes.txt").write_text("Parasite\n")
    with pytest.raises(DataError, match=r"classes\.txt:1: unknown kind of cell 'Parasite'"):
        read_yolo(tmp_path, "set")


def test_pictures_need_not_be_jpeg(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", ("WBC", (0, 0, 9, 9)))
    (tmp_path / "images" / "a.jpg").rename(tmp_path / "images" / "a.png")
    assert read_voc(tmp_path, "set").records[0].image.name == "a.png"


def test_a_corner_that_is_no_number_is_refused(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", ("WBC", (0, 0, float("nan"), 9)))
    with pytest.raises(DataError, match=r"a\.xml is not a Pascal-VOC annotation: 'nan'"):
        read_voc(tmp_path, "set")


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    write_voc(tmp_path, "a", ("Parasite", (0, 0, 9, 9)))
    with pytest.raises(DataError, match="unknown kind of cell 'Parasite'"):
        read_voc(tmp_path, "set")


def test_broken_xml_is_named(tmp_path: Path) -> None:
    write_voc(tmp_path, "a")
    (tmp_path / "annotations_voc" / "a.xml").write_text("<annotation>")
    with pytest.raises(DataError, match=r"a\.xml is not a Pascal-VOC annotation"):
        read_voc(tmp_path, "set")


def test_an_annotation_without_its_picture_is_an_error(tmp_path: Path) -> None:
    write_yolo(tmp_path, "a", "")
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"a\.jpg is missing"):
        read_yolo(tmp_path, "set")


def test_a_missing_or_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="set LEUKO_DATA or --data"):
        read_voc(tmp_path / "nowhere", "set")
    with pytest.raises(DataError, match="is this the folder of the set"):
        read_voc(tmp_path, "set")


def test_the_published_sets_are_read_whole(leuko_data: Path) -> None:
    frames = {}
    for split in ("train", "val"):
        for field_set in read_field_sets(leuko_data, split):
            frames[field_set.name] = len(field_set.records)
            assert all(count > 0 for count in field_set.boxes_per_kind.values())
            for record in field_set.records:
                x0, y0, x1, y1 = record.boxes.T
                assert ((x0 >= 0) & (y0 >= 0) & (x1 > x0) & (y1 > y0)).all()
                assert ((x1 <= record.width) & (y1 <= record.height)).all()
    assert set(frames) == {"bccd/train", "txl-pbc/train", "bccd/val", "txl-pbc/val"}
    assert min(frames.values()) > 0


def test_bccds_boxes_without_area_are_reported(leuko_data: Path) -> None:
    lines = [read_field_sets(leuko_data, split)[0].describe() for split in ("train", "val")]
    assert all("1 boxes dropped" in line and "no area" in line for line in lines)
