"""Reading the kernel's files: one value each, which may be missing or refuse to be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def text(path: Path) -> str | None:
    """The file's one line; None where it is missing, empty or cannot be read now."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n") or None
    except OSError:  # a sensor that sleeps answers EAGAIN or EIO, an absent one ENOENT
        return None


def number(path: Path) -> int | None:
    """The file's integer; None where it has none."""
    found = text(path)
    try:
        return None if found is None else int(found)
    except ValueError:
        return None


def named(folder: Path, pattern: str, name_file: str) -> Iterator[tuple[str, Path]]:
    """The folders that match, each with the name that a file in it gives, in order of number."""
    for found in sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name)):
        name = text(found / name_file)
        if name is not None:
            yield name, found
