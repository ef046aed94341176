"""A real Mosquitto for tests: on 127.0.0.1, on a free port, with its memory on disk."""

from __future__ import annotations

import getpass
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_daemon.delivery.broker import free_port

_START_TIMEOUT_S = 10.0


class Mosquitto:
    """A broker that can be stopped, killed and started again on the same port.

    ``with Mosquitto(program, folder) as broker:`` starts it; queues, sessions and retained
    messages live in ``folder`` and outlast a stop. ``extra`` is added to its configuration.
    """

    def __init__(
        self, program: Path, folder: Path, *, persistent: bool = True, extra: str = ""
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "mosquitto.conf"
        folder.mkdir(parents=True, exist_ok=True)
        anonymous = "" if "allow_anonymous" in extra else "allow_anonymous true\n"
        # autosave after each change: by default kill -9 loses everything of the last half hour
        memory = (
            f"persistence true\npersistence_location {folder}/\n"
            "autosave_on_changes true\nautosave_interval 1\n"
            if persistent
            else "persistence false\n"
        )
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\n{anonymous}{memory}"
            f"user {getpass.getuser()}\n"  # or root's broker could not write its folder
            f"max_queued_messages 0\nlog_dest file {folder}/mosquitto.log\n{extra}\n"
        )

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen([self._program, "-c", self._config])
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                break
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return
            time.sleep(0.02)
        self.stop()
        log = self.folder / "mosquitto.log"
        said = log.read_text() if log.exists() else "nothing"
        raise RuntimeError(f"Mosquitto did not start; it said: {said}")

    def stop(self) -> None:
        """Stop it in good order: it writes what it remembers to disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it: what it had not written is gone."""
        self._end(signal.SIGKILL)

    def reload(self) -> None:
        """Read the access rules again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(signal.SIGTERM)
