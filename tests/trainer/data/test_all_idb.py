"""ALL-IDB1: points on the blasts of patients, none on the healthy, and no point without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_daemon.errors import DataError
from tests.trainer.data.test_fields import write_picture
from trainer.data.all_idb import read_all_idb


def write_frame(root: Path, stem: str, points: str | None) -> None:
    write_picture(root / "im", stem)
    if points is not None:
        (root / "xyc").mkdir(exist_ok=True)
        (root / "xyc" / f"{stem}.xyc").write_text(points)


def test_points_are_the_blasts_of_a_patient(tmp_path: Path) -> None:
    write_frame(tmp_path, "Im001_1", "10\t20\r\n 33 40 \n\n")
    write_frame(tmp_path, "Im002_0", "")
    patient, healthy = read_all_idb(tmp_path)
    np.testing.assert_array_equal(patient.blasts, [[10, 20], [33, 40]])
    assert (patient.leukaemia, patient.height, patient.width) == (True, 48, 64)
    assert not healthy.leukaemia
    assert healthy.blasts.shape == (0, 2)


def test_files_beside_each_other_are_read_too_and_other_pictures_are_not(tmp_path: Path) -> None:
    write_picture(tmp_path, "Im001_1")
    write_picture(tmp_path, "cover")
    (tmp_path / "Im001_1.xyc").write_text("1 2")
    assert len(read_all_idb(tmp_path)) == 1


def test_a_healthy_frame_needs_no_file_and_a_patients_may_show_no_blast(tmp_path: Path) -> None:
    write_frame(tmp_path, "Im001_0", None)
    write_frame(tmp_path, "Im002_1", "")
    assert [len(frame.blasts) for frame in read_all_idb(tmp_path)] == [0, 0]


def test_a_point_outside_of_the_picture_is_dropped_and_kept_in_mind(tmp_path: Path) -> None:
    write_frame(tmp_path, "Im001_1", "10 20\n64 5\n")
    (frame,) = read_all_idb(tmp_path)
    assert len(frame.blasts) == 1
    assert (frame.unsound[0].box, frame.unsound[0].image) == ((64.0, 5.0), "Im001_1.jpg")


@pytest.mark.parametrize(
    ("stem", "points", "says"),
    [
        ("Im001_1", None, r"Im001_1\.xyc with the centres of its blasts is missing"),
        ("Im001_0", "4 5", r"has 1 blasts, the name Im001_0\.jpg says healthy"),
        ("Im001_1", "4 5\n4 5 6", r"Im001_1\.xyc:2: not 'x y': '4 5 6'"),
        ("Im001_1", "four 5", r"Im001_1\.xyc:1: not 'x y'"),
        ("Im001_1", "nan 5", r"Im001_1\.xyc:1: not 'x y'"),
    ],
)
def test_a_frame_that_contradicts_itself_is_named(
    tmp_path: Path, stem: str, points: str | None, says: str
) -> None:
    write_frame(tmp_path, stem, points)
    with pytest.raises(DataError, match=says):
        read_all_idb(tmp_path)


def test_a_folder_without_such_pictures_is_another_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is this ALL-IDB1"):
        read_all_idb(tmp_path)
