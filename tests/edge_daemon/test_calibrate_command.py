"""``leuko-edge calibrate`` as a user runs it, and what the daemon makes of the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_daemon.calibration.file import read_calibration
from edge_daemon.cli import app
from edge_daemon.commands.calibration import describe_calibration, open_calibration
from edge_daemon.config import Config, load_config
from edge_daemon.errors import LeukoError

BLANK = "sim://?target=blank&fields=6&vignetting=0.4&cast=0.6"
SMEAR = "sim://?fields=6&vignetting=0.4&cast=0.6&focus=0&white=2"
MICROMETER = "sim://?target=micrometer&fields=3&pitch=5&angle=4"
OBJECTIVE = ("--objective", "100x/1.25 oil")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "scope.json"


def calibrate(*arguments: object) -> str:
    """What it said; raises what it raised."""
    result = CliRunner().invoke(app, ["calibrate", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object) -> str:
    """The one line that says what is wrong."""
    result = CliRunner().invoke(app, ["calibrate", *map(str, arguments)])
    assert isinstance(result.exception, LeukoError), result.exception
    line = str(result.exception)
    assert "\n" not in line
    return line


def configured(tmp_path: Path, file: Path, objective: str | None = "100x/1.25 oil") -> Config:
    said = "" if objective is None else f'objective = "{objective}"'
    path = tmp_path / "device.toml"
    path.write_text(
        f'[device]\n{said}\n[source]\nurl = "sim://"\n[broker]\nurl = "mqtt://127.0.0.1"\n'
        f'[calibration]\nfile = "{file.name}"\n'
    )
    return load_config(path)


def test_all_parts_come_into_one_file_one_after_another(file: Path, tmp_path: Path) -> None:
    calibrate("flat", BLANK, "--file", file, *OBJECTIVE)
    calibrate("scale", MICROMETER, "--spacing-um", 5, "--file", file)
    calibrate("focus", SMEAR, "--file", file)
    calibrate("stain", SMEAR, "--file", file)
    learnt = read_calibration(file)
    assert learnt.setup.objective == "100x/1.25 oil"
    assert (learnt.setup.width, learnt.setup.height, learnt.setup.camera) == (640, 480, "sim://")
    assert learnt.flat is not None
    assert learnt.flat.made.frames == 6
    assert learnt.scale is not None
    assert learnt.scale.um_per_px == pytest.approx(0.075, rel=2e-3)
    assert learnt.focus is not None
    assert learnt.stain is not None
    shown = calibrate("show", file)
    for words in (
        "100x/1.25 oil",
        "640 x 480",
        "um per pixel, by micrometer",
        "stain from 6 frames",
    ):
        assert words in shown
    assert open_calibration(configured(tmp_path, file)) is not None
    assert "flat, scale, focus, stain" in describe_calibration(configured(tmp_path, file))


def test_another_flat_field_forgets_the_stain_that_was_learnt_under_the_old_one(file: Path) -> None:
    calibrate("flat", BLANK, "--file", file, *OBJECTIVE)
    calibrate("stain", SMEAR, "--file", file)
    said = calibrate("flat", BLANK, "--file", file)
    assert "the stain was learnt under the flat field of before and is forgotten" in said.replace(
        "\n", " "
    )
    assert read_calibration(file).stain is None


class TestRefused:
    """One line each, and the file stays as it was."""

    def test_a_new_file_needs_an_objective(self, file: Path) -> None:
        assert "is new: name the objective" in refused("flat", BLANK, "--file", file)
        assert not file.exists()

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("flat", "sim://?fields=2"), "not blank"),
            (("scale", "sim://?fields=2", "--spacing-um", "10"), "no evenly spaced lines"),
            (("focus", "sim://?fields=5&target=blank"), "0 of 5 frames show cells"),
            (("stain", "sim://?fields=5&target=blank"), "0 of 5 frames are good enough"),
            (("flat", "sim://?fields=1&target=blank", "--region", "1,2,3"), "LEFT,TOP,WIDTH"),
            (("flat", "sim://?fields=1&target=blank", "--region", "1,2,3,0"), "at least one pixel"),
            (("flat", "nowhere"), "nowhere: there is no such file"),
        ],
    )
    def test_what_was_shown_is_of_no_use(
        self, file: Path, arguments: tuple[str, ...], told: str
    ) -> None:
        assert told in refused(*arguments, "--file", file, *OBJECTIVE)
        assert not file.exists()

    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            (("--objective", "40x"), "objective is '40x' and was '100x/1.25 oil'"),
            (("--binning", "2"), "binning is 2 and was 1"),
            (("--region", "0,0,320,240"), "region is (0, 0, 320, 240) and was not told"),
        ],
    )
    def test_a_file_of_another_microscope_unless_anew(
        self, file: Path, changed: tuple[str, str], told: str
    ) -> None:
        calibrate("flat", BLANK, "--file", file, *OBJECTIVE)
        before = file.read_bytes()
        assert told in refused("focus", SMEAR, "--file", file, *changed)
        assert file.read_bytes() == before
        calibrate("focus", SMEAR, "--file", file, *changed, "--anew")
        assert read_calibration(file).flat is None

    def test_frames_of_another_size(self, file: Path) -> None:
        calibrate("flat", BLANK, "--file", file, *OBJECTIVE)
        assert "width is 320 and was 640" in refused("flat", BLANK + "&width=320", "--file", file)

    def test_a_file_that_cannot_be_trusted_unless_anew(self, file: Path) -> None:
        file.write_text("{")
        assert "with --anew" in refused("flat", BLANK, "--file", file, *OBJECTIVE)
        calibrate("flat", BLANK, "--file", file, *OBJECTIVE, "--anew")
        assert "truncated" in refused("show", _cut(file))


def _cut(file: Path) -> Path:
    file.write_bytes(file.read_bytes()[:200])
    return file


class TestInTheDaemon:
    def test_a_file_that_does_not_hold_is_told_in_one_line_and_left(
        self, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        calibrate("flat", BLANK, "--file", file, *OBJECTIVE)
        for objective, told in (
            ("40x", "objective is '40x' and was '100x/1.25 oil'"),
            (None, "[device] objective is not told"),
        ):
            caplog.clear()
            config = configured(tmp_path, file, objective)
            assert open_calibration(config) is None
            (line,) = [record.getMessage() for record in caplog.records]
            assert told in line
            assert "analysed uncalibrated" in line
            assert "does not hold" in describe_calibration(config)

    def test_a_file_that_is_missing_is_an_error(self, file: Path, tmp_path: Path) -> None:
        with pytest.raises(LeukoError, match="does not exist: make it with leuko-edge calibrate"):
            open_calibration(configured(tmp_path, file))

    def test_without_a_file_nothing_is_calibrated(self, file: Path, tmp_path: Path) -> None:
        config = configured(tmp_path, file)
        bare = config.model_copy(
            update={"calibration": config.calibration.model_copy(update={"file": None})}
        )
        assert open_calibration(bare) is None
        assert "not calibrated" in describe_calibration(bare)

    def test_the_command_may_take_the_microscope_from_the_configuration(
        self, file: Path, tmp_path: Path
    ) -> None:
        configured(tmp_path, file)
        calibrate("flat", BLANK, "--config", tmp_path / "device.toml")
        assert read_calibration(file).setup.objective == "100x/1.25 oil"
