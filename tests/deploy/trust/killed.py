"""Work that is killed, by the kernel and for good, before the n-th thing it does to the disk."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_WRITING = os.O_WRONLY | os.O_RDWR
_CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.link")


def killed_before(step: int, folder: Path, work: Callable[[], object]) -> bool:
    """Do ``work`` in a process of its own; True when it was killed, False when it came through.

    Counted is what changes ``folder`` on the disk, as the interpreter tells its audit hooks.
    """
    child = os.fork()
    if child == 0:
        _work(step, folder, work)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the work failed by itself"
    return False


def _work(step: int, folder: Path, work: Callable[[], object]) -> None:
    left = step

    def hook(event: str, args: tuple[object, ...]) -> None:
        nonlocal left
        writes = event == "open" and isinstance(args[2], int) and args[2] & _WRITING
        if not (writes or event in _CHANGES) or not str(args[0]).startswith(str(folder)):
            return
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    try:
        sys.addaudithook(hook)
        work()
    except BaseException as error:  # noqa: BLE001 - this process must never return into pytest
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)
