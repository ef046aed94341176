"""A calibration file is written whole, read strictly, and holds for one microscope."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.calibration.document import FlatField, Setup, camera_of
from edge_daemon.calibration.file import read_calibration, write_calibration
from edge_daemon.calibration.flat import measure_flat
from edge_daemon.errors import CalibrationError
from tests.edge_daemon.calibration.pictures import MADE, calibration, taken

WHOLE = calibration(flat=measure_flat(taken("target=blank", 1), MADE))


def written(path: Path) -> str:
    write_calibration(path, WHOLE)
    return path.read_text()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    write_calibration(path, WHOLE)
    assert read_calibration(path) == WHOLE
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.json"
    before = written(path)

    def disk_full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", disk_full)
    with pytest.raises(CalibrationError, match=r"cannot write .*No space left"):
        write_calibration(path, calibration())
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 0.999))
def test_cut_anywhere_it_is_refused_in_one_line(
    share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "c.json"
    text = written(path).rstrip()
    path.write_text(text[: int(share * len(text))])
    with pytest.raises(CalibrationError, match="truncated or altered: calibrate again") as error:
        read_calibration(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": "leukoedge.calibration/2"}, "has schema 'leukoedge.calibration/2', this"),
        ({"schema": None}, "has schema None"),
        ({"software": "9.9"}, "does not have the digest that it names: altered"),
        ({"flat": None}, "does not have the digest that it names: altered"),
        ({"surplus": 1}, "surplus: Extra inputs are not permitted"),
        ({"setup": {"objective": "100x"}}, r"setup.width: Field required \(and 1 more\)"),
        ({"flat": {**WHOLE.model_dump(mode="json")["flat"], "gains": "AAAA"}}, "as many as rows"),
        ({"flat": {**WHOLE.model_dump(mode="json")["flat"], "gains": "?"}}, "not base64"),
    ],
)
def test_what_is_altered_is_refused(tmp_path: Path, change: dict[str, object], told: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(json.loads(written(path)) | change))
    with pytest.raises(CalibrationError, match=told):
        read_calibration(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "does not exist: make it with leuko-edge calibrate"),
        (b"\xff\xfe nonsense", "not valid JSON"),
        (b"[]", "has schema None"),
        (b" " * (1 << 21), "over 1 MiB"),
    ],
)
def test_what_is_no_calibration_is_refused(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "c.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CalibrationError, match=told):
        read_calibration(path)


def test_gains_out_of_all_measure_are_refused() -> None:
    assert WHOLE.flat is not None
    strong = WHOLE.flat.model_dump() | {"gains": "/" * 4 * (2 * 3 * 48 * 64 // 3)}
    with pytest.raises(ValueError, match="gains outside"):
        FlatField.model_validate(strong)


class TestSetup:
    MADE_WITH = Setup(
        objective="100x/1.25 oil", binning=2, region=(0, 0, 640, 480), width=640, height=480
    )

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"objective": "40x"}, "objective is '40x' and was '100x/1.25 oil'"),
            ({"binning": 1}, "binning is 1 and was 2"),
            ({"region": (10, 0, 640, 480)}, r"region is (10, 0, 640, 480) and was"),
            ({"region": None}, "region is not told and was"),
            ({"width": 320}, "width is 320 and was 640"),
        ],
    )
    def test_another_microscope_is_told_by_what_differs(
        self, change: dict[str, object], told: str
    ) -> None:
        now = self.MADE_WITH.model_copy(update=change)
        assert told in (self.MADE_WITH.difference(now) or "")

    def test_the_same_one_holds(self) -> None:
        assert self.MADE_WITH.difference(self.MADE_WITH) is None

    def test_files_may_be_of_any_camera_but_cameras_differ(self) -> None:
        one = self.MADE_WITH.model_copy(update={"camera": "camera://serial/A"})
        other = self.MADE_WITH.model_copy(update={"camera": "camera://serial/B"})
        assert one.difference(self.MADE_WITH) is None
        assert "camera is 'camera://serial/B'" in (one.difference(other) or "")

    @pytest.mark.parametrize(
        ("url", "camera"),
        [
            ("camera://serial/A?width=640", "camera://serial/A"),
            ("sim://?seed=3", "sim://"),
            ("slides/a", None),
            ("file://slides/a", None),
        ],
    )
    def test_a_camera_is_known_by_its_address(self, url: str, camera: str | None) -> None:
        assert camera_of(url) == camera
