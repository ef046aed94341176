"""``leuko-deploy dashboard ingest`` in a process of its own, which can be killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from deploy.dashboard.database.opening import Database
from deploy.dashboard.errors import DatabaseError
from deploy.dashboard.queries.fleet import listening
from edge_daemon.contract.envelope import utc_now
from edge_daemon.delivery.receiver import wait_until

PATIENCE_S = 60.0


def wait_until_listening(place: str, workers: int) -> None:
    """Until so many workers hear what devices say."""

    def all_listen() -> bool:
        with suppress(DatabaseError), Database(place) as database:
            database.require()
            with database.reading() as connection:
                return len(listening(connection, utc_now()).active) >= workers
        return False

    assert wait_until(all_listen, PATIENCE_S)


class Ingesting:
    """A worker; begun by :meth:`start`, or by ``with``."""

    def __init__(self, place: str, url: str, said: Path, *more: str) -> None:
        self.said = said
        words = ["dashboard", "ingest", "--json", "--database", place, "--broker", url, *more]
        self._command = [sys.executable, "-c", "from deploy.cli import main; main()", *words]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.said.open("ab") as out, self.said.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=out, stderr=log)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    @property
    def log(self) -> str:
        return self.said.with_suffix(".log").read_text()

    @property
    def last(self) -> dict[str, Any]:
        """What it last said of itself."""
        found: dict[str, Any] = json.loads(self.said.read_text().splitlines()[-1])
        return found

    @property
    def cpu_s(self) -> float:
        """Time that processors gave it; while it lives."""
        assert self.process is not None
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def most_mb(self) -> float:
        """Most memory that it ever held; while it lives."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        (found,) = re.findall(r"VmHWM:\s+(\d+) kB", text)
        return int(found) / 1024

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)
