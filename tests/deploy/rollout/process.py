"""A controller in a process of its own, to be killed just before or just after an entry."""

from __future__ import annotations

import os
import signal
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from deploy.registry.store import Registry
from deploy.rollout import run
from deploy.rollout.journal import Journal, Line
from deploy.rollout.settings import Rollout
from tests.deploy.rollout.stage import Stage


class _Deadly(Journal):
    """``kill -9`` at one entry: by its number, or the first of a kind."""

    at: int | str = -1
    before = False

    def append(self, entry: dict[str, Any], at: datetime) -> Line:
        is_it = self.at in (self._next, word(entry))
        if is_it and self.before:
            os.kill(os.getpid(), signal.SIGKILL)
        line = super().append(entry, at)
        if is_it:
            os.kill(os.getpid(), signal.SIGKILL)
        return line


def word(entry: dict[str, Any]) -> str:
    """Kind of an entry, and what for: ``ordered active``."""
    purpose = entry.get("purpose")
    return str(entry["kind"] if purpose is None else f"{entry['kind']} {purpose}")


def roll_out(
    folder: Path,
    url: str,
    repository: Path,
    rollout: Rollout,
    killed_at: int | str,
    before: bool,
    mouth: Connection,
) -> None:
    """Begin or go on; says the word at which it ended."""
    _Deadly.at, _Deadly.before = killed_at, before
    run.Journal = _Deadly  # type: ignore[misc]
    stage = Stage(folder, url, repository, ())
    with Registry(stage.registry) as book:
        standing = run.begin(stage.desk(book), rollout, lambda: True)
    mouth.send(None if standing is None else standing.word)
