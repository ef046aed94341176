"""Processes that begin in milliseconds, to be killed: forked by a server that has imported it all.

A start of Python with everything the daemon imports takes a second, and 200 of them take minutes;
a fork takes some milliseconds. What is forked is a process like any other: it opens its own files,
and ``kill -9`` ends it as any other.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

_PRELOADED = [
    "tests.deploy.rollout.device_process",
    "tests.deploy.rollout.process",
    "tests.edge_daemon.delivery.central",
    "tests.edge_daemon.delivery.writer",
    "tests.edge_daemon.service.screening_process",
]


class Child:
    """A process that says things through a pipe: ``said`` is all of them once it has ended."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        self._ear, mouth = context.Pipe(duplex=False)
        self.process = context.Process(target=target, args=(*arguments, mouth), daemon=True)
        with _without_main():
            self.process.start()
        mouth.close()  # so that the end of the child ends the pipe

    def hear(self, timeout_s: float = 60.0) -> Any:
        """The next thing it says."""
        if not self._ear.poll(timeout_s):
            raise TimeoutError(f"the child said nothing for {timeout_s:g} s")
        return self._ear.recv()

    def hear_some(self, count: int) -> list[Any]:
        """The next ``count`` things it says."""
        return [self.hear() for _ in range(count)]

    def heard(self) -> list[Any]:
        """What it has said by now and was not heard yet."""
        said = []
        while self._ear.poll():
            said.append(self._ear.recv())
        return said

    def kill(self) -> list[Any]:
        """``kill -9``; what it had said before, as far as it was not heard yet."""
        self.process.kill()
        said = list(_left(self._ear))
        self.process.join(60)
        return said


def _left(ear: Connection) -> Iterator[Any]:
    with suppress(EOFError, OSError):  # the last word may be cut
        while True:
            yield ear.recv()


@contextmanager
def _without_main() -> Iterator[None]:
    """The child shall not import the program that runs the tests once more."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    main.__spec__ = None
    if file is not None:
        del main.__file__
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file
