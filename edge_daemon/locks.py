"""A file that one process holds at a time; the kernel lets go of it when the process ends.

However it ends: after ``kill -9`` nothing has to be cleaned up, and nothing that lies about is
taken for a process that lives.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

_LOOK_AGAIN_S = 0.05


class FileLock:
    """The lock at one path. Its holder removes the file when it lets go of it in good order."""

    def __init__(self, path: Path, *, within_s: float = 0.0) -> None:
        """Take the lock, if need be when another process has let go of it ``within_s``.

        Raises:
            BlockingIOError: another process holds it.
            OSError: the file cannot be made.
        """
        self.path = path
        until = time.monotonic() + within_s
        while True:
            try:
                self._handle: int | None = _locked(path)
                return
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise
            time.sleep(_LOOK_AGAIN_S)

    def release(self) -> None:
        """Let go of it; idempotent."""
        if self._handle is not None:
            with suppress(OSError):  # a folder that is gone has no file in it
                self.path.unlink()
            os.close(self._handle)
            self._handle = None


def _locked(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed it between our opening and our locking it.
            if _is_at(path, handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
