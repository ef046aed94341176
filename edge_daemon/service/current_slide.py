"""The slide under way, of which there is one or none: how it begins, is taken up again, and ends.

A slide that was under way when the process ended, by a kill, a power cut or a broken camera, is
taken up again with its counts, provided that bundle and source are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal, TypeAlias

from edge_daemon.config import LabelSettings
from edge_daemon.contract.messages import SlideSummary
from edge_daemon.contract.terms import Completion
from edge_daemon.ledger.slides import SlideLedger, Unfinished
from edge_daemon.service.commands import CommandError
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSetup
from edge_daemon.sources.base import Captured, Source

Activity: TypeAlias = Literal["idle", "screening", "paused"]

MODELS_STAY = "the models never change inside a slide"
"""Why a command waits until no slide is under way."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SlideDefaults:
    """What the configuration says of slides."""

    at_once: bool = True
    resume: bool = True
    name: str | None = None
    operator: str | None = None
    objective: str | None = None
    control: str | None = None
    """What the control slide is called; None where there is none."""
    labels: LabelSettings | None = None
    """How labels begin slides; None where they do not."""


class CurrentSlide:
    """The slide that frames belong to; for the thread that owns the networks.

    :attr:`name` and :attr:`activity` may be asked by any thread.
    """

    def __init__(
        self,
        source: Source,
        open_run: Callable[[SlideSetup, Unfinished | None], SlideRun],
        ledger: SlideLedger,
        bundle: str,
        defaults: SlideDefaults,
        on_summary: Callable[[SlideSummary], None],
        why_not: Callable[[], str | None] = lambda: None,
    ) -> None:
        """No slide, until one begins.

        Args:
            source: where its frames will come from.
            open_run: makes the run of a new slide, or of one that is taken up again.
            ledger: of this device.
            bundle: digest of the models in use.
            defaults: what the configuration says, from the next slide on; may be set.
            on_summary: called with every standing that was reported.
            why_not: why no slide may begin now, and what to do; a control slide may all the same.
        """
        self.why_not = why_not
        self.defaults = defaults
        self.run: SlideRun | None = None
        self._source_name = source.name
        self._endless = source.frame_count is None
        self._open_run = open_run
        self._ledger = ledger
        self._bundle = bundle
        self._on_summary = on_summary
        self._began_by_itself = False
        self._skip_below = 0
        self._last: SlideSummary | None = None

    @property
    def name(self) -> str | None:
        """Name of the slide under way."""
        run = self.run
        return None if run is None else run.session.name

    @property
    def activity(self) -> Activity:
        """What is done with frames now."""
        run = self.run
        if run is None:
            return "idle"
        return "paused" if run.session.paused else "screening"

    @property
    def last(self) -> SlideSummary | None:
        """The last standing that was reported, of this slide or of the one before."""
        return self._last

    def use_bundle(self, digest: str) -> None:
        """The models are others from now on.

        Raises:
            CommandError: a slide is under way; its models never change.
        """
        self.require_none(MODELS_STAY)
        self._bundle = digest

    def require_none(self, why: str) -> None:
        """Raise :class:`CommandError` while a slide is under way; ``why`` it matters."""
        if self.run is not None:
            raise CommandError(f"slide {self.name} is under way, and {why}; finish it first")

    def begin(
        self,
        name: str | None = None,
        operator: str | None = None,
        objective: str | None = None,
        label: str | None = None,
        *,
        control: bool = False,
    ) -> None:
        """Begin the slide that somebody asks for; what is not given, the configuration says.

        Args:
            name: of the slide; that of the control slide, in the configuration, begins a control.
            operator: who is at the microscope.
            objective: in use.
            label: what its label reads, where that gave the name.
            control: it is the control slide.

        Raises:
            CommandError: one is under way, there was one of that name, or none may begin now.
        """
        if self.run is not None:
            raise CommandError(f"slide {self.name} is under way; finish or abort it first")
        known = self.defaults.control
        if control or (name is not None and name == known):
            if known is None:
                raise CommandError("this device has no control slide: [control] slide names one")
            name = f"{(name or known)[:40]}-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}"
            self._begin(name, operator, objective, label, control=True)
            return
        why_not = self.why_not()
        if why_not is not None:
            raise CommandError(f"no slide may begin: {why_not}")
        name = name or _name_of_now()
        if self.knows(name):
            raise CommandError(f"there was a slide {name} before; give it another name")
        self._begin(name, operator, objective, label)

    def knows(self, name: str) -> bool:
        """Whether a slide of this name was begun before."""
        return self._ledger.knows(name)

    def shows(self, label: str, name: str) -> bool:
        """Whether ``label``, which gives ``name``, is that of the slide under way."""
        if self.run is None:
            return False
        setup = self.run.session.setup
        return label == setup.label if setup.label is not None else name == setup.name

    def begin_by_itself(self) -> None:
        """Begin a slide nobody asked for: it will end with the daemon."""
        name = free = self.defaults.name or _name_of_now()
        again = 1
        while self._ledger.knows(free):  # the configured name, at the second start
            again += 1
            free = f"{name[:58]}-{again}"
        known = self.defaults.control
        self._begin(free, None, None, control=known is not None and name == known)
        self._began_by_itself = True

    def take_up(self) -> bool:
        """Go on with the slide that was under way, or close it with the reason why not.

        True when one goes on.
        """
        left = self._ledger.unfinished()
        while left is not None:
            why = self._why_not(left)
            run = self._open_run(left.setup, left)
            if why is None:
                self.run = run
                run.session.paused = left.standing is not None and left.standing.paused
                self._began_by_itself = self.defaults.at_once
                self._skip_below = 0 if self._endless else left.coming_index
                log.warning(
                    "slide %s goes on where it was cut off, after %d frames",
                    left.setup.name,
                    left.tally.captured,
                )
                self._told(run.stand())
                return True
            log.warning("slide %s cannot be taken up again: %s", left.setup.name, why)
            self._told(run.end(why))
            left = self._ledger.unfinished()
        return False

    def already_entered(self, captured: Captured) -> bool:
        """Whether it was entered before the process ended and the slide was taken up again."""
        return captured.index < self._skip_below

    def pause(self, paused: bool) -> None:
        """Pause the slide under way, or go on with it."""
        if self.run is not None:
            self.run.session.pause(paused)
            self.stand()

    def tick(self) -> None:
        """Report where the slide stands, when it is time to."""
        summary = None if self.run is None else self.run.tick()
        if summary is not None:
            self._told(summary)

    def stand(self) -> None:
        """Report where the slide stands, now."""
        if self.run is not None:
            self._told(self.run.stand())

    def end(self, completion: Completion) -> None:
        """Report the last standing; there is no slide after it."""
        if self.run is not None:
            summary = self.run.end(completion)
            self.run = None
            self._told(summary)

    @property
    def ends_with_the_daemon(self) -> bool:
        """Whether a stop ends it; otherwise it waits for the next start."""
        return self._began_by_itself or not self.defaults.resume

    def _begin(
        self,
        name: str,
        operator: str | None,
        objective: str | None,
        label: str | None = None,
        *,
        control: bool = False,
    ) -> None:
        setup = SlideSetup(
            name,
            operator or self.defaults.operator,
            objective or self.defaults.objective,
            self._source_name,
            control,
            label,
        )
        self.run = self._open_run(setup, None)
        self._began_by_itself = False
        self._skip_below = 0
        self._ledger.begin(setup, self._bundle, self.run.session.started_at)
        log.info("slide %s begins", name)
        self.stand()

    def _why_not(self, left: Unfinished) -> Completion | None:
        if left.bundle != self._bundle:
            return "bundle_changed"
        if left.setup.control:  # what was seen of it is not all in the ledger: screen it again
            return "interrupted"
        if not self.defaults.resume or left.setup.source != self._source_name:
            return "interrupted"
        return None

    def _told(self, summary: SlideSummary) -> None:
        self._last = summary
        self._on_summary(summary)


def _name_of_now() -> str:
    return f"slide-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}"
