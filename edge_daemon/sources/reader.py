"""One thread that opens a camera, reads it and closes it; and is given up when it hangs.

A driver may block a read for ever, and nothing ends such a thread. So the thread belongs to one
opening of the camera: whoever watches over it gives it up and starts another, and the old one
closes its device itself if it ever comes back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from edge_daemon.errors import SourceError
from edge_daemon.sources.backpressure import WaitingFrames
from edge_daemon.sources.base import Captured, Frame, UnreadableFrame
from edge_daemon.sources.device import Device, LiveSettings, OpenDevice, Shot
from edge_daemon.sources.liveness import LivenessWatch
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.torn import TornWatch, row_prints

_PROOF = 2
"""Good pictures, one unlike the other, by which a camera shows that it lives."""


class Intake:
    """Gives what comes its index and its place in the line, whichever thread read it."""

    def __init__(self, waiting: WaitingFrames) -> None:
        self._waiting = waiting
        self._next = 0
        self._lock = threading.Lock()

    def put(
        self, make: Callable[[int], Captured], wanted: Callable[[], bool] = lambda: True
    ) -> bool:
        """Add what ``make`` makes of the next index, unless it is no longer ``wanted``."""
        with self._lock:
            if not wanted():
                return False
            index = self._next
            self._next += 1
            return self._waiting.put(make(index))


class Listener(Protocol):
    """Who wants to know how the reading goes; called in the reader's thread."""

    def reader_sees(self, reader: Reader) -> None:
        """The camera has shown that it lives."""

    def reader_pace(self, slow: bool, rate: float) -> None:
        """The camera has become slow, or steady again."""


class Reader:
    """Opens, reads and closes one camera, once.

    ``ended`` is set when it is over, for the reason in ``error``: a SourceError whose text is what
    happened (without the source's name and without advice), or EndOfFrames.
    """

    def __init__(
        self,
        name: str,
        open_device: OpenDevice,
        settings: LiveSettings,
        intake: Intake,
        listener: Listener,
        clock: Callable[[], datetime],
        *,
        um_per_px: float | None = None,
        shape: tuple[int, ...] | None = None,
        suspect: bool = False,
        was_frozen: bool = False,
    ) -> None:
        """Prepare.

        Args:
            name: of the source.
            open_device: finds and opens the camera.
            settings: deadlines.
            intake: where what is read goes.
            listener: told how it goes.
            clock: tells the present time in UTC.
            um_per_px: scale of the pictures, if known.
            shape: that of the pictures before; others are refused.
            suspect: the camera was lost before. Nothing is handed out until it gives two good
                pictures that differ: a frozen camera that is opened again is still frozen.
            was_frozen: it was lost because its picture stood still.
        """
        self._name = name
        self._open_device = open_device
        self._settings = settings
        self._intake = intake
        self._listener = listener
        self._clock = clock
        self._um_per_px = um_per_px
        self._suspect = suspect
        self._was_frozen = was_frozen
        self.froze = False
        """It has ended because the picture stood still."""
        self.shape = shape
        self.device: Device | None = None
        self.opened = threading.Event()
        self.limit_s = settings.first_frame_timeout_s
        """How long it may wait for the driver, once it is open."""
        self.ended = threading.Event()
        self.error: Exception | None = None
        self.cannot_open = False
        self._given_up = threading.Event()
        self._waits_since_s: float | None = time.monotonic()
        self._good_s = time.monotonic()
        self.flaw: str | None = None
        """What is wrong with the last picture."""
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def give_up(self) -> None:
        """Nothing more is wanted of it; it closes its device as soon as it can."""
        self._given_up.set()

    def join(self, timeout_s: float) -> None:
        """Wait for its end, no longer than that: a driver may hold it for ever."""
        self._thread.join(timeout_s)

    def waits_for_s(self, now_s: float) -> float:
        """For how long it has waited for a good picture of the driver; 0 while it does not.

        Bad pictures do not count: the next one may come never.
        """
        since_s = self._waits_since_s
        return 0.0 if since_s is None else now_s - min(since_s, self._good_s)

    # What follows runs in the thread.

    def _run(self) -> None:
        try:
            with self._waiting():
                self.device = self._open_device()
            self._good_s = time.monotonic()
            self.opened.set()
            self._read(self.device)
        except Exception as error:  # noqa: BLE001 it would die with the thread: its watch gets it
            self.error = error
            self.cannot_open = self.device is None
        finally:
            self._close()
            self.ended.set()

    def _close(self) -> None:
        if self.device is not None:
            try:
                self.device.close()
            except Exception as error:  # noqa: BLE001 a broken driver; the camera is lost anyway
                self.error = self.error or error

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self._waits_since_s = time.monotonic()
        try:
            yield
        finally:
            self._waits_since_s = None

    def _wanted(self) -> bool:
        return not self._given_up.is_set()

    def _read(self, device: Device) -> None:
        settings = self._settings
        alive, torn = LivenessWatch(settings.frozen_after_s, self._was_frozen), TornWatch()
        pace = Pace(device.fps)
        good_in_a_row = bad_in_a_row = failed = 0
        proven = False
        while self._wanted():
            began_s = time.monotonic()
            with self._waiting():
                shot = device.read()
            now_s, at = time.monotonic(), self._clock()
            flaw = shot.flaw or self._wrong_shape(shot)
            if flaw is None and shot.pixels is not None:
                prints = row_prints(shot.pixels)
                alive.look(prints, shot.driver_ms, now_s, shot.predicted)
                failed = 0
                if settings.refuse_torn:
                    flaw = torn.look(shot.pixels, prints, shot.predicted)
            else:
                failed += 1
            frozen_s = alive.frozen_for_s(now_s)
            if frozen_s is not None:
                self.froze = True
                raise SourceError(
                    f"the camera has shown the same picture for {frozen_s:.1f} s, it is frozen"
                )
            self.flaw = flaw
            good_in_a_row = 0 if flaw else good_in_a_row + 1
            bad_in_a_row = bad_in_a_row + 1 if flaw else 0
            if not proven and good_in_a_row >= _PROOF and alive.changes:
                proven = True
                if self._wanted():
                    self._listener.reader_sees(self)
            handed_out = proven or not self._suspect
            if handed_out and not self._intake.put(self._captured(shot, flaw, at), self._wanted):
                return
            if flaw is None:
                self.limit_s = settings.frame_timeout_s
                self._good_s = time.monotonic()  # later than now_s where the pipeline made it wait
            elif failed >= settings.failed_reads:
                raise SourceError(
                    f"{failed} reads in a row gave no picture, the camera has stopped"
                )
            elif now_s - self._good_s >= self.limit_s:
                waited = f"{now_s - self._good_s:.1f} s"
                raise SourceError(
                    f"no frame for {waited}, the camera has stopped"
                    if failed == bad_in_a_row
                    else f"no good picture for {waited} ({flaw})"
                )
            changed = pace.read(now_s - began_s)
            if changed is not None and self._wanted():
                self._listener.reader_pace(*changed)

    def _wrong_shape(self, shot: Shot) -> str | None:
        if shot.pixels is None:
            return "the camera gave no picture: check its cable"
        if self.shape is not None and shot.pixels.shape != self.shape:
            had, got = (f"{s[1]} x {s[0]}" for s in (self.shape, shot.pixels.shape))
            return f"the picture is {got} pixels, the ones before {had} (torn): check the USB cable"
        self.shape = shot.pixels.shape
        return None

    def _captured(self, shot: Shot, flaw: str | None, at: datetime) -> Callable[[int], Captured]:
        name = self._name
        if flaw is not None or shot.pixels is None:
            return lambda index: UnreadableFrame(index, name, at, f"{name}: {flaw}")
        pixels = shot.pixels
        scale = self._um_per_px if shot.um_per_px is None else shot.um_per_px
        return lambda index: Frame(index, name, at, pixels, um_per_px=scale, stage=shot.stage)
