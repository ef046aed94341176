"""One slide under way: each frame finished, counted, reported and written down, in one commit."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_daemon.contract.messages import FrameResult, ShadowReport, SlideSummary
from edge_daemon.contract.terms import COMPLETE, Completion
from edge_daemon.ledger.slides import SlideLedger
from edge_daemon.pipeline import Pipeline, Prepared
from edge_daemon.reporter import Reporter
from edge_daemon.second_opinion import SecondAnswer, SecondOpinions
from edge_daemon.shadow.candidate import Shadow
from edge_daemon.shadow.report import ShadowStanding, body_of
from edge_daemon.slide_session import SlideSession
from edge_daemon.sources.base import Frame

SUMMARY_EVERY_S = 2.0
"""How often the standing of a running slide is reported, and the second opinions that have come."""

SECOND_OPINIONS_WITHIN_S = 30.0
"""How long the final summary of a whole slide waits for them."""

SHADOW_WITHIN_S = 5.0
"""How long a whole slide waits, after its final summary, for what its candidate still looks at."""


class SlideRun:
    """Takes prepared frames; belongs to the thread that owns the pipeline's networks."""

    def __init__(
        self,
        pipeline: Pipeline,
        session: SlideSession,
        reporter: Reporter,
        *,
        second: SecondOpinions | None = None,
        shadow: Shadow | None = None,
        on_shadow: Callable[[ShadowReport], None] = lambda _: None,
        ledger: SlideLedger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A slide of ``session``, seen through ``pipeline``, told by ``reporter``.

        ``second`` is asked about cells that were not cleared; a candidate in ``shadow`` sees the
        same frames, and ``on_shadow`` is called with what was reported of it; with a ``ledger`` the
        slide can be taken up again after the process has ended.
        """
        self.pipeline = pipeline
        self.session = session
        self._reporter = reporter
        self._second = second
        self._shadow = shadow
        self._on_shadow = on_shadow
        self._shadow_told: ShadowStanding | None = None
        self._ledger = ledger
        self._clock = clock
        self._next_summary = clock() + SUMMARY_EVERY_S

    def enter(self, prepared: Prepared) -> FrameResult:
        """Finish a frame and give it its place in the ledger; what was reported of it."""
        captured = prepared.captured
        findings = self.pipeline.finish(prepared, self.session.tally.captured)
        self.session.enter(findings)
        pixels = captured.pixels if isinstance(captured, Frame) else None
        with self._reporter.together() as batch:
            result = self._reporter.frame(findings, pixels)
            if self._ledger is not None and batch is not None:
                slide_map = self.pipeline.slide_map
                self._ledger.enter(batch, self.session.name, captured.index, findings, slide_map)
        if self._second is not None and pixels is not None:
            self._second.ask(findings, pixels)
        if self._shadow is not None:
            self._shadow.see(prepared, findings)
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
        summary = self._report(answers, None)
        if self._shadow is not None:
            self._report_shadow(self._shadow.standing, None)
        return summary

    def end(self, completion: Completion) -> SlideSummary:
        """Report the last standing; nothing may be entered after it."""
        answers: list[SecondAnswer] = []
        whole = completion in COMPLETE
        if self._second is not None:
            answers = self._second.finish(SECOND_OPINIONS_WITHIN_S if whole else 0.0)
        summary = self._report(answers, completion)
        if self._shadow is not None:  # only now: no result waits for it
            standing = self._shadow.finish(SHADOW_WITHIN_S if whole else 0.0)
            self._report_shadow(standing, completion)
        return summary

    def _report_shadow(self, standing: ShadowStanding, completion: Completion | None) -> None:
        if completion is None and standing == self._shadow_told:
            return
        if standing.frames.first and not standing.frames.analysed:
            return  # taken up again, and nothing new: what was said before says more
        self._shadow_told = standing
        body = body_of(standing, self.session.thresholds, completion)
        self._on_shadow(self._reporter.shadow(body))

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
