"""The pictures in the documentation come from a command that anyone can repeat."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from edge_daemon.smear.contact_sheet import main


def test_both_pictures_are_written_and_small(tmp_path: Path) -> None:
    assert main([str(tmp_path / "images")]) == 0
    for name in ("rendered-cells.jpg", "rendered-field.jpg"):
        path = tmp_path / "images" / name
        assert path.stat().st_size < 200_000
        assert cv2.imread(str(path)) is not None


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file")
    assert main([str(tmp_path / "taken")]) == 2
    assert "taken" in capsys.readouterr().err


def test_without_a_folder_it_says_how_to_call_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
