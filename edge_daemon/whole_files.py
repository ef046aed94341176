"""Files that are there whole or not at all, whatever interrupts the writing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PARTIAL_SUFFIX = ".partial"
"""What a kill leaves of a file beside its place ends like this."""


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to fill: under another name first, on the disk, then renamed to ``path``.

    Raises :class:`OSError` when it cannot be written; what was at ``path`` before is still whole.
    """
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    to_disk(path.parent)  # the name too outlives a power cut


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content``; raises like :func:`written_whole`."""
    with written_whole(path) as file:
        file.write(content)


def to_disk(path: Path) -> None:
    """Wait until what was written of a file, or the names in a folder, would survive a power cut.

    Raises:
        OSError: the disk refuses.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
