"""Whoever builds the wheel from the same sources gets the same bytes, wherever and whenever."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.trust.wheel import wheel_version
from edge_daemon import __version__
from tests.house.checkout import REPOSITORY, files

_IN_IT = {"edge_daemon", "trainer", "exporter", "deploy"}
_BESIDE = {"pyproject.toml", "README.md", "LICENSE", "NOTICE", ".gitignore"}


def _build(folder: Path, *, age_s: int, mode: int) -> Path:
    """The wheel from a copy of the sources, offline."""
    for path in files():
        name = path.relative_to(REPOSITORY)
        if name.parts[0] in _IN_IT or str(name) in _BESIDE:
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(mode)
            os.utime(copy, (age_s, age_s))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=folder,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1767225600", "PYTHONHASHSEED": str(mode)},
        check=True,
        capture_output=True,
    )
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def test_two_wheels_of_the_same_sources_are_the_same_file(tmp_path: Path) -> None:
    first = _build(tmp_path / "here", age_s=1_500_000_000, mode=0o644)
    second = _build(tmp_path / "somewhere" / "else", age_s=1_700_000_000, mode=0o600)

    assert wheel_version(first) == __version__
    assert first.name == second.name
    digests = {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in (first, second)}
    assert len(digests) == 1
