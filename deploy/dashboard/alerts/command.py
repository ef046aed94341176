"""Watching as a program: until SIGINT or SIGTERM, or for so many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from deploy.dashboard.alerts.watching import Watching, WatchSettings
from deploy.dashboard.database.opening import Database
from edge_daemon.signals import stop_on_signals


def run(
    database: Database,
    settings: WatchSettings,
    say: Callable[[str], object],
    *,
    seconds: float | None = None,
) -> None:
    """Watch; says when it begins to, and when another process does.

    Raises:
        LeukoError: of the settings, or of the database.
    """
    until_s = None if seconds is None else time.monotonic() + seconds
    told: bool | None = None
    with stop_on_signals() as stopping, Watching(database, settings) as watching:
        while not stopping.wait(0.5) and (until_s is None or time.monotonic() < until_s):
            if watching.watch.leads is not told:
                told = watching.watch.leads
                say("watching" if told else "another process watches: waiting for its end")
