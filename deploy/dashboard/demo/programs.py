"""Programs that run beside the demo, each in a process of its own; all are ended with it."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_daemon.errors import LeukoError

_LAST_WORDS_S = 8.0
DEPLOY = ("-c", "from deploy.cli import main; main()")
EDGE = ("-m", "edge_daemon.cli")


class Program:
    """One of them; what it says on standard error goes into a file."""

    def __init__(self, name: str, words: tuple[str, ...], folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as errors:
            # a session of its own: Ctrl-C reaches the demo, which ends them in their order
            self._process = subprocess.Popen(
                [sys.executable, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._said: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        for line in self._process.stdout:
            self._said.put(line.decode(errors="replace").rstrip())

    def line(self, timeout_s: float) -> str:
        """The next line that it says.

        Raises:
            LeukoError: it ended, or says nothing for so long.
        """
        for _ in range(int(10 * timeout_s)):
            with suppress(queue.Empty):
                return self._said.get(timeout=0.1)
            if not self.runs:
                break
        raise LeukoError(f"{self.name} did not start; it said: {self.last_words or 'nothing'}")

    @property
    def runs(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    @property
    def failed(self) -> bool:
        """Whether it ended by itself with an error."""
        return self._process.poll() not in (None, 0)

    @property
    def last_words(self) -> str:
        """The end of what it said on standard error."""
        return self._log.read_text(errors="replace").strip()[-2000:]

    def ask_to_end(self) -> None:
        """Tell it to stop; idempotent."""
        if self.runs:
            self._process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Wait until it has ended, and end it where it does not."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_WORDS_S)
        self._process.kill()
        self._process.wait()


class Programs:
    """``with Programs(folder) as programs:``; what was started last is ended first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Program] = []

    def start(self, name: str, *words: str) -> Program:
        """Start one."""
        one = Program(name, words, self._folder)
        self._running.append(one)
        return one

    def require_all(self) -> None:
        """Raise :class:`LeukoError` with the last words of one that failed."""
        for one in self._running:
            if one.failed:
                raise LeukoError(f"{one.name} ended; it said: {one.last_words or 'nothing'}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for one in reversed(self._running):
            one.ask_to_end()
        for one in reversed(self._running):
            one.wait()
