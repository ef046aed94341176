"""The files that belong to this checkout, with or without git at hand."""

from __future__ import annotations

import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

_LOCAL_FOLDERS = {"__pycache__", "build", "dist", "runs", "state"}


def files() -> list[Path]:
    """Every file that git tracks; without git, every file that is not hidden or made locally."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True
        ).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        return [path for path in sorted(REPOSITORY.rglob("*")) if path.is_file() and _ours(path)]
    return [path for name in listing.split("\0") if name and (path := REPOSITORY / name).is_file()]


def text_files() -> list[Path]:
    """The files of the checkout that hold text."""
    return [path for path in files() if b"\0" not in path.read_bytes()[:8192]]


def _ours(path: Path) -> bool:
    folders = path.relative_to(REPOSITORY).parts[:-1]
    return not any(
        part in _LOCAL_FOLDERS or part.endswith(".egg-info") or (part[0] == "." and part != ".ci")
        for part in folders
    )
