"""``leuko-edge bench``: how fast this machine screens, stage by stage, and in how much memory.

Reading, quality and scale of the next frame run beside the networks of the present one, as in
:mod:`edge_daemon.screening`: their milliseconds are not to be added to the others.
"""

from __future__ import annotations

import itertools
import resource
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from edge_daemon.ahead import ahead
from edge_daemon.commands.models import open_models
from edge_daemon.delivery.parcel import Origin
from edge_daemon.engines.options import EngineOptions
from edge_daemon.pipeline import Pipeline, Prepared
from edge_daemon.reporter import Reporter
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.sources.base import Captured
from edge_daemon.sources.open import open_source

_WARM_UP = 5  # frames; the first runs of an engine allocate and choose kernels
_SETTLED = 100  # frames; by then every buffer has met the sizes it will have


@dataclass(frozen=True)
class BenchResult:
    """Figures of one bench: milliseconds per stage ``[p50, p95, p99]``, speed and memory."""

    stages_ms: dict[str, tuple[float, float, float]]
    frames: int
    frames_per_s: float
    """End to end, reading or simulating the frames included."""
    settled_memory_mb: float
    """Resident memory after the first frames; what is more at the end has grown since."""
    memory_mb: float
    """Resident memory at the end."""
    peak_memory_mb: float


def bench(
    spec: str,
    frames: int,
    bundle: Path | None,
    options: EngineOptions,
    console: Console,
) -> BenchResult:
    """Screen ``frames`` frames of a source (repeated as often as needed) and print the figures."""
    with open_models(bundle, options) as models:
        console.print(f"{models.description}, {frames} frames of {spec}", highlight=False)
        pipeline = Pipeline(models)
        session = SlideSession(SlideSetup("bench"), pipeline.slide_map)
        reporter = Reporter(
            Origin("bench", "bench", uuid.uuid4().hex, models.bundle.digest), "bench"
        )
        times: dict[str, list[float]] = defaultdict(list)
        started, settled_memory_mb = time.perf_counter(), 0.0

        def prepare(read: tuple[Captured, float]) -> tuple[Prepared, float]:
            return pipeline.prepare(read[0]), read[1]

        with closing(ahead(_repeated(spec, frames + _WARM_UP), prepare)) as coming:
            for done, (prepared, read_ms) in enumerate(coming, start=1):
                timings = {"read": read_ms, **_one(prepared, pipeline, session, reporter)}
                if done == _WARM_UP:
                    started = time.perf_counter()
                if done <= _SETTLED:
                    settled_memory_mb = _resident_mb()
                if done > _WARM_UP:
                    for stage, spent in timings.items():
                        times[stage].append(spent)
        spent_s = time.perf_counter() - started
    result = BenchResult(
        stages_ms={stage: _percentiles(spent) for stage, spent in times.items()},
        frames=frames,
        frames_per_s=frames / spent_s,
        settled_memory_mb=settled_memory_mb,
        memory_mb=_resident_mb(),
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )
    _print(result, console)
    return result


def _repeated(spec: str, frames: int) -> Iterator[tuple[Captured, float]]:
    """So many frames of a source, opened as often as needed, with the milliseconds of reading."""
    while frames:
        with open_source(spec) as source:
            last = time.perf_counter()
            for captured in itertools.islice(source, frames):
                yield captured, 1e3 * (time.perf_counter() - last)
                frames -= 1
                last = time.perf_counter()


def _one(
    prepared: Prepared, pipeline: Pipeline, session: SlideSession, reporter: Reporter
) -> dict[str, float]:
    start = time.perf_counter()
    findings = pipeline.finish(prepared)
    analysed = time.perf_counter()
    session.enter(findings)
    reporter.frame(findings, None)
    end = time.perf_counter()
    return {
        **findings.timings_ms,
        "report": 1e3 * (end - analysed),
        "detect to report": 1e3 * (end - start),
    }


def _percentiles(values: list[float]) -> tuple[float, float, float]:
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    return float(p50), float(p95), float(p99)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _print(result: BenchResult, console: Console) -> None:
    table = Table("stage", "p50 ms", "p95 ms", "p99 ms")
    for stage, figures in result.stages_ms.items():
        table.add_row(stage, *(f"{value:.2f}" for value in figures))
    console.print(table)
    console.print(
        f"{result.frames_per_s:.1f} frames/s end to end\n"
        f"resident memory {result.settled_memory_mb:.0f} MB after the first {_SETTLED} frames, "
        f"{result.memory_mb:.0f} MB after the last, {result.peak_memory_mb:.0f} MB at the peak",
        highlight=False,
    )
