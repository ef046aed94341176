"""A live camera of whatever kind: read in a thread, watched over, opened again when it is lost.

An unplugged camera may block its reader for ever, return nothing, or hand out its last picture
again and again. So one thread reads (:mod:`edge_daemon.sources.reader`) and another watches it: a
reader that waits too long for its driver is given up. What was lost is handed out as one
UnreadableFrame with the reason, told to the operator in one line, and opened again with growing
pauses until it is back, which is one more line. Nothing else ever takes its place: a daemon that
goes on with another picture than the one under the objective would be worse than one that stops.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from typing_extensions import Self

from edge_daemon.errors import AbsentSourceError, SourceError
from edge_daemon.sources.backpressure import WaitingFrames
from edge_daemon.sources.base import Captured, EventKind, OnEvent, SourceEvent, UnreadableFrame
from edge_daemon.sources.device import EndOfFrames, LiveSettings, OpenDevice
from edge_daemon.sources.lifecycle import Clock, Lifecycle, SteadyClock, utc_now
from edge_daemon.sources.loss import Loss, plugged_in
from edge_daemon.sources.reader import Intake, Reader

_LOOK_EVERY_S = 0.05
_JOIN_S = 1.0
_LIVED_WELL_S = 10.0
"""A camera that comes and goes faster than this is not opened again ever more often."""
_MOST_HANGING = 10
_JITTER = (0.75, 1.0)
"""Cameras that were lost together, with their switch or hub, do not all come back at once."""
_REFUSED_FOR_S = 5.0
_ASKED_AFTER_S = 0.25
"""A driver that holds a read of a camera that is gone would be waited for to no end."""

log = logging.getLogger(__name__)


class LiveCamera:
    """The frames of one camera, all of field 0: it shows one continuous passage over the slide.

    With back-pressure ``every_frame`` the reader waits for the pipeline; the driver's own few
    buffers may then age or overflow, which no driver reports. Drops by ``latest`` are handed out.
    """

    def __init__(
        self,
        name: str,
        open_device: OpenDevice,
        settings: LiveSettings,
        *,
        um_per_px: float | None = None,
        stop: threading.Event | None = None,
        on_event: OnEvent | None = None,
        clock: Clock = utc_now,
        hidden: tuple[str, ...] = (),
        may_come_later: bool = False,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            name: what the camera is called in logs and messages.
            open_device: finds and opens it, each time anew.
            settings: deadlines and back-pressure.
            um_per_px: scale of the pictures, if known.
            stop: ends the iteration when it is set from elsewhere.
            on_event: told what the operator must know, beside the log.
            clock: tells the present time in UTC.
            hidden: words (a password) that never get into a line, whoever wrote it.
            may_come_later: a camera that is absent at the start is waited for as one that was
                lost, unless ``reopen`` is off.
        """
        self._name = name
        self._open_device = open_device
        self._live = settings
        self._um_per_px = um_per_px
        self._stop = stop or threading.Event()
        self._on_event = on_event
        self._clock = SteadyClock(clock)
        self._loss = Loss(name, reopens=settings.reopen, hidden=hidden)
        self._may_come_later = may_come_later and settings.reopen
        self._life = Lifecycle(name)
        self._waiting = WaitingFrames(settings.back_pressure, settings.waiting_frames)
        self._intake = Intake(self._waiting)
        self._ready = threading.Event()
        self._refused: SourceError | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._trouble: str | None = None
        self._slow: str | None = None
        self._lost_at_s: float | None = None
        self._lives_since_s = 0.0
        self._attempt = ""
        self._was_frozen = False
        self._refused_since_s: float | None = None
        self._took = ""
        self._shape: tuple[int, ...] | None = None
        self._reader: Reader | None = None
        self._watch: threading.Thread | None = None

    @property
    def name(self) -> str:
        """What the camera is called, such as ``camera://0``."""
        return self._name

    @property
    def frame_count(self) -> int | None:
        """Nobody knows: a camera has no end."""
        return None

    @property
    def description(self) -> str:
        """The name, and what the camera took of its settings, once it has been open."""
        return f"{self._name}: {self._took}" if self._took else self._name

    @property
    def trouble(self) -> str | None:
        """The line that says what is wrong at the moment, or None."""
        return self._trouble or self._slow

    def __enter__(self) -> Self:
        """Open the camera, or begin to wait for it.

        Raises:
            AbsentSourceError: it is absent, busy, or does not answer in time, and may not come
                later.
            SourceError: it can never be opened as it was asked for.
        """
        self._life.open()
        self._watch = threading.Thread(
            target=self._watch_over, name=f"watch {self._name}", daemon=True
        )
        self._watch.start()
        self._ready.wait()
        if self._refused is not None:
            self._close()
            raise self._refused
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def __iter__(self) -> Iterator[Captured]:
        """Frames as they come, until it is told to stop. SourceError where ``reopen`` is off."""
        self._life.iterate()
        return self._frames()

    def _frames(self) -> Iterator[Captured]:
        while True:
            self._life.require_open()
            if self._stop.is_set():
                return
            try:
                captured = self._waiting.take(_LOOK_EVERY_S)
            except EndOfFrames:
                return
            self._life.require_open()
            if captured is not None:
                yield captured

    def _close(self) -> None:
        self._life.close()
        self._closing.set()
        self._waiting.close()
        reader = self._reader
        if reader is not None:
            reader.give_up()
            # One that the driver blocks for ever cannot be ended; it is a daemon thread.
            reader.join(_JOIN_S)
        if self._watch is not None:
            self._watch.join(_JOIN_S)

    # What follows runs in the watch's thread.

    def _watch_over(self) -> None:
        try:
            self._open_until_stopped()
        except Exception as error:  # noqa: BLE001 a fault of ours: it must not end in silence
            self._end(SourceError(f"{self._name}: reading it failed ({error!r}): start it again"))
        finally:
            self._ready.set()

    def _open_until_stopped(self) -> None:
        pause_s = self._live.reopen_min_s
        hanging: list[Reader] = []
        while not self._stopping():
            hanging = [reader for reader in hanging if not reader.ended.is_set()]
            if len(hanging) >= _MOST_HANGING:
                self._end(
                    SourceError(
                        f"{self._name}: the camera's driver hangs and does not let it go: unplug "
                        "the camera, then start again"
                    )
                )
                return
            reader = self._reader = self._new_reader()
            reader.start()
            what = self._what_happened(reader)
            reader.give_up()
            if what is None:
                return
            if isinstance(what, EndOfFrames):
                self._waiting.end(what)
                return
            hanging.append(reader)
            self._was_frozen |= reader.froze
            if not self._loss.seen_before:
                if not self._waits_on(what):
                    return
            elif self._trouble is not None:  # told before; it is still so
                if str(what) != self._attempt:
                    log.info("%s", what)
                self._attempt = str(what)
            elif not self._lose(str(what)):
                return
            elif time.monotonic() - self._lives_since_s > _LIVED_WELL_S:
                pause_s = self._live.reopen_min_s
            self._wait(pause_s * random.uniform(*_JITTER))
            pause_s = min(2 * pause_s, self._live.reopen_max_s)

    def _waits_on(self, what: SourceError) -> bool:
        """A camera that was never there: told, and waited for; False when it can never come."""
        absent = isinstance(what, AbsentSourceError)
        if not self._ready.is_set() and not (absent and self._may_come_later):
            self._refused = what
            return False
        now_s = time.monotonic()
        if absent:
            self._refused_since_s = None
        elif self._refused_since_s is None:
            # One that is just being plugged in may not be ready, nor be ours to read yet.
            self._refused_since_s = now_s
        elif now_s - self._refused_since_s > _REFUSED_FOR_S:
            self._end(what)
            return False
        if str(what) != self._attempt:
            self._attempt = str(what)
            said = self._attempt.removeprefix(f"{self._name}: ")
            line = f"{self._name}: it is not there yet ({said}): it is opened as soon as it is"
            with self._lock:
                self._lost_at_s = self._lost_at_s or now_s
                first, self._trouble = self._trouble is None, line
            if first:
                self._tell("lost", line)
            else:
                log.warning("%s", line)
        self._ready.set()
        return True

    def _new_reader(self) -> Reader:
        return Reader(
            self._name,
            self._open_device,
            self._live,
            self._intake,
            self,
            self._clock,
            um_per_px=self._um_per_px,
            shape=self._shape,
            suspect=self._trouble is not None,
            was_frozen=self._was_frozen,
        )

    def _what_happened(self, reader: Reader) -> SourceError | EndOfFrames | None:
        """Wait until the reader is over or hangs, and say how; None when it shall stop."""
        limit_s = self._live.open_timeout_s
        while not reader.ended.wait(_LOOK_EVERY_S):
            if self._stopping():
                return None
            if reader.opened.is_set() and not self._ready.is_set():
                self._opened(reader)
            if reader.opened.is_set():
                limit_s = reader.limit_s
            waits_s = reader.waits_for_s(time.monotonic())
            if waits_s >= limit_s or (waits_s >= _ASKED_AFTER_S and not plugged_in(reader)):
                return self._loss.hung(reader, limit_s)
        if reader.opened.is_set() and not self._ready.is_set():
            self._opened(reader)
        if self._stopping() or reader.error is None:
            return None
        return self._loss.reason(reader, reader.error)

    def _opened(self, reader: Reader) -> None:
        self._loss.seen_before = True
        self._took = self._loss.clean(reader.device.description) if reader.device else ""
        self._tell("opened", self.description, logging.INFO)
        self._ready.set()

    def _lose(self, line: str) -> bool:
        """Tell the operator and the ledger; False when that is the end of the source."""
        if not self._live.reopen:
            self._end(SourceError(line))
            return False
        with self._lock:
            self._trouble, self._slow = line, None
            self._lost_at_s = time.monotonic()
        self._tell("lost", line)
        at = self._clock()
        return self._intake.put(lambda index: UnreadableFrame(index, self._name, at, line))

    def _end(self, error: SourceError) -> None:
        self._trouble = str(error)
        if not self._ready.is_set():
            self._refused = error
        self._waiting.end(error)

    def _wait(self, pause_s: float) -> None:
        until_s = time.monotonic() + pause_s
        while not self._stopping() and (left_s := until_s - time.monotonic()) > 0:
            self._closing.wait(min(left_s, _LOOK_EVERY_S))

    def _stopping(self) -> bool:
        return self._closing.is_set() or self._stop.is_set()

    def _tell(self, kind: EventKind, line: str, level: int = logging.WARNING) -> None:
        log.log(level, "%s", line)
        if self._on_event is not None:
            self._on_event(SourceEvent(self._clock(), kind, line))

    # What follows runs in a reader's thread.

    def reader_sees(self, reader: Reader) -> None:
        """A first good picture: the camera lives, or lives again."""
        if reader is not self._reader:
            return
        self._loss.seen_before = True
        self._shape = reader.shape
        self._lives_since_s = time.monotonic()
        with self._lock:
            if self._trouble is None or self._lost_at_s is None:
                return
            gone_s = time.monotonic() - self._lost_at_s
            self._trouble = self._lost_at_s = None
            self._was_frozen = False
        self._took = self._loss.clean(reader.device.description) if reader.device else ""
        self._tell("back", f"{self._name}: the camera is back after {gone_s:.1f} s: {self._took}")

    def reader_pace(self, slow: bool, rate: float) -> None:
        """The camera has become slow, or gives its pictures in time again."""
        if slow:
            self._slow = (
                f"{self._name}: the camera gives {rate:.1f} pictures per second, less than half of "
                "what it should: shorten the exposure, or give it a USB port of its own"
            )
            self._tell("slow", self._slow)
        else:
            self._slow = None
            self._tell("steady", f"{self._name}: {rate:.1f} pictures per second again")
