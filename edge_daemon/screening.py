"""The loop: every frame of a source through the pipeline, into the ledger and out to the reporter.

One function, used by ``run``, ``replay`` and ``demo`` alike. It returns when the source ends, when
``stop`` is set, or when the source breaks; in each case with the slide's last standing reported.

While the networks look at one frame, the next is read, judged and scaled in a second thread; never
more than that one, so that a live view shows what lies under the objective now.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

from edge_daemon.ahead import ahead
from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.errors import SourceError
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.second_opinion import SecondOpinions
from edge_daemon.slide_run import SlideRun
from edge_daemon.slide_session import SlideSession
from edge_daemon.sources.base import Captured, Source


def screen(
    source: Source,
    pipeline: Pipeline,
    session: SlideSession,
    reporter: Reporter,
    *,
    second: SecondOpinions | None = None,
    on_frame: Callable[[FrameResult, Captured], None] = lambda _result, _captured: None,
    stop: threading.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> SlideSummary:
    """Screen one slide.

    Args:
        source: an entered source; iterated to its end, in another thread.
        pipeline: its networks run in the calling thread.
        session: the ledger of the slide.
        reporter: where results go.
        second: asked about the cells that were not cleared; its answers are reported when they
            come, the last ones before the final summary.
        on_frame: called with every result and what it is of, for a progress bar or a picture.
        stop: set from elsewhere to end the slide before its source does; what the source has
            handed out by then still gets its outcome.
        clock: seconds, monotonic.

    Returns:
        The final summary, already reported; ``complete`` is False when it was stopped.

    Raises:
        SourceError: the source broke; the final summary has been reported as incomplete.
        LostDeviceError: the networks broke for good; likewise. No captured frame is without its
            outcome.
    """
    run = SlideRun(pipeline, session, reporter, second=second, clock=clock)

    def stopped() -> bool:
        return pipeline.lost is not None or (stop is not None and stop.is_set())

    try:
        with closing(ahead(source, pipeline.prepare, stopped)) as frames:
            for prepared in frames:
                on_frame(run.enter(prepared), prepared.captured)
                run.tick()
    except SourceError:
        run.end("source_failed")
        raise
    if pipeline.lost is not None:
        run.end("device_lost")
        raise pipeline.lost
    return run.end("stopped" if stopped() else "source_ended")
