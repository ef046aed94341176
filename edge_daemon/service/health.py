"""How the device fares: speed, latency per stage, losses, and the machine itself, at intervals."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from types import TracebackType

import numpy as np
from typing_extensions import Self

from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.findings import FrameCounts, Latency
from edge_daemon.contract.messages import EngineInUse, FrameResult, Health
from edge_daemon.contract.terms import Outcome
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.errors import DiskFullError, OutboxError
from edge_daemon.service.host.readings import Host, Readings

_log = logging.getLogger(__name__)

GLASS_TO_OUTBOX = "glass_to_outbox"
"""The stage that is all others together: from the capture to the commit on disk."""
_RECENT_FRAMES = 500  # about 20 s at 25 frames/s: percentiles of now, not of the whole day


def glass_to_outbox_ms(frame: FrameResult) -> float | None:
    """Time from the capture of a frame until now; None where the clock was set in between."""
    spent_ms = (utc_now() - frame.captured_at).total_seconds() * 1e3
    return spent_ms if spent_ms >= 0 else None


class HealthReporter:
    """Sends a health message at once, and every ``every_s`` seconds, from a thread of its own.

    :meth:`frame` may be called from any thread.
    """

    def __init__(
        self,
        publisher: Publisher,
        outbox: Outbox,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
        host: Host | None = None,
        engines: tuple[EngineInUse, ...] = (),
    ) -> None:
        self.latest: Health | None = None
        """The last message that was made."""
        self.readings: Readings | None = None
        """What the machine said of itself for that message."""
        self.control: str | None = None
        """Why a control does not count; may be set from any thread."""
        self.engines = engines
        """The networks in use; likewise."""
        self._host = host or Host(outbox.path.parent)
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
        """Count one frame's outcome and times, when its result has been stored."""
        whole_ms = glass_to_outbox_ms(frame)
        with self._lock:
            if whole_ms is not None:
                self._stages[GLASS_TO_OUTBOX].append(whole_ms)
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
        read = self._host.read()
        now = self._clock()
        with self._lock:
            fps = self._since_report / max(now - self._reported_s, 1e-6)
            self._since_report, self._reported_s = 0, now
            ended = self._outcomes
            message = Health(
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
                temperatures_c=read.temperatures_c,
                disk_free_bytes=read.disk_free_bytes,
                memory_bytes=read.memory_bytes,
                outbox=depth,
                power_w=read.power_w,
                throttled=read.throttled,
                clock=read.clock,
                control=self.control,
                engines=self.engines,
            )
        self.latest, self.readings = message, read
        return message

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
        while True:
            try:
                self._publisher.publish_health(self.message())
            except DiskFullError as error:
                _log.warning("no health message could be made: %s", error)
            except OutboxError:  # the loop that writes results meets it too, and reports it
                return
            except Exception:  # noqa: BLE001 - a thread must not die unseen; the next may succeed
                _log.exception("no health message could be made")
            if self._stopping.wait(self._every_s):
                return


def _latency(times_ms: deque[float]) -> Latency:
    p50, p95, p99 = np.percentile(times_ms, [50, 95, 99])
    return Latency(p50_ms=float(p50), p95_ms=float(p95), p99_ms=float(p99))
