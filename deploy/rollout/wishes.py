"""Pause, resume, undo: what a person wishes of a controller that runs, left in its folder."""

from __future__ import annotations

import getpass
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from deploy.rollout.errors import RolloutError
from edge_daemon.whole_files import write_whole

What: TypeAlias = Literal["pause", "resume", "undo"]
_PREFIX = "wish-"


@dataclass(frozen=True)
class Wish:
    """One."""

    what: What
    by: str


def somebody() -> str:
    """Who asks, as far as this machine knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def leave(folder: Path, what: What) -> None:
    """Leave a wish for the controller of this folder.

    Raises:
        RolloutError: the folder cannot be written.
    """
    text = json.dumps(asdict(Wish(what, somebody())))
    try:
        write_whole(folder / f"{_PREFIX}{time.time_ns():020d}.json", text.encode())
    except OSError as error:
        raise RolloutError(f"cannot write into {folder}: {error.strerror}") from None


def waiting(folder: Path) -> list[tuple[Path, Wish]]:
    """Wishes that lie there, oldest first; each is deleted by whoever has carried it out."""
    found = []
    for file in sorted(folder.glob(f"{_PREFIX}*.json")):
        try:
            found.append((file, Wish(**json.loads(file.read_bytes()))))
        except (OSError, ValueError, TypeError):  # noqa: PERF203 - nobody's wish
            file.unlink(missing_ok=True)
    return found
