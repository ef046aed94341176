"""Does a control that passed still count? How old it is, by clocks that may have been set.

Within one start of the machine its age is read from a clock that nobody can set. Across a start
only the time of day is left, and a Jetson without a battery for its clock starts with the time at
which it was switched off: so there an age counts only when a time server stood behind it then and
stands behind it now. What cannot be known makes a control due.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.findings import Clock

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_THIS_PROCESS = f"process {uuid.uuid4().hex}"
"""Stands in for it where the system does not tell: then nothing outlives the process."""


@dataclass(frozen=True)
class Moment:
    """A time of day, and what it can be held against."""

    utc: datetime
    uptime_s: float
    """Since the machine started, sleep included; nobody can set it."""
    machine_boot: str
    """Which start of the machine; where the system does not tell, which process."""
    synchronised: bool
    """A time server stands behind ``utc``."""


def present(clock: Callable[[], Clock], boot_id: Path = _BOOT_ID) -> Moment:
    """Now, with what ``clock`` says of the clock."""
    try:
        boot = boot_id.read_text().strip()
    except OSError:
        boot = _THIS_PROCESS
    which = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return Moment(utc_now(), time.clock_gettime(which), boot, clock().synchronised is True)


def why_too_old(passed: Moment, now: Moment, every: timedelta) -> str | None:
    """Why a control that passed counts no more, in one line; None while it does."""
    hours = every.total_seconds() / 3600
    if passed.machine_boot == now.machine_boot:
        age = timedelta(seconds=now.uptime_s - passed.uptime_s)
    else:
        if not (passed.synchronised and now.synchronised):
            when = "now" if passed.synchronised else "when the last one passed"
            return (
                "how old the last control is cannot be known: this machine was started since, and "
                f"its clock followed no time server {when}"
            )
        age = now.utc - passed.utc
    if age < timedelta(0):
        return (
            f"the clock went back: the last control passed at {passed.utc:%Y-%m-%d %H:%M} UTC, now "
            f"it is {now.utc:%Y-%m-%d %H:%M}"
        )
    if age > every:
        spent = age.total_seconds() / 3600
        return f"the last control passed {spent:.1f} h ago, one counts for {hours:g} h"
    return None
