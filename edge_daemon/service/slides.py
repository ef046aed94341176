"""Slides one after another, as commands say: begun, paused, gone on with, finished, aborted.

One loop owns the networks. Between two frames it carries out the commands that wait; then it takes
the next frame of the source and gives it to the slide under way. Without a slide, or while it is
paused, the frames of a camera are only shown; those of a file are left where they are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import Field

from edge_daemon.ahead import EndOfItems, Feed
from edge_daemon.config import LabelSettings
from edge_daemon.contract.base import Name, StrictModel
from edge_daemon.contract.envelope import Reason
from edge_daemon.contract.messages import Command, FrameResult, SlideSummary
from edge_daemon.errors import LeukoError
from edge_daemon.ledger.slides import SlideLedger, Unfinished
from edge_daemon.pipeline import Prepared
from edge_daemon.service.commands import CommandDesk, CommandError, Handler, NoArgs, arguments
from edge_daemon.service.current_slide import Activity, CurrentSlide, SlideDefaults
from edge_daemon.service.label import LabelStarts, LabelWatch
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSetup
from edge_daemon.sources.base import Captured, Frame, Source
from edge_daemon.vision.label import LabelReader

TURN_S = 0.05
"""Longest wait for a frame before commands are looked at."""
CLOSING_S = 0.5
"""A slide that is finished waits so long for frames that were captured before that."""

log = logging.getLogger(__name__)


class _StartArgs(StrictModel):
    slide: Name | None = None
    operator: Name | None = None
    objective: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    control: bool = False
    """It is the control slide."""
    from_label: bool = False
    """Take the name from the label that the camera sees now."""


class _AbortArgs(StrictModel):
    reason: Reason | None = None


class SlideService:
    """The loop, for the thread that owns the networks; any thread may ask for the activity."""

    def __init__(
        self,
        source: Source,
        prepare: Callable[[Captured], Prepared],
        open_run: Callable[[SlideSetup, Unfinished | None], SlideRun],
        ledger: SlideLedger,
        desk: CommandDesk,
        bundle: str,
        *,
        defaults: SlideDefaults = SlideDefaults(),
        on_frame: Callable[[FrameResult, Captured], None] = lambda _result, _captured: None,
        on_idle: Callable[[Prepared], None] = lambda _prepared: None,
        on_summary: Callable[[SlideSummary], None] = lambda _summary: None,
        on_turn: Callable[[], None] = lambda: None,
        why_no_slide: Callable[[], str | None] = lambda: None,
        on_label: Callable[[str | None], None] = lambda _line: None,
        other_commands: Mapping[str, Handler] | None = None,
        more_status: Callable[[], dict[str, Any]] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """An entered ``source``, screened slide by slide.

        Args:
            source: read in another thread, once.
            prepare: the first half of the pipeline, called in that thread.
            open_run: makes the run of a new slide, or of one that is taken up again.
            ledger: of this device.
            desk: where commands wait.
            bundle: digest of the models in use.
            defaults: what the configuration says of slides.
            on_frame: called with every result and what it is of.
            on_idle: called with frames that belong to no slide.
            on_summary: called with every standing that was reported.
            on_turn: called at each turn of the loop.
            why_no_slide: why no slide may begin now; None where one may.
            on_label: called with what the operator should know of a label; None when nothing.
            other_commands: by name, what carries out commands that are not about slides.
            more_status: what belongs into the answer to ``status`` besides.
            clock: seconds, monotonic.
        """
        self.current = CurrentSlide(
            source, open_run, ledger, bundle, defaults, on_summary, why_no_slide
        )
        self._begins_by_itself = False
        self._source = source
        self._endless = source.frame_count is None
        self._watch = LabelWatch(
            prepare, lambda: self.current.defaults.labels, endless=self._endless, clock=clock
        )
        self._labels = LabelStarts(self.current, on_label, clock)
        self._desk = desk
        self._on_frame, self._on_idle, self._on_turn = on_frame, on_idle, on_turn
        self._other_commands = dict(other_commands or {})
        self._more_status = more_status
        self._clock = clock
        self._feed: Feed[Prepared] | None = None
        """None until the first frame is wanted."""

    @property
    def activity(self) -> Activity:
        """What is done with frames now."""
        return self.current.activity

    def run(self, stop: threading.Event) -> SlideSummary | None:
        """Screen until the source ends, or ``stop`` is set; the last summary, if there was a slide.

        Raises:
            SourceError: the source broke; the slide under way can be taken up again.
            LostDeviceError: the accelerator broke; likewise.
        """
        try:
            self.start()
            while not stop.is_set():
                if not self.turn():
                    break
            else:
                self._stopped()
        except LeukoError:
            self.current.stand()
            raise
        finally:
            self.close()
        return self.current.last

    def start(self) -> None:
        """Go on with the slide that was under way, or begin one where the configuration says so."""
        self._begins_by_itself = not self.current.take_up() and self.current.defaults.at_once
        self._begin_when_it_may()

    def turn(self) -> bool:
        """The commands that wait, then one frame or a short wait; False when the source has ended.

        Raises:
            SourceError: the source broke.
            LostDeviceError: the accelerator broke.
        """
        self._on_turn()
        self._begin_when_it_may()
        self._desk.carry_out(self._handle)
        if not (self._endless or self.activity == "screening" or self._looks_for_a_label):
            time.sleep(TURN_S)  # the frames of a file are not lost while nobody looks
            return True
        if self._feed is None:
            self._feed = Feed(self._source, self._watch.prepare)
            self._feed.ask()
        try:
            prepared = self._feed.take(TURN_S)
        except EndOfItems:
            self.current.end("source_ended")
            return False
        if prepared is not None:
            self._feed.ask()
            self._enter(prepared)
        self._labels.act()
        self.current.tick()
        return True

    def _begin_when_it_may(self) -> None:
        """Begin the slide that nobody has to ask for, as soon as one may begin."""
        if self._begins_by_itself and self.current.run is None and self.current.why_not() is None:
            self._begins_by_itself = False
            self.current.begin_by_itself()

    def close(self) -> None:
        """Refuse the commands that still wait, and let go of the source."""
        self._desk.close()
        if self._feed is not None:
            self._feed.close(CLOSING_S)

    def _enter(self, prepared: Prepared) -> None:
        captured, run = prepared.captured, self.current.run
        if self.current.already_entered(captured):
            return
        if prepared.labels:
            self._labels.seen(prepared.labels)
            self._on_idle(prepared)
            return
        before = run is not None and captured.captured_at < run.session.began_at
        if run is None or run.session.paused or (self._endless and before):
            self._on_idle(prepared)
            return
        self._on_frame(run.enter(prepared), captured)
        if run.pipeline.lost is not None:
            raise run.pipeline.lost

    @property
    def _looks_for_a_label(self) -> bool:
        return self._labels.wanted and self.activity == "idle"

    def _handle(self, command: Command) -> dict[str, Any]:
        if command.name == "status":
            arguments(NoArgs, command)
            return self._status()
        other = self._other_commands.get(command.name)
        if other is not None:
            return other(command)
        if command.name == "slide-start":
            self._start(arguments(_StartArgs, command))
            return self._status()
        if not command.name.startswith("slide-"):
            raise CommandError(f"{command.name} cannot be carried out by this daemon")
        if self.current.run is None:
            raise CommandError("no slide is under way; start one: slide-start")
        if command.name == "slide-pause":
            arguments(NoArgs, command)
            self._require_paused(False, "paused already")
            self._enter_what_was_captured()
            self.current.pause(True)
        elif command.name == "slide-resume":
            arguments(NoArgs, command)
            self._require_paused(True, "not paused")
            self.current.pause(False)
        elif command.name == "slide-finish":
            arguments(NoArgs, command)
            self._enter_what_was_captured()
            self.current.end("finished")
        elif command.name == "slide-abort":
            reason = arguments(_AbortArgs, command).reason
            log.warning("slide %s aborted: %s", self.current.name, reason or "no reason given")
            self.current.end("aborted")
        return self._status()

    def _start(self, args: _StartArgs) -> None:
        screened = not (self._endless or self._feed is None or self._labels.wanted)
        if self.current.run is None and screened:
            raise CommandError("the source has been screened; name another one and start again")
        label, name = None, args.slide
        if args.from_label:
            label, name = self._label_in_view(args.slide)
        self.current.begin(name, args.operator, args.objective, label, control=args.control)

    def _label_in_view(self, slide: str | None) -> tuple[str, str]:
        newest, settings = self._watch.newest, self.current.defaults.labels or LabelSettings()
        if slide is not None:
            raise CommandError("the slide has a name already; leave it out, or from_label")
        if not isinstance(newest, Frame):
            raise CommandError("no frame has come yet to read a label in")
        labels = LabelReader(barcodes=settings.barcodes).read(newest.pixels)
        found = self._labels.only_one(labels, settings.pattern)
        self._watch.expect()
        return found

    def _require_paused(self, paused: bool, otherwise: str) -> None:
        if (self.activity == "paused") != paused:
            raise CommandError(f"slide {self.current.name} is {otherwise}")

    def _enter_what_was_captured(self) -> None:
        """Frames that the camera had taken when the command came still belong to the slide."""
        if self._feed is None or not self._endless:
            return
        now, until = datetime.now(timezone.utc), self._clock() + CLOSING_S
        while (left := until - self._clock()) > 0:
            try:
                prepared = self._feed.take(left)
            except EndOfItems:
                return
            if prepared is None:
                return
            self._feed.ask()
            if prepared.captured.captured_at > now:
                self._on_idle(prepared)
                return
            self._enter(prepared)

    def _stopped(self) -> None:
        """A slide that began by itself ends with the daemon; another waits for the next start."""
        if self.current.ends_with_the_daemon:
            self._enter_the_last()
            self.current.end("stopped")
        else:
            self.current.stand()

    def _enter_the_last(self) -> None:
        """What the source has handed out by now still gets its outcome."""
        if self._feed is None or self.current.run is None:
            return
        try:
            prepared = self._feed.take(CLOSING_S)
        except (EndOfItems, LeukoError):
            return
        if prepared is not None:
            self._enter(prepared)

    def _status(self) -> dict[str, Any]:
        self.current.stand()
        slide = self.current.last
        return {
            "activity": self.activity,
            "slide": None if slide is None else slide.model_dump(mode="json", by_alias=True),
            **self._more_status(),
            "label": self._labels.line,
        }


def suspicious(cells: Iterable[Any]) -> set[int]:
    """Numbers of the cells that were not cleared."""
    return {cell.id for cell in cells if cell.label in ("blast", "uncertain")}
