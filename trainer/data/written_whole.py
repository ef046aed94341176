"""Files and folders that appear whole or not at all, whatever interrupts the writing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_daemon.errors import DataError


def write_json(document: Any, path: Path) -> None:
    """Write ``document`` as indented JSON. Raises :class:`DataError` when the disk refuses."""
    draft = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from None


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
