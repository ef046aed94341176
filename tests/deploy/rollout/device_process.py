"""The daemon and its updater as children of the nursery: two of each begin at once."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import edge_daemon.commands.run
import edge_daemon.commands.update  # noqa: F401 - both, before the fork
from edge_daemon.cli import main


def leuko_edge(words: list[str], log: Path, _mouth: Connection) -> None:
    """``leuko-edge`` with these words, until it is killed."""
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = ["leuko-edge", *words]
    main()
