"""Folders that are there whole or not at all: filled under a hidden name, then renamed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.identity.errors import IdentityError
from edge_daemon.whole_files import PARTIAL_SUFFIX, to_disk

PRIVATE_SUFFIX = ".key"
"""Files that end like this are for their owner only."""


def hidden(folder: Path) -> Path:
    """Under which name a folder is filled."""
    return folder.with_name(f".{folder.name}{PARTIAL_SUFFIX}")


def fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder with these files, for its owner only, and have it on the disk.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.touch(mode=0o600 if name.endswith(PRIVATE_SUFFIX) else 0o644)
            path.write_bytes(content)
            to_disk(path)
            to_disk(path.parent)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def put_in_place(filled: Path, folder: Path) -> None:
    """Give a filled folder its name; raises :class:`OSError`."""
    filled.rename(folder)
    to_disk(folder.parent)


def refuse_if_there(folder: Path) -> None:
    """Raises :class:`IdentityError` where something is in the way: nothing is written over."""
    if folder.exists() or folder.is_symlink():
        raise IdentityError(f"{folder} is there already: move it away, or give another folder")
