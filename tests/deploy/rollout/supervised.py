"""A stand-in for systemd: what the units in `deploy/systemd` have it do, with shorter pauses.

systemd itself does not run where the tests do.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

RESTART_S = 1.0
"""``RestartSec`` is 10 s for the daemon and 60 s for the updater."""
_STAYS_DOWN = (0, 2, 3)
"""``Restart=on-failure`` and ``RestartPreventExitStatus``."""
_STOP_WITHIN_S = 10.0


class Unit:
    """Starts a program again when it fails, and when a file is touched, if there is one to watch.

    The program is a link that may point elsewhere at each start.
    """

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        log: Path,
        watched: Path | None = None,
    ) -> None:
        self._command, self._environment = command, dict(environment)
        self._log, self._watched = log, watched
        self._touched = self._stamp()
        self._process: subprocess.Popen[bytes] | None = None
        self._over, self._again = threading.Event(), threading.Event()
        self._start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            if self._stamp() != self._touched or self._again.is_set():
                self._touched = self._stamp()
                self._again.clear()
                self._end()
                self._start()
            ended = None if self._process is None else self._process.poll()
            if ended is not None:
                self._process = None
                if ended not in _STAYS_DOWN:
                    time.sleep(RESTART_S)
                    self._start()

    def _stamp(self) -> int | None:
        if self._watched is None or not self._watched.exists():
            return None
        return self._watched.stat().st_mtime_ns

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self) -> None:
        """By hand."""
        self._again.set()

    def kill(self) -> None:
        """As when the power goes."""
        self._over.set()
        self._thread.join()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
