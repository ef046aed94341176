"""Does the daemon that was just started work? Asked as anybody on this machine may ask it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge_daemon.errors import ServiceError, UpdateError
from edge_daemon.update.daemon import DaemonState

MOST_DEATHS = 3
"""So often may it go away after it had answered."""


class Daemon(Protocol):
    """Who is asked."""

    def state(self) -> DaemonState:
        """What it uses and does now.

        Raises:
            ServiceError: nobody answers.
            UpdateError: somebody does, and says no more than that.
        """


@dataclass(frozen=True)
class Patience:
    """How long a new version is waited for, in seconds."""

    answers_within_s: float = 120.0
    starts_within_s: float = 1800.0
    """Where it says that it is starting: it may have to build engines."""
    steady_s: float = 20.0
    pause_s: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def probe(
    daemon: Daemon,
    patience: Patience,
    is_before: Callable[[DaemonState], bool],
    fault: Callable[[DaemonState], str | None],
) -> str | None:
    """Wait until a daemon works; why it does not, None when it does.

    Args:
        daemon: who is asked.
        patience: how long.
        is_before: this is still the daemon that is being ended, and does not count.
        fault: what is wrong with what the new one says; None when nothing is.
    """
    began = patience.clock()
    alive_until = began + patience.answers_within_s
    good_until = began + max(patience.starts_within_s, patience.answers_within_s)
    deaths, is_heard = 0, False
    may_be_before = True  # until one is gone: what is being ended may say that it has no time
    while True:
        try:
            state = daemon.state()
        except ServiceError:
            if is_heard:
                deaths, is_heard = deaths + (not may_be_before), False
                alive_until = patience.clock() + patience.answers_within_s
            may_be_before = False
        except UpdateError:  # it is there, and has no time yet
            is_heard = True
        else:
            if not is_before(state):
                if (why := fault(state)) is not None:
                    return why
                if _stays(daemon, state, patience):
                    return None
                deaths += 1
                alive_until = patience.clock() + patience.answers_within_s
        if deaths >= MOST_DEATHS:
            return f"it started and ended {deaths} times"
        now = patience.clock()
        if now >= good_until:
            return f"it did not get ready within {patience.starts_within_s:.0f} s"
        if now >= alive_until and not is_heard:
            died = "it started and ended, and then" if deaths else "it"
            return f"{died} did not answer within {patience.answers_within_s:.0f} s"
        patience.sleep(patience.pause_s)


def _stays(daemon: Daemon, first: DaemonState, patience: Patience) -> bool:
    patience.sleep(patience.steady_s)
    try:
        return daemon.state().boot_id == first.boot_id
    except ServiceError:
        return False
    except UpdateError:  # busy, or started anew
        return False
