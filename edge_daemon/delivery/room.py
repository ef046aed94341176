"""Room for the outbox: what its disk still has, and a reserve for the moment when it has nothing.

A full disk must not be the first that anyone hears of it. When the disk gets short, the device
says that it is degraded; when it is short, nothing is stored that could be given up. If something
else fills the disk all the same, the reserve is given back, and the space it took is enough to say
so and to write down how the slide stands.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

KEEP_FREE_BYTES = 64 * 1024 * 1024
"""Free space below which a disk is short, unless the settings say otherwise."""

_SAID_FROM = 2
"""Times that space: from there on it is said."""

_RESERVE_SHARE = 8
_MOST_RESERVE_BYTES = 8 * 1024 * 1024  # twice the write-ahead log between two checkpoints


class Room:
    """The disk under one outbox."""

    def __init__(self, outbox: Path, keep_free_bytes: int) -> None:
        """Look at the disk of ``outbox``, and set the reserve aside where there is space for it."""
        self.short = False
        """The disk has less space left than shall be kept free, or had none."""
        self.getting_short = False
        """It is not far from that."""
        self._folder = outbox.parent
        self._keep_free_bytes = keep_free_bytes
        self._reserve = outbox.with_name(f"{outbox.name}-reserve")
        self._reserve_bytes = min(keep_free_bytes // _RESERVE_SHARE, _MOST_RESERVE_BYTES)
        self.look()

    def look(self, reusable_bytes: int = 0) -> None:
        """See how much space there is, with what the outbox's file has inside: microseconds."""
        free = self._free_bytes() + reusable_bytes
        self.short = free < self._keep_free_bytes
        self.getting_short = free < _SAID_FROM * self._keep_free_bytes
        if not self.short and not self._reserve.exists():
            self._set_aside()

    def run_out(self) -> bool:
        """The disk is full: give the reserve back; False when it had been given back before."""
        self.short = self.getting_short = True
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    def _free_bytes(self) -> int:
        state = os.statvfs(self._folder)
        return state.f_bavail * state.f_frsize

    def _set_aside(self) -> None:
        if self._free_bytes() < self._keep_free_bytes + self._reserve_bytes:
            return
        # A file system, or a system, that cannot do it goes without.
        with suppress(OSError, AttributeError), self._reserve.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self._reserve_bytes)
