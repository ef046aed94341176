"""The ingest as a program: a worker that runs until it is stopped, and says how it fares."""

from __future__ import annotations

import gc
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deploy.dashboard.errors import DatabaseAwayError
from deploy.dashboard.ingest.worker import Worker
from edge_daemon.contract.envelope import utc_now
from edge_daemon.errors import BrokerError
from edge_daemon.signals import stop_on_signals

_SAY_EVERY_S = 5.0
_SHOW_EVERY_S = 0.5
_OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""A batch makes thousands that are none of them in a cycle; looking through them took 10 %."""


def run(
    begin: Callable[[], Worker],
    say: Callable[[str], object],
    *,
    seconds: float | None = None,
    json: bool = False,
) -> None:
    """Take in messages until SIGINT or SIGTERM, or for so many seconds.

    A broker or a database server that is not there is waited for.

    Raises:
        DatabaseError: the database cannot be used as it is.
    """
    until_s = None if seconds is None else time.monotonic() + seconds
    every_s = _SAY_EVERY_S if json else _SHOW_EVERY_S
    with stop_on_signals() as stopping, _shown(say, json=json) as show:
        worker = _begun(begin, stopping, until_s)
        if worker is None:
            return
        try:
            worker.connect()
        except BrokerError as error:
            print(f"{error}; it is waited for", file=sys.stderr)
        gc.freeze()
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
        shown_s, before = time.monotonic(), 0
        while not stopping.is_set() and (until_s is None or time.monotonic() < until_s):
            worker.step()
            now_s = time.monotonic()
            if now_s - shown_s >= every_s:
                per_s = (worker.tally.news - before) / (now_s - shown_s)
                shown_s, before = now_s, worker.tally.news
                show(worker, per_s)
        worker.close()
        show(worker, 0.0)


def _begun(
    begin: Callable[[], Worker], stopping: threading.Event, until_s: float | None
) -> Worker | None:
    """A worker, as soon as there is a database; None when it was stopped before."""
    failures = 0
    while not stopping.is_set() and (until_s is None or time.monotonic() < until_s):
        found = _tried(begin)
        if isinstance(found, Worker):
            return found
        if not failures:
            print(f"{found}; messages wait", file=sys.stderr)
        failures += 1
        stopping.wait(min(10.0, 0.2 * 2.0 ** min(failures, 8)) * random.uniform(0.5, 1.0))
    return None


def _tried(begin: Callable[[], Worker]) -> Worker | DatabaseAwayError:
    try:
        return begin()
    except DatabaseAwayError as error:
        return error


@contextmanager
def _shown(
    say: Callable[[str], object], *, json: bool
) -> Iterator[Callable[[Worker, float], None]]:
    """How a standing is shown: a line of JSON, a line that is written anew, or nothing."""
    if json:

        def tell(worker: Worker, _per_s: float) -> None:
            say(worker.tally.as_json(utc_now()))

        yield tell
        return
    if not sys.stderr.isatty():
        yield lambda _worker, _per_s: None
        return
    from rich.console import Console
    from rich.status import Status

    with Status("connecting", console=Console(stderr=True)) as line:

        def show(worker: Worker, per_s: float) -> None:
            waits = f"; {worker.line}" if worker.line is not None else ""
            line.update(worker.tally.as_line(per_s) + waits)

        yield show
