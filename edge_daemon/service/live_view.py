"""The view of a device that a frame loop feeds: it keeps references, and computes when asked.

Whatever costs time (drawing, encoding, adding up) is done by the threads that look. The loop pays
for a few assignments and counters per frame: ``test_live_view.py`` holds it to that. Only the map
of the slide has to be copied by the loop, which owns it, and it is copied only while somebody looks
at it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_daemon.contract.messages import FrameResult, Health, SlideSummary
from edge_daemon.contract.shadow import ShadowReport
from edge_daemon.delivery.mqtt import LinkState, Publisher
from edge_daemon.errors import LeukoError
from edge_daemon.pipeline import Prepared
from edge_daemon.service.advice import STILL_FRAMES, Advice, Seen, advise, of_control
from edge_daemon.service.current_slide import Activity
from edge_daemon.service.health import HealthReporter
from edge_daemon.service.host.readings import Readings
from edge_daemon.service.metrics import FrameMetrics
from edge_daemon.service.progress import Progress
from edge_daemon.service.view import Shown, Standing
from edge_daemon.sources.base import Captured, Frame
from edge_daemon.vision.coverage import Coverage
from edge_daemon.vision.slide import SlideThresholds

LOW_DISK_BYTES = 200 << 20
"""Below this a device still works, and somebody should know."""
_MAP_WANTED_S = 10.0
"""Somebody who asked for the map within this time is still looking."""
_MAP_EVERY_S = 2.0
_MAP_SHARE = 0.01
"""At most this share of the loop's time goes into copies of the map."""


_CONTROL = "control"

_WAITS = {
    "idle": Advice("Start a slide", "No slide is open.", "act"),
    "paused": Advice("Paused", "Go on with the slide, or finish it.", "act"),
}
_SHOW_IT = Advice("Show the label", "The slide begins by itself when it is read.", "act")


class LiveView:
    """A :class:`edge_daemon.service.view.DeviceView` of the daemon this process is."""

    def __init__(
        self,
        progress: Progress,
        health: Callable[[], Health | None] = lambda: None,
        link: Callable[[], LinkState | None] = lambda: None,
        failure: Callable[[], LeukoError | None] = lambda: None,
        readings: Callable[[], Readings | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch a device; what is not there yet may be attached later.

        Args:
            progress: its signs of life; each frame is one.
            health: its last health message.
            link: how the way to the broker stands.
            failure: why results can be delivered no more, for good.
            readings: what the machine said of itself for that message.
            clock: seconds, monotonic.
        """
        self.frames = FrameMetrics()
        self._progress = progress
        self._health = health
        self._link = link
        self._failure = failure
        self._readings = readings
        self._clock = clock
        self._held: dict[str, str] = {}
        self._noted: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._control_failed = False
        self.by_label = False
        """Whether slides begin by their labels, as the loop says at each turn."""
        self.activity: Activity = "screening"
        """What the loop does, as it says at each turn."""
        self._begin()
        self._number = 0

    @property
    def _ended(self) -> SlideSummary | None:
        """The slide that has just ended, while no other has begun."""
        slide = self._summary
        return slide if slide is not None and slide.ended_at is not None else None

    def _begin(self) -> None:
        self._summary: SlideSummary | None = None
        self._shadow: ShadowReport | None = None
        self._shown: Shown | None = None
        self._coverage: Coverage | None = None
        self._copy_map: Callable[[], Coverage] | None = None
        self._cells_needed = SlideThresholds().min_nucleated_cells
        self._recent: tuple[Seen, ...] = ()
        self._highest_id = -1
        self._map_asked_s = float("-inf")
        self._map_due_s = float("-inf")

    def attach(self, publisher: Publisher, health: HealthReporter) -> None:
        """Show from now on how results are delivered, and what is said of the machine."""
        self._health = lambda: health.latest
        self._readings = lambda: health.readings
        self._link = lambda: publisher.link
        self._failure = lambda: publisher.failure

    # --- fed by the frame loop ------------------------------------------------------------------

    def slide_started(
        self,
        copy_map: Callable[[], Coverage] | None = None,
        thresholds: SlideThresholds | None = None,
    ) -> None:
        """A slide begins: nothing of the one before is shown any more.

        Args:
            copy_map: copies the map of the slide; called only inside :meth:`on_frame`.
            thresholds: how many cells an answer needs.
        """
        self._begin()
        self._copy_map = copy_map
        if thresholds is not None:
            self._cells_needed = thresholds.min_nucleated_cells

    def on_frame(self, result: FrameResult, captured: Captured) -> None:
        """A frame got its outcome and its result is stored."""
        now = self._clock()
        self._number += 1
        if isinstance(captured, Frame):
            self._shown = Shown(self._number, result, captured.pixels, now)
        highest = max(
            (cell.unique_id for cell in result.cells if cell.unique_id is not None), default=-1
        )
        new_cells = highest > self._highest_id
        self._highest_id = max(highest, self._highest_id)
        seen = Seen(result.outcome, result.reason, result.saturated, new_cells)
        self._recent = (*self._recent[1 - STILL_FRAMES :], seen)  # others may read the old one
        self.frames.count(result)
        self._progress.turn()
        if now >= self._map_due_s and now - self._map_asked_s < _MAP_WANTED_S:
            self._copy_the_map()

    def on_idle(self, prepared: Prepared) -> None:
        """A frame came that belongs to no slide: it is only shown."""
        captured = prepared.captured
        if isinstance(captured, Frame):
            self._number += 1
            self._shown = Shown(self._number, None, captured.pixels, self._clock())

    def _copy_the_map(self) -> None:
        if self._copy_map is None:
            return
        began = self._clock()
        self._coverage = self._copy_map()
        ended = self._clock()
        self._map_due_s = ended + max(_MAP_EVERY_S, (ended - began) / _MAP_SHARE)

    def on_summary(self, summary: SlideSummary) -> None:
        """The standing of the slide was reported."""
        self._summary = summary

    def on_shadow(self, report: ShadowReport) -> None:
        """The standing of a candidate was reported."""
        self._shadow = report

    def hold(self, what: str, reason: str | None) -> None:
        """Something forbids screening (a control slide that failed, a camera that is gone).

        Args:
            what: a name for it, to lift it again with ``reason`` None.
            reason: one line for the operator.
        """
        self._held = _with(self._held, what, reason)

    def note(self, what: str, text: str | None) -> None:
        """Something is worth knowing and changes nothing; ``text`` None takes it back."""
        self._noted = _with(self._noted, what, text)

    def control(self, line: str | None, *, failed: bool, required: bool) -> None:
        """How the controls stand: ``line`` says why they do not count, None that they do."""
        self._control_failed = failed
        self.note(_CONTROL, None if required else line)
        self.hold(_CONTROL, line if required else None)

    def tell(self, what: str, line: str | None) -> None:
        """The operator should know something that forbids nothing.

        Args:
            what: a name for it, to take it back with ``line`` None.
            line: one line for the operator.
        """
        self._told = _with(self._told, what, line)

    # --- looked at from elsewhere ---------------------------------------------------------------

    def liveness(self) -> Standing:
        """Whether the loop turns."""
        stalled = self._progress.stalled
        return Standing(() if stalled is None else (stalled,))

    def readiness(self) -> Standing:
        """Whether a slide may be screened now."""
        reasons = list(self.liveness().reasons)
        if not self._progress.has_started:
            reasons.append(f"the daemon is {self._progress.doing}")
        reasons += list(self._held.values())
        failure = self._failure()
        if failure is not None:
            reasons.append(str(failure))
        notes = [*self._noted.values(), *self._told.values()]
        link = self._link()
        if link is not None and not link.connected:
            notes.append(f"{link.line}; results wait in the outbox")
        if link is not None and link.trouble is not None:
            notes.append(link.trouble)
        health = self._health()
        if health is not None:
            free = health.disk_free_bytes
            if free is not None and free < LOW_DISK_BYTES:
                notes.append(f"the disk has {free >> 20} MB left: free some space")
            if health.outbox.evicted:
                notes.append(f"{health.outbox.evicted} messages were given up: the outbox is full")
            if health.clock.synchronised is False:
                notes.append("the clock follows no time server")
            notes += health.throttled
        return Standing(tuple(reasons), tuple(notes))

    def health(self) -> Health | None:
        """The last health message."""
        return self._health()

    def link(self) -> LinkState | None:
        """How the way to the broker stands; None before there is one."""
        return self._link()

    def readings(self) -> Readings | None:
        """What the machine said of itself last."""
        return self._readings()

    def slide(self) -> SlideSummary | None:
        """The last standing of the slide."""
        return self._summary

    def shadow(self) -> ShadowReport | None:
        """The last standing of the candidate on this slide."""
        return self._shadow

    def coverage(self) -> Coverage | None:
        """The last copy of the map; asking keeps the copies coming."""
        self._map_asked_s = self._clock()
        return self._coverage

    def newest(self) -> Shown | None:
        """The newest frame with a picture."""
        return self._shown

    def advice(self) -> Advice:
        """What the operator should do next."""
        if not self._progress.has_started and not self._held:
            return Advice("Wait", f"The daemon is {self._progress.doing}.", "act")
        not_ready, control = self.readiness().reasons, self._held.get(_CONTROL)
        if control is not None and self.activity != "idle":  # what is under way goes on
            not_ready = tuple(reason for reason in not_ready if reason != control)
        elif control is not None and not_ready == (control,):
            return of_control(control, failed=self._control_failed)
        for what, line in self._told.items():
            if not not_ready:
                return Advice(what.capitalize(), f"{line[:1].upper()}{line[1:]}.", "act")
        if not not_ready and self.activity != "screening" and self._ended is None:
            return _SHOW_IT if self.by_label and self.activity == "idle" else _WAITS[self.activity]
        return advise(self._recent, self._summary, self._cells_needed, not_ready)


def _with(lines: dict[str, str], name: str, line: str | None) -> dict[str, str]:
    """A new one: others may be reading the old one."""
    rest = {other: text for other, text in lines.items() if other != name}
    return rest if line is None else {**rest, name: line}
