"""A candidate bundle beside the frame loop: it sees the same frames, in a thread of its own.

The thread opens the candidate's networks and owns them; on a GPU it has the process's primary
context current and a stream of its own there, as every thread that opens an engine. The frame loop
puts a frame with the active bundle's result into a short queue and goes on; when the queue is full
the frame is skipped, and counted as skipped.

A candidate that breaks is put aside: it is told once, the frames from there on count as skipped,
and the slide goes on. What a lost GPU takes with it, it takes from the active bundle as well: there
is one GPU in a process.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType

from typing_extensions import Self

from edge_daemon.contract.bundle import Bundle
from edge_daemon.contract.envelope import as_reason
from edge_daemon.contract.shadow import Candidate, ShadowFrames
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import EngineError, LeukoError
from edge_daemon.inference import Models
from edge_daemon.look import Look, Stopwatch
from edge_daemon.niceness import step_back
from edge_daemon.pipeline import Findings, Prepared
from edge_daemon.shadow.cells import Shown
from edge_daemon.shadow.comparison import Comparison
from edge_daemon.shadow.report import ShadowStanding
from edge_daemon.sources.base import Frame
from edge_daemon.vision.placement import Joined

MOST_WAITING = 4
"""Frames in the queue: enough to even out a pause, and what memory holds of a large camera."""

_CLOSING_S = 5.0
"""Longest that its present frame may take when it is closed."""

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Slide:
    """One slide, as the candidate sees it. The comparison and the look are the thread's."""

    look: Look | None = None
    comparison: Comparison = field(default_factory=Comparison)
    first: int = 0
    analysed: int = 0
    skipped: int = 0
    joined: tuple[Joined, ...] = ()
    """By frames that were skipped, and not told yet."""
    over: bool = False
    """What is not compared by now never will be."""


@dataclass(frozen=True, eq=False)
class _Question:
    slide: _Slide
    prepared: Prepared
    frame: Frame
    shown: Shown


class Shadow:
    """Compares, counts and reports; a context manager. Methods are for the frame loop's thread."""

    def __init__(
        self,
        bundle: Bundle,
        open_models: Callable[[], Models],
        *,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """``open_models`` opens the networks of ``bundle``, in the thread that will own them."""
        self.candidate = Candidate(bundle=bundle.label, digest=bundle.digest)
        self.fault: str | None = None
        """Why it was put aside, in one line; None while it looks on."""
        self.engines = ""
        """Bundle and engines, as :attr:`edge_daemon.inference.Models.description` says it."""
        self._open_models = open_models
        self._questions: queue.Queue[_Question | None] = queue.Queue(most_waiting)
        self._slide = _Slide()
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._ready = threading.Event()
        self._refused: LeukoError | None = None

    @classmethod
    def of(cls, bundle: Bundle, options: EngineOptions) -> Shadow:
        """A shadow of ``bundle``, not opened yet; on a processor it works on one thread."""
        alone = replace(options, threads=1)  # its own, whose niceness it has
        return cls(bundle, lambda: Models.open(bundle, alone))

    def __enter__(self) -> Self:
        """Open the networks and hold them to the bundle's golden set.

        Raises:
            LeukoError: they cannot be opened here, or do not pass.
        """
        self._thread.start()
        self._ready.wait()
        if self._refused is not None:
            raise self._refused
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._forget_what_waits()
        if self._thread.is_alive():
            self._questions.put(None)  # there is room: nobody else puts anything
        self._thread.join(_CLOSING_S)
        if self._thread.is_alive():
            log.error("candidate %s does not let go: it is left behind", self.candidate.bundle)

    def begin(self, first_frame: int = 0) -> None:
        """A slide begins, or is taken up again and counts from ``first_frame`` on."""
        self._slide.over = True
        self._forget_what_waits()
        self._slide = _Slide(first=first_frame)

    def see(self, prepared: Prepared, findings: Findings) -> None:
        """Hand over a frame and what the active bundle found in it; returns at once."""
        frame, mapped, slide = prepared.captured, findings.mapped, self._slide
        if mapped is None or not isinstance(frame, Frame):
            return  # it was not analysed
        slide.analysed += 1
        placement = mapped.placement
        if self.fault is None:
            shown = Shown(
                frame=findings.frame,
                cells=findings.cells,
                sightings=mapped.sightings,
                saturated=findings.saturated,
                placement=placement,
                pixels=frame.pixels,
                joined_before=slide.joined,
            )
            with suppress(queue.Full):
                self._questions.put_nowait(_Question(slide, prepared, frame, shown))
                slide.joined = ()
                return
        slide.skipped += 1
        if placement.joined is not None:
            slide.joined = (*slide.joined, placement.joined)

    @property
    def standing(self) -> ShadowStanding:
        """How it stands with the slide under way."""
        slide, fault = self._slide, self.fault
        compared = slide.comparison.latest
        never = slide.over or fault is not None
        return ShadowStanding(
            candidate=self.candidate,
            frames=ShadowFrames(
                first=slide.first,
                analysed=slide.analysed,
                compared=compared.frames,
                skipped=slide.analysed - compared.frames if never else slide.skipped,
            ),
            compared=compared,
            fault=fault,
        )

    def finish(self, within_s: float) -> ShadowStanding:
        """How it stands with all frames that wait; what is not compared in time is skipped."""
        slide, until = self._slide, time.monotonic() + within_s
        while self.fault is None and time.monotonic() < until:
            if slide.comparison.latest.frames + slide.skipped >= slide.analysed:
                break
            time.sleep(0.01)
        slide.over = True
        return self.standing

    def _forget_what_waits(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._questions.get_nowait()

    def _work(self) -> None:
        """The thread: opens the networks, compares until it is told to end, closes them."""
        step_back()
        try:
            models = self._open_models()
            self.engines = models.description
        except LeukoError as error:
            self._refused = error
            return
        except Exception as error:  # a driver's own: the device must hear of it and go on
            log.exception("candidate %s cannot be opened", self.candidate.bundle)
            self._refused = EngineError(
                f"candidate {self.candidate.bundle} cannot be opened: {_line(error)}"
            )
            return
        finally:
            self._ready.set()
        try:
            with models:
                self._look_on(models)
        except Exception:  # a lost GPU's networks: nothing is left to be closed
            log.exception("candidate %s could not be closed", self.candidate.bundle)

    def _look_on(self, models: Models) -> None:
        try:
            while (question := self._questions.get()) is not None:
                if not question.slide.over:
                    self._compare(models, question)
        except Exception as error:  # whatever it is, it is the candidate's and ends nothing else
            log.exception("candidate %s is put aside", self.candidate.bundle)
            self.fault = as_reason(f"candidate {self.candidate.bundle} failed: {_line(error)}")

    @staticmethod
    def _compare(models: Models, question: _Question) -> None:
        slide, frame = question.slide, question.frame
        if slide.look is None:
            slide.look = Look(models)
        view = models.scaled(frame.pixels)
        seen = slide.look.at(frame, view, question.prepared.scale_from, Stopwatch())
        slide.comparison.enter(question.shown, seen.sightings, saturated=seen.found.saturated)


def _line(error: Exception) -> str:
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
