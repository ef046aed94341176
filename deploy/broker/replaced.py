"""A folder in the place of the one before: of the two, one is always there, or is put back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.identity.folders import fill, hidden
from edge_daemon.errors import ConfigError
from edge_daemon.whole_files import to_disk


def must_be_ours(folder: Path, record: str) -> None:
    """Put back what a killed writer had moved away.

    Raises:
        ConfigError: what lies there was not written by this program, or not in this kind.
    """
    old = _old(folder)
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists() and not (folder / record).is_file():
        raise ConfigError(f"{folder} is no folder of such a broker: give another one")


def without_spaces(folder: Path) -> str:
    """Where a folder lies. Raises :class:`ConfigError`: not where a broker could name it."""
    place = str(folder.resolve())
    if any(character.isspace() or character in '"#' for character in place):
        raise ConfigError(f"{place!r}: a broker's folder has no spaces and quotes: set lies_at")
    return place


def put(folder: Path, files: Mapping[str, bytes], judge: Callable[[Path], object]) -> None:
    """Fill a folder, have it judged, and give it its name.

    Raises:
        ConfigError: it cannot be written, or ``judge`` raised; the folder is as it was.
    """
    try:
        fill(hidden(folder), files)
        judge(hidden(folder))
        if folder.exists():
            folder.rename(_old(folder))
        hidden(folder).rename(folder)
        to_disk(folder.parent)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(hidden(folder), ignore_errors=True)
    shutil.rmtree(_old(folder), ignore_errors=True)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")
