"""Can the device's clock be trusted? Records carry its time, and a receiver sorts by it.

The kernel knows: a daemon that disciplines the clock (systemd-timesyncd, chrony, ntpd) clears its
flag ``STA_UNSYNC``, and the kernel sets it again when nobody has spoken for long. ``adjtimex`` with
no mode only reads and needs no right. Where it is forbidden (a container, a hardened unit) the mark
of systemd-timesyncd says whether it ever set the clock since the start of the machine; without
either nobody knows, and that is what is said.

Source: ``adjtimex(2)``; kernel ``include/uapi/linux/timex.h``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from edge_daemon.contract.findings import Clock

TIMESYNC_MARK = Path("/run/systemd/timesync/synchronized")

_STA_UNSYNC = 0x0040
_STA_NANO = 0x2000
_TIME_ERROR = 5


class KernelClock(NamedTuple):
    """What ``adjtimex`` answers, as far as it matters here."""

    state: int
    status: int
    offset: int
    max_error_us: int


class _Timex(ctypes.Structure):
    """``struct timex`` up to what is read; the rest is room for the kernel to write into."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def ask_kernel() -> KernelClock | None:
    """Read the kernel's clock discipline; None where the system does not let us."""
    try:
        answer = _Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(answer))
    except (OSError, AttributeError):  # no such function in this C library
        return None
    if state < 0:
        return None
    return KernelClock(state, answer.status, answer.offset, answer.maxerror)


def clock_quality(
    ask: Callable[[], KernelClock | None] = ask_kernel, mark: Path = TIMESYNC_MARK
) -> Clock:
    """How far the clock can be trusted now."""
    kernel = ask()
    if kernel is not None:
        synchronised = kernel.state != _TIME_ERROR and not kernel.status & _STA_UNSYNC
        offset_ms = kernel.offset / (1e6 if kernel.status & _STA_NANO else 1e3)
        return Clock(
            synchronised=synchronised,
            offset_ms=offset_ms if synchronised else None,  # nobody has measured one
            max_error_ms=max(0.0, kernel.max_error_us / 1e3),
            told_by="kernel",
        )
    if mark.exists():
        return Clock(synchronised=True, told_by="timesyncd")
    return Clock()
