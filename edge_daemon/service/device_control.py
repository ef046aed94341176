"""The controls of a running device: run when they are due, judged, written down.

While one that is required does not count, no slide may begin.

A stored control is run by the loop itself, between slides, in its own networks. A control slide is
screened like any slide; when it ends, its summary is judged here. Whatever cannot be run, read or
compared counts as not passed. What is already under way goes on, and nothing that was found waits
for a control.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_daemon.calibration.apply import Calibrated
from edge_daemon.config import Config
from edge_daemon.contract.control import ControlKind, ControlRun
from edge_daemon.contract.envelope import as_reason
from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.control.accept import accept_run
from edge_daemon.control.compare import Comparison, Identity, Screened, compare
from edge_daemon.control.expectation import Expectation, expectation_file, read_expectation
from edge_daemon.control.figures import ControlTally
from edge_daemon.control.history import ControlHistory
from edge_daemon.control.setup import setup_digest
from edge_daemon.control.standing import NAMES, ControlStanding, why_not
from edge_daemon.control.stored import StoppedError, StoredControl, screen_stored
from edge_daemon.control.validity import Moment, present
from edge_daemon.delivery.parcel import Origin
from edge_daemon.errors import ControlError, LeukoError, LostDeviceError
from edge_daemon.inference import Models
from edge_daemon.pipeline import Pipeline
from edge_daemon.service.host.clock import clock_quality
from edge_daemon.slide_session import SlideSetup

LOOK_EVERY_S = 1.0
"""A look reads a file and a row: 0.2 ms."""
_MARGIN_S = 30.0
"""One frame and the comparison, beyond the time that a stored control has."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Used:
    """What slides are screened with now."""

    config: Config
    models: Models
    calibration: Calibrated | None
    origin: Origin


@dataclass(frozen=True)
class _ControlSlide:
    """The control slide under way."""

    source: str
    began: Moment
    by: Identity
    """With what it is screened: the configuration may be read again before it ends."""
    tally: ControlTally = field(default_factory=ControlTally)


class DeviceControl:
    """For the thread that owns the networks."""

    def __init__(
        self,
        history: ControlHistory,
        used: Callable[[], Used],
        *,
        busy: Callable[[str, float], AbstractContextManager[None]] = lambda _what, _s: (
            nullcontext()
        ),
        tell: Callable[[ControlStanding], None] = lambda _standing: None,
        stop: threading.Event | None = None,
        now: Callable[[], Moment] = lambda: present(clock_quality),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The controls that the configuration names.

        Args:
            history: of this device.
            used: what slides are screened with now.
            busy: told that the loop does one thing, and for how long it may.
            tell: told how the controls stand, whenever that has changed.
            stop: ends a stored control that is under way.
            now: the time, and what it can be held against.
            clock: seconds, monotonic.
        """
        self.standing = ControlStanding()
        self._history = history
        self._used = used
        self._busy, self._tell, self._stop = busy, tell, stop
        self._now, self._clock = now, clock
        self._settings = used().config.control
        self._tried: tuple[tuple[object, ...], float] | None = None
        self._slide: _ControlSlide | None = None
        self._look_again_s = float("-inf")
        self._looked_by: Identity | None = None
        self._known: tuple[Used, Identity] | None = None

    @property
    def kinds(self) -> list[ControlKind]:
        """The controls that are configured."""
        given: dict[ControlKind, object] = {
            "stored": self._settings.source,
            "slide": self._settings.slide,
        }
        return [kind for kind, what in given.items() if what is not None]

    def turn(self, *, idle: bool) -> None:
        """Run what is due and can be run, and tell how the controls stand.

        Raises:
            LostDeviceError: the accelerator broke.
        """
        if not self.kinds:
            return
        changed = self._looked_by != self._identity()
        if self._clock() < self._look_again_s and not changed:
            return
        if idle:
            self._run_if_due()
        self._look()

    def why_no_slide(self) -> str | None:
        """Why no slide may begin, and what to do; None where one may.

        A stored control that is due is run first. For when no slide is under way.

        Raises:
            LostDeviceError: the accelerator broke.
        """
        self._run_if_due()
        return self._look().line if self._settings.required else None

    def run_stored(self) -> ControlRun:
        """Run the stored control, now.

        Raises:
            ControlError: none is configured, or the daemon is stopping.
            LostDeviceError: the accelerator broke.
        """
        if self._settings.source is None:
            raise ControlError("no stored control is configured: [control] source names one")
        used, began = self._used(), self._now()
        self._tried = (self._key(), self._clock())
        within_s = self._settings.within_s
        of_device = used.config.source
        control = StoredControl(
            self._settings.source, of_device.scan, of_device.um_per_px, within_s
        )
        self._say(ControlStanding("the stored control is running", self.standing.failed))
        screened, fault = None, ""
        by = self._identity()
        try:
            with self._busy("running the stored control", within_s + _MARGIN_S):
                pipeline = Pipeline(used.models, used.config.quality, used.calibration)
                thresholds = used.config.slide.thresholds
                screened = screen_stored(control, pipeline, thresholds, self._stop, self._clock)
        except StoppedError:
            self._tried = None
            self._look()
            raise ControlError("the daemon is stopping: the control was not run") from None
        except LostDeviceError:
            raise
        except LeukoError as error:
            fault = str(error)
        except Exception as error:  # whatever breaks in a control is that control's failure
            log.exception("the stored control could not be run")
            fault = f"it could not be run: {type(error).__name__}: {error}"
        run = self._judge("stored", by, control.source, None, began, screened, fault)
        self._look()
        return run

    def slide_begins(self, setup: SlideSetup) -> None:
        """A slide begins, or is gone on with: a control slide or any other."""
        self._slide = None
        if setup.control:
            source = setup.source or "unknown"
            self._slide = _ControlSlide(source, self._now(), self._identity())

    def frame(self, result: FrameResult) -> None:
        """A frame of the slide under way got its outcome."""
        if self._slide is not None:
            self._slide.tally.enter(result)

    def summary(self, summary: SlideSummary) -> None:
        """The slide under way was reported on; a control slide that has ended is judged."""
        if not summary.control or summary.completion is None:
            return
        slide = self._slide or _ControlSlide("unknown", self._now(), self._identity())
        self._slide = None
        screened = Screened(slide.tally.figures(summary), None, slide.tally.most_unseen)
        # An abort too: else a control that fails could be thrown away until one passes.
        ended = summary.completion.replace("_", " ")
        fault = "" if summary.complete else f"it was not screened to its end ({ended})"
        self._judge("slide", slide.by, slide.source, summary.slide, slide.began, screened, fault)
        self._look()

    def accept(self, number: int | None = None) -> Expectation:
        """From now on a run is what is expected; the last one where ``number`` is None.

        Raises:
            ControlError: there is no such run, it cannot be expected, or it cannot be written.
        """
        expectation = accept_run(self._history, self._settings, number)
        self._look_again_s = float("-inf")
        log.warning(
            "control run %d is what is expected of %s", expectation.run, NAMES[expectation.kind]
        )
        return expectation

    def _judge(
        self,
        kind: ControlKind,
        by: Identity,
        source: str,
        slide: str | None,
        began: Moment,
        screened: Screened | None,
        fault: str,
    ) -> ControlRun:
        """Compare, write down, publish; ``fault`` says why there is nothing to compare."""
        ended = self._now()
        expected: Expectation | None = None
        comparison = Comparison(False, (as_reason(fault),))
        try:
            expected = self._expected(kind)
        except ControlError as error:
            comparison = Comparison(
                False, tuple(as_reason(one) for one in (fault, str(error)) if one)
            )
        else:
            if not fault and screened is not None:
                comparison = (
                    Comparison(False, ("Nothing is expected yet: look at it, and accept it.",))
                    if expected is None
                    else compare(screened, by, expected, self._settings.tolerances)
                )
        run = self._history.add(
            replace(self._used().origin, bundle=by.bundle),
            ended,
            kind,
            lambda envelope, number: ControlRun(
                **envelope,
                run=number,
                kind=kind,
                source=source[:1024],
                slide=slide,
                began_at=began.utc,
                ended_at=ended.utc,
                engines=by.engines,
                setup=by.setup,
                pictures=None if screened is None else screened.pictures,
                expectation=None if expected is None else expected.digest,
                expected=None if expected is None else expected.figures,
                found=None if screened is None else screened.figures,
                verdict="passed" if comparison.passed else "failed",
                reasons=comparison.reasons,
            ),
        )
        level = logging.INFO if comparison.passed else logging.WARNING
        log.log(level, "%s %s: %s", NAMES[kind], run.verdict, " ".join(run.reasons))
        return run

    def _run_if_due(self) -> None:
        if self._to_be_run():
            self._look()  # whoever watches learns why
            with suppress(ControlError):  # the daemon is stopping
                self.run_stored()

    def _to_be_run(self) -> bool:
        """Whether the stored control is due and was not tried as things stand."""
        if self._settings.source is None or self._why_not("stored") is None:
            return False
        if self._tried is None:
            return True
        key, tried_s = self._tried
        return key != self._key() or self._clock() - tried_s > self._settings.every_h * 3600

    def _key(self) -> tuple[object, ...]:
        try:
            expected = self._expected("stored")
        except ControlError as error:
            return self._identity(), str(error)
        return self._identity(), None if expected is None else expected.digest

    def _look(self) -> ControlStanding:
        self._look_again_s, self._looked_by = self._clock() + LOOK_EVERY_S, self._identity()
        found = [one for one in map(self._why_not, self.kinds) if one is not None]
        found.sort(key=lambda one: not one.failed)
        self._say(found[0] if found else ControlStanding())
        return self.standing

    def _say(self, standing: ControlStanding) -> None:
        if standing != self.standing:
            self.standing = standing
            self._tell(standing)

    def _why_not(self, kind: ControlKind) -> ControlStanding | None:
        try:
            expected = self._expected(kind)
        except ControlError as error:
            return ControlStanding(f"{NAMES[kind]}: {error}", failed=True)
        newest = self._history.newest(kind)
        return why_not(kind, self._settings, expected, newest, self._identity(), self._now())

    def _expected(self, kind: ControlKind) -> Expectation | None:
        expected = read_expectation(expectation_file(Path(self._settings.expected), kind))
        if expected is not None and expected.kind != kind:
            raise ControlError(f"the expected result there is that of a {expected.kind} control")
        return expected

    def _identity(self) -> Identity:
        used = self._used()
        if self._known is None or self._known[0] != used:
            calibration = None if used.calibration is None else used.calibration.document.digest
            setup = setup_digest(used.config, calibration)
            bundle = used.models.bundle.digest
            self._known = used, Identity(bundle, used.models.description, setup)
        return self._known[1]
