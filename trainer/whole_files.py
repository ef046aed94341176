"""Files and folders of a training that are there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from edge_daemon import whole_files
from edge_daemon.errors import DataError


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to fill, as :func:`edge_daemon.whole_files.written_whole` says; its folder is made.

    Raises :class:`DataError` when it cannot be written; what was at ``path`` before is still whole,
    and nothing half-written is left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_files.written_whole(path) as file:
            yield file
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
        what = getattr(error, "strerror", None) or " ".join(str(error).split())[:120]
        raise DataError(
            f"{path}: cannot be written ({what}); what was there before is whole: make room, and "
            "start the same command again"
        ) from error


def write_text(text: str, path: Path) -> None:
    """Write ``text``; raises like :func:`written_whole`."""
    with written_whole(path) as file:
        file.write(text.encode())


def write_json(value: Any, path: Path) -> None:
    """Write ``value`` as indented JSON; raises like :func:`written_whole`."""
    write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n", path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside ``path`` to fill, which takes that name when the block has ended well.

    What an interrupted run left hidden is removed first; after an error nothing is left. Raises
    :class:`DataError` when ``path`` exists and holds something, or when the disk refuses.
    """
    path = path.absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path}: is there already: remove it or give another --out")
    draft = path.with_name(f".{path.name}.part")
    try:
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(parents=True)
        yield draft
        os.sync()  # one call for thousands of files: first the contents, then the name
        draft.replace(path)  # an empty folder of that name gives way
    except OSError as error:
        where = error.filename or path
        raise DataError(f"{where}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
