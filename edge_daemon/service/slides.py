"""Slides one after another, as commands say: begun, paused, gone on with, finished, aborted.

One loop owns the networks. Between two frames it carries out the commands that wait; then it takes
the next frame of the source and gives it to the slide under way. Without a slide, or while it is
paused, the frames of a camera are only shown; those of a file are left where they are.

A slide that was under way when the process ended, by a kill, a power cut or a broken camera, is
taken up again with its counts, provided that bundle and source are the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from edge_daemon.ahead import EndOfItems, Feed
from edge_daemon.contract.base import Name, StrictModel
from edge_daemon.contract.envelope import Reason
from edge_daemon.contract.messages import Command, FrameResult, SlideSummary
from edge_daemon.contract.terms import Completion
from edge_daemon.errors import LeukoError
from edge_daemon.ledger.slides import SlideLedger, Unfinished
from edge_daemon.pipeline import Prepared
from edge_daemon.service.commands import CommandDesk, CommandError, Handler, NoArgs, arguments
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSetup
from edge_daemon.sources.base import Captured, Source

Activity: TypeAlias = Literal["idle", "screening", "paused"]

TURN_S = 0.05
"""Longest wait for a frame before commands are looked at."""
CLOSING_S = 0.5
"""A slide that is finished waits so long for frames that were captured before that."""

log = logging.getLogger(__name__)


class _StartArgs(StrictModel):
    slide: Name | None = None
    operator: Name | None = None
    objective: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class _AbortArgs(StrictModel):
    reason: Reason | None = None


@dataclass(frozen=True)
class SlideDefaults:
    """What the configuration says of slides."""

    at_once: bool = True
    resume: bool = True
    name: str | None = None
    operator: str | None = None
    objective: str | None = None


class SlideService:
    """The loop. All methods but :meth:`activity` are for the thread that owns the networks."""

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
        other_commands: Mapping[str, Handler] | None = None,
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
            other_commands: by name, what carries out commands that are not about slides.
            clock: seconds, monotonic.
        """
        self._source = source
        self._prepare = prepare
        self._open_run = open_run
        self._ledger = ledger
        self._desk = desk
        self._bundle = bundle
        self._defaults = defaults
        self._on_frame, self._on_idle = on_frame, on_idle
        self._on_summary, self._on_turn = on_summary, on_turn
        self._other_commands = dict(other_commands or {})
        self._clock = clock
        self._endless = source.frame_count is None
        self._run: SlideRun | None = None
        self._began_by_itself = False
        self._skip_below = 0
        self._asked = False
        self._last: SlideSummary | None = None
        self._feed: Feed[Prepared] | None = None

    def configure(self, defaults: SlideDefaults) -> None:
        """What the configuration says of slides, from the next one on."""
        self._defaults = defaults

    def use_bundle(self, digest: str) -> None:
        """The models are others from now on.

        Raises:
            CommandError: a slide is under way; its models never change.
        """
        self.require_no_slide()
        self._bundle = digest

    def require_no_slide(self) -> None:
        """Raise :class:`CommandError` while a slide is under way."""
        if self._run is not None:
            raise CommandError(
                f"slide {self._run.session.name} is under way, and the models never change inside "
                "a slide; finish it first"
            )

    @property
    def slide(self) -> str | None:
        """Name of the slide under way; any thread may ask."""
        run = self._run
        return None if run is None else run.session.name

    @property
    def activity(self) -> Activity:
        """What it does now; any thread may ask."""
        run = self._run
        if run is None:
            return "idle"
        return "paused" if run.session.paused else "screening"

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
            if self._run is not None:
                self._told(self._run.stand())
            raise
        finally:
            self.close()
        return self._last

    def start(self) -> None:
        """Go on with the slide that was under way, or begin one where the configuration says so."""
        self._take_up()
        if self._run is None and self._defaults.at_once:
            self._begin(self._named(self._defaults.name), by_itself=True)
        self._feed = Feed(self._source, self._prepare)

    def turn(self) -> bool:
        """The commands that wait, then one frame or a short wait; False when the source has ended.

        Raises:
            SourceError: the source broke.
            LostDeviceError: the accelerator broke.
        """
        if self._feed is None:
            raise RuntimeError("not started")
        self._on_turn()
        self._desk.carry_out(self._handle)
        if self.activity != "screening" and not self._endless:
            time.sleep(TURN_S)  # the frames of a file are not lost while nobody looks
            return True
        if not self._asked:
            self._feed.ask()
            self._asked = True
        try:
            prepared = self._feed.take(TURN_S)
        except EndOfItems:
            if self._run is not None:
                self._end("source_ended")
            return False
        if prepared is not None:
            self._feed.ask()
            self._enter(prepared)
        if self._run is not None:
            summary = self._run.tick()
            if summary is not None:
                self._told(summary)
        return True

    def close(self) -> None:
        """Refuse the commands that still wait, and let go of the source."""
        self._desk.close()
        if self._feed is not None:
            self._feed.close(CLOSING_S)

    def _enter(self, prepared: Prepared) -> None:
        captured, run = prepared.captured, self._run
        if captured.index < self._skip_below:
            return  # entered before the process ended
        before = run is not None and captured.captured_at < run.session.began_at
        if run is None or run.session.paused or (self._endless and before):
            self._on_idle(prepared)
            return
        self._on_frame(run.enter(prepared), captured)
        if run.pipeline.lost is not None:
            raise run.pipeline.lost

    def _handle(self, command: Command) -> dict[str, Any]:
        if command.name == "status":
            arguments(NoArgs, command)
            return self._status()
        other = self._other_commands.get(command.name)
        if other is not None:
            return other(command)
        if command.name == "slide-start":
            return self._start(arguments(_StartArgs, command))
        if not command.name.startswith("slide-"):
            raise CommandError(f"{command.name} cannot be carried out by this daemon")
        run = self._run
        if run is None:
            raise CommandError("no slide is under way; start one: slide-start")
        if command.name == "slide-pause":
            arguments(NoArgs, command)
            self._pause(run, paused=True)
        elif command.name == "slide-resume":
            arguments(NoArgs, command)
            self._pause(run, paused=False)
        elif command.name == "slide-finish":
            arguments(NoArgs, command)
            self._enter_what_was_captured()
            self._end("finished")
        elif command.name == "slide-abort":
            reason = arguments(_AbortArgs, command).reason
            log.warning("slide %s aborted: %s", run.session.name, reason or "no reason given")
            self._end("aborted")
        return self._status()

    def _start(self, args: _StartArgs) -> dict[str, Any]:
        if self._run is not None:
            raise CommandError(
                f"slide {self._run.session.name} is under way; finish or abort it first"
            )
        if not self._endless and self._asked:
            raise CommandError("the source has been screened; name another one and start again")
        setup = self._named(args.slide, args.operator, args.objective)
        if self._ledger.knows(setup.name):
            raise CommandError(f"there was a slide {setup.name} before; give it another name")
        self._begin(setup, by_itself=False)
        return self._status()

    def _pause(self, run: SlideRun, *, paused: bool) -> None:
        if run.session.paused == paused:
            state = "paused already" if paused else "not paused"
            raise CommandError(f"slide {run.session.name} is {state}")
        if paused:
            self._enter_what_was_captured()
        run.session.pause(paused)
        self._told(run.stand())

    def _enter_what_was_captured(self) -> None:
        """Frames that the camera had taken when the command came still belong to the slide."""
        if self._feed is None or not self._asked or not self._endless:
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

    def _take_up(self) -> None:
        """Go on with the slide that was under way, or close it with the reason why not."""
        left = self._ledger.unfinished()
        while left is not None:
            why = self._why_not(left)
            run = self._open_run(left.setup, left)
            if why is None:
                self._run = run
                run.session.paused = left.standing is not None and left.standing.paused
                self._began_by_itself = self._defaults.at_once
                self._skip_below = 0 if self._endless else left.coming_index
                log.warning(
                    "slide %s goes on where it was cut off, after %d frames",
                    left.setup.name,
                    left.tally.captured,
                )
                self._told(run.stand())
                return
            log.warning("slide %s cannot be taken up again: %s", left.setup.name, why)
            self._told(run.end(why))
            left = self._ledger.unfinished()

    def _why_not(self, left: Unfinished) -> Completion | None:
        if left.bundle != self._bundle:
            return "bundle_changed"
        if not self._defaults.resume or left.setup.source != self._source.name:
            return "interrupted"
        return None

    def _named(
        self, name: str | None, operator: str | None = None, objective: str | None = None
    ) -> SlideSetup:
        if name is None:
            name = f"slide-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}"
        return SlideSetup(
            name,
            operator or self._defaults.operator,
            objective or self._defaults.objective,
            self._source.name,
        )

    def _begin(self, setup: SlideSetup, *, by_itself: bool) -> None:
        free = setup.name
        again = 1
        while self._ledger.knows(free):  # the configured name, at the second start
            again += 1
            free = f"{setup.name[:58]}-{again}"
        setup = SlideSetup(free, setup.operator, setup.objective, setup.source)
        self._run = self._open_run(setup, None)
        self._began_by_itself = by_itself
        self._skip_below = 0
        self._ledger.begin(setup, self._bundle, self._run.session.started_at)
        log.info("slide %s begins", setup.name)
        self._told(self._run.stand())

    def _stopped(self) -> None:
        """A slide that began by itself ends with the daemon; another waits for the next start."""
        if self._run is None:
            return
        if self._began_by_itself or not self._defaults.resume:
            self._enter_the_last()
            self._end("stopped")
        else:
            self._told(self._run.stand())

    def _enter_the_last(self) -> None:
        """What the source has handed out by now still gets its outcome."""
        if self._feed is None or not self._asked:
            return
        try:
            prepared = self._feed.take(CLOSING_S)
        except (EndOfItems, LeukoError):
            return
        if prepared is not None:
            self._enter(prepared)

    def _end(self, completion: Completion) -> None:
        if self._run is not None:
            summary = self._run.end(completion)
            self._run = None
            self._told(summary)

    def _told(self, summary: SlideSummary) -> None:
        self._last = summary
        self._on_summary(summary)

    def _status(self) -> dict[str, Any]:
        slide = self._last if self._run is None else self._run.stand()
        return {
            "activity": self.activity,
            "slide": None if slide is None else slide.model_dump(mode="json", by_alias=True),
        }


def suspicious(cells: Iterable[Any]) -> set[int]:
    """Numbers of the cells that were not cleared."""
    return {cell.id for cell in cells if cell.label in ("blast", "uncertain")}
