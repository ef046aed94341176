"""One slide under way: each frame finished, counted, reported and written down, in one commit."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.contract.terms import Completion
from edge_daemon.ledger.slides import SlideLedger
from edge_daemon.pipeline import Pipeline, Prepared
from edge_daemon.reporter import Reporter
from edge_daemon.second_opinion import SecondAnswer, SecondOpinions
from edge_daemon.slide_session import SlideSession
from edge_daemon.sources.base import Frame

SUMMARY_EVERY_S = 2.0
"""How often the standing of a running slide is reported, and the second opinions that have come."""

SECOND_OPINIONS_WITHIN_S = 30.0
"""How long the final summary of a whole slide waits for them."""


class SlideRun:
    """Takes prepared frames; belongs to the thread that owns the pipeline's networks."""

    def __init__(
        self,
        pipeline: Pipeline,
        session: SlideSession,
        reporter: Reporter,
        *,
        second: SecondOpinions | None = None,
        ledger: SlideLedger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A slide of ``session``, seen through ``pipeline``, told by ``reporter``.

        ``second`` is asked about cells that were not cleared; with a ``ledger`` the slide can be
        taken up again after the process has ended.
        """
        self.pipeline = pipeline
        self.session = session
        self._reporter = reporter
        self._second = second
        self._ledger = ledger
        self._clock = clock
        self._next_summary = clock() + SUMMARY_EVERY_S

    def enter(self, prepared: Prepared) -> FrameResult:
        """Finish a frame and give it its place in the ledger; what was reported of it."""
        captured = prepared.captured
        number = self.session.tally.captured
        findings = dataclasses.replace(self.pipeline.finish(prepared), frame=number)
        self.session.enter(findings)
        pixels = captured.pixels if isinstance(captured, Frame) else None
        with self._reporter.together() as batch:
            result = self._reporter.frame(findings, pixels)
            if self._ledger is not None and batch is not None:
                slide_map = self.pipeline.slide_map
                self._ledger.enter(batch, self.session.name, captured.index, findings, slide_map)
        if self._second is not None and pixels is not None:
            self._second.ask(findings, pixels)
        return result

    def tick(self) -> SlideSummary | None:
        """Report where the slide stands, when it is time to."""
        if self._clock() < self._next_summary:
            return None
        return self.stand()

    def stand(self) -> SlideSummary:
        """Report where the slide stands, now."""
        self._next_summary = self._clock() + SUMMARY_EVERY_S
        answers = [] if self._second is None else self._second.answers()
        return self._report(answers, None)

    def end(self, completion: Completion) -> SlideSummary:
        """Report the last standing; nothing may be entered after it."""
        answers: list[SecondAnswer] = []
        if self._second is not None:
            whole = completion in ("finished", "source_ended")
            answers = self._second.finish(SECOND_OPINIONS_WITHIN_S if whole else 0.0)
        return self._report(answers, completion)

    def _report(self, answers: list[SecondAnswer], completion: Completion | None) -> SlideSummary:
        for answer in answers:
            self._reporter.opinion(answer)
        counts = None if self._second is None else self._second.counts
        with self._reporter.together() as batch:
            summary = self._reporter.standing(
                self.session.standing(completion=completion, second_opinions=counts)
            )
            if self._ledger is not None and batch is not None:
                self._ledger.note(batch, summary)
        return summary
