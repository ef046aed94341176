"""``leuko-edge replay``: pictures, a video or a simulated slide through the whole daemon path.

The same pipeline, ledger, outbox and messages as ``run``; only the source is a recording. Each
line of ``--out`` is the FrameResult that goes to the broker.
"""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from edge_daemon.commands.delivery import Delivery
from edge_daemon.commands.models import open_models, opened_second
from edge_daemon.commands.output import open_lines, print_summary, write_picture
from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.contract.topics import name_from
from edge_daemon.delivery.parcel import Origin
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import BrokerError
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.screening import screen
from edge_daemon.signals import stop_on_signals
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Captured, Frame, Source
from edge_daemon.sources.open import open_source
from edge_daemon.vision.annotate import annotate


@dataclass(frozen=True)
class ReplayRequest:
    """What the user asked to replay, and how."""

    source: str
    bundle: Path | None = None
    broker: BrokerSettings | None = None
    out: Path | None = None
    pictures: Path | None = None
    options: EngineOptions = EngineOptions()
    second_opinion: bool = True
    scan: bool = False
    um_per_px: float | None = None
    site: str = "lab"
    device: str = "replay"
    slide: str | None = None
    outbox: Path = Path("leuko-edge-outbox.db")
    deliver_within_s: float = 60.0


def replay(request: ReplayRequest, console: Console) -> SlideSummary:
    """Replay a source and print what was found, up to its end or the first Ctrl-C.

    Raises:
        KeyboardInterrupt: it was stopped; what was found until then is printed and stored.
        LeukoError: the source, bundle, engine, output file or outbox cannot be used; or results
            still wait in the outbox after ``deliver_within_s``.
    """
    with ExitStack() as stack:
        models = stack.enter_context(open_models(request.bundle, request.options))
        stop = stack.enter_context(stop_on_signals())  # a camera and a watched folder have no end
        source = stack.enter_context(
            open_source(request.source, scan=request.scan, um_per_px=request.um_per_px, stop=stop)
        )
        lines = None if request.out is None else stack.enter_context(open_lines(request.out))
        origin = Origin(request.site, request.device, uuid.uuid4().hex, models.bundle.digest)
        delivery = None
        if request.broker is not None:
            delivery = stack.enter_context(Delivery(request.broker, request.outbox, origin))
        slide = request.slide or name_from(Path(request.source.partition("?")[0]).name)
        pipeline = Pipeline(models)
        session = SlideSession(SlideSetup(slide), pipeline.slide_map)
        reporter = Reporter(
            origin, slide, outbox=None if delivery is None else delivery.outbox, lines=lines
        )
        second = stack.enter_context(
            opened_second(models.bundle, request.options, wanted=request.second_opinion)
        )
        console.print(f"{source.name}: {models.description}", highlight=False)
        started = time.monotonic()
        with FrameProgress(source, console) as progress:

            def on_frame(frame: FrameResult, captured: Captured) -> None:
                progress.advance(frame)
                if request.pictures is not None and isinstance(captured, Frame):
                    write_picture(request.pictures, annotate(captured.pixels, frame), frame.frame)

            summary = screen(
                source, pipeline, session, reporter, second=second, on_frame=on_frame, stop=stop
            )
        spent_s = time.monotonic() - started
        print_summary(summary, spent_s, console)
        if delivery is not None:
            deliver_rest(delivery, request.deliver_within_s, console)
        if stop.is_set():
            raise KeyboardInterrupt
    return summary


class FrameProgress:
    """A progress bar on a terminal; without one, a plain line for what went wrong only."""

    def __init__(self, source: Source, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[fps]:.0f} frames/s"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("screening", total=source.frame_count, fps=0.0)
        self._started = time.monotonic()
        self._count = 0

    def advance(self, frame: FrameResult) -> None:
        """Count a frame, and say why when it was not analysed."""
        self._count += 1
        if frame.outcome != "analysed":
            self._bar.console.print(
                f"{frame.source}: {frame.outcome}: {frame.reason}", style="yellow", highlight=False
            )
        fps = self._count / max(time.monotonic() - self._started, 1e-6)
        self._bar.update(self._task, advance=1, fps=fps)

    def __enter__(self) -> FrameProgress:  # noqa: PYI034
        self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()


def deliver_rest(delivery: Delivery, within_s: float, console: Console) -> None:
    """Wait until the broker has everything.

    Raises:
        BrokerError: it has not; the rest stays in the outbox and goes with the next start.
    """
    if threading.current_thread() is threading.main_thread() and console.is_terminal:
        console.print(f"delivering to {delivery.address} ...", highlight=False)
    left = delivery.publisher.flush(within_s)
    if left:
        raise BrokerError(
            f"{left} messages still wait in {delivery.outbox.path}; they are sent with the next "
            f"start ({delivery.publisher.link.line})"
        )
