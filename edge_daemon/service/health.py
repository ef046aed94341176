"""How the device fares: speed, latency per stage, losses, disk and memory, sent at intervals."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from typing_extensions import Self

from edge_daemon.contract.findings import FrameCounts, Latency
from edge_daemon.contract.messages import FrameResult, Health
from edge_daemon.contract.terms import Outcome
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.errors import OutboxError

_RECENT_FRAMES = 500  # about 20 s at 25 frames/s: percentiles of now, not of the whole day


class HealthReporter:
    """Sends a health message every ``every_s`` seconds from a thread of its own.

    :meth:`frame` may be called from any thread.
    """

    def __init__(
        self,
        publisher: Publisher,
        outbox: Outbox,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = publisher
        self._outbox = outbox
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._outcomes: Counter[Outcome] = Counter()
        self._drops: Counter[str] = Counter()
        self._stages: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_RECENT_FRAMES))
        self._started_s = clock()
        self._reported_s = self._started_s
        self._since_report = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def every(self, seconds: float) -> None:
        """Report at another interval, from the next report on."""
        self._every_s = seconds

    def frame(self, frame: FrameResult) -> None:
        """Count one frame's outcome and times."""
        with self._lock:
            self._since_report += 1
            self._outcomes[frame.outcome] += 1
            if frame.outcome == "dropped":
                self._drops[frame.reason or "unknown"] += 1
            for stage, spent_ms in frame.timings_ms.items():
                self._stages[stage].append(spent_ms)

    def message(self) -> Health:
        """The health of the device since the last call."""
        envelope = self._outbox.passing_envelope(self._publisher.origin)
        depth = self._outbox.depth()
        now = self._clock()
        with self._lock:
            fps = self._since_report / max(now - self._reported_s, 1e-6)
            self._since_report, self._reported_s = 0, now
            ended = self._outcomes
            return Health(
                **envelope,
                uptime_s=now - self._started_s,
                fps=fps,
                frames=FrameCounts(
                    captured=sum(ended.values()),
                    analysed=ended["analysed"],
                    rejected=ended["rejected"],
                    dropped=ended["dropped"],
                    failed=ended["failed"],
                ),
                latency={stage: _latency(times) for stage, times in self._stages.items()},
                queues={},
                drops=dict(self._drops),
                temperatures_c=temperatures_c(),
                disk_free_bytes=shutil.disk_usage(self._outbox.path.parent).free,
                memory_bytes=resident_bytes(),
                outbox=depth,
            )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        # An outbox that broke meets the loop that writes results too, which reports it.
        with suppress(OutboxError):
            while not self._stopping.wait(self._every_s):
                self._publisher.publish_health(self.message())


def _latency(times_ms: deque[float]) -> Latency:
    p50, p95, p99 = np.percentile(times_ms, [50, 95, 99])
    return Latency(p50_ms=float(p50), p95_ms=float(p95), p99_ms=float(p99))


def resident_bytes() -> int | None:
    """Resident memory of this process; None where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def temperatures_c(thermal: Path = Path("/sys/class/thermal")) -> dict[str, float]:
    """Degrees Celsius per thermal zone, as the kernel names them; empty where there are none."""
    found: dict[str, float] = {}
    for zone in sorted(thermal.glob("thermal_zone*")):
        with suppress(OSError, ValueError):  # a zone that is switched off has no reading
            name = (zone / "type").read_text().strip()
            found[name] = int((zone / "temp").read_text()) / 1000
    return found
