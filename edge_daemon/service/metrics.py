"""Prometheus metrics: counted per frame by the loop, everything else read when somebody asks.

Names and units follow the conventions of Prometheus (base units, ``_total`` for what only rises).
The registry is our own: nothing of the process appears in it by chance.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from edge_daemon import __version__
from edge_daemon.contract.messages import FrameResult, Health, SlideSummary
from edge_daemon.contract.shadow import LabelCounts, ShadowReport
from edge_daemon.contract.terms import LABELS
from edge_daemon.delivery.mqtt import LinkState
from edge_daemon.service.health import GLASS_TO_OUTBOX, glass_to_outbox_ms
from edge_daemon.service.host.readings import Readings
from edge_daemon.service.view import DeviceView

_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_CAUSES = 20
"""Causes of drops that get a line of their own: a label must not grow without end."""


class FrameMetrics:
    """What is counted for each frame. :meth:`count` belongs to the frame loop."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        frames = Counter(
            "leukoedge_frames",
            "Captured frames since the start of the daemon, by how they ended.",
            ["outcome"],
            registry=self.registry,
        )
        self._drops = Counter(
            "leukoedge_frames_dropped",
            "Frames dropped since the start of the daemon, by cause.",
            ["cause"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "leukoedge_frame_latency_seconds",
            "Time per frame by stage; glass_to_outbox is the whole way to the commit on disk.",
            ["stage"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        # Looking a child up by its label takes as long as counting does.
        outcomes = ("analysed", "rejected", "dropped", "failed")
        self._frames = {outcome: frames.labels(outcome) for outcome in outcomes}
        self._stages: dict[str, Histogram] = {}
        self._causes: set[str] = set()

    def count(self, result: FrameResult) -> None:
        """Count one frame, when its result has been stored."""
        self._frames[result.outcome].inc()
        if result.outcome == "dropped":
            self._drops.labels(self._cause(result.reason or "unknown")).inc()
        for stage, spent_ms in result.timings_ms.items():
            self._observe(stage, spent_ms)
        whole_ms = glass_to_outbox_ms(result)
        if whole_ms is not None:
            self._observe(GLASS_TO_OUTBOX, whole_ms)

    def _observe(self, stage: str, spent_ms: float) -> None:
        histogram = self._stages.get(stage)
        if histogram is None:
            histogram = self._stages[stage] = self._latency.labels(stage)
        histogram.observe(spent_ms / 1e3)

    def _cause(self, reason: str) -> str:
        if reason in self._causes or len(self._causes) < _CAUSES:
            self._causes.add(reason)
            return reason
        return "other"


class DeviceMetrics(Collector):
    """The whole exposition: what was counted, and what is read now."""

    def __init__(
        self,
        view: DeviceView,
        frames: FrameMetrics,
        link: Callable[[], LinkState | None] = lambda: None,
        readings: Callable[[], Readings | None] = lambda: None,
    ) -> None:
        self._view = view
        self._link = link
        self._readings = readings
        self._registry = frames.registry
        self._registry.register(self)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing in advance: which metrics there are depends on the machine."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read what is not counted."""
        yield _gauge("leukoedge_live", "1 while the pipeline gets on.", self._view.liveness().ok)
        yield _gauge(
            "leukoedge_ready", "1 while a slide may be screened.", self._view.readiness().ok
        )
        health, slide = self._view.health(), self._view.slide()
        bundle = (health.bundle if health is not None else None) or ""
        labels = {"version": __version__, "bundle": bundle, "python": platform.python_version()}
        yield _by("leukoedge_build_info", "What runs.", labels, 1)
        if slide is not None:
            yield from _of_slide(slide)
        shadow = self._view.shadow()
        if shadow is not None:
            yield from _of_shadow(shadow)
        link = self._link()
        if link is not None:
            yield _gauge("leukoedge_broker_connected", "1 while connected.", link.connected)
            yield _counter("leukoedge_broker_refusals", "Messages refused.", link.refusals)
        if health is not None:
            yield from _of_health(health)
        readings = self._readings()
        if readings is not None:
            yield _counters(
                "leukoedge_throttle_events",
                "Throttling events since the machine started.",
                "cause",
                readings.throttle_alerts,
            )


def _of_slide(slide: SlideSummary) -> Iterator[Metric]:
    cells = slide.unique_cells
    yield _gauges(
        "leukoedge_slide_unique_cells",
        "Cells on the current slide, each counted once.",
        "kind",
        {"wbc": cells.wbc, "rbc": cells.rbc, "platelet": cells.platelet},
    )
    normal = slide.nucleated_cells - slide.blasts - slide.uncertain
    yield _gauges(
        "leukoedge_slide_nucleated_cells",
        "Classified nucleated cells on the current slide.",
        "label",
        {"blast": slide.blasts, "uncertain": slide.uncertain, "normal": normal},
    )
    if slide.coverage_mm2 is not None:
        name = "leukoedge_slide_coverage_square_metres"
        yield _gauge(name, "Area seen.", slide.coverage_mm2 * 1e-6)


def _of_shadow(report: ShadowReport) -> Iterator[Metric]:
    labels = {"bundle": report.candidate.digest, "label": report.candidate.bundle}
    name = "leukoedge_shadow_looks_on"
    yield _by(name, "1 while a candidate sees the frames.", labels, report.fault is None)
    frames = report.frames
    yield _gauges(
        "leukoedge_shadow_frames",
        "Frames of the current slide that the active bundle analysed, by what the candidate did.",
        "outcome",
        {
            "compared": frames.compared,
            "skipped": frames.skipped,
            "waiting": frames.analysed - frames.compared - frames.skipped,
        },
    )
    cells = GaugeMetricFamily(
        "leukoedge_shadow_cells",
        "Nucleated cells of the frames compared, by what each bundle says; none: not found.",
        labels=["active", "candidate"],
    )
    rows: tuple[tuple[str, LabelCounts], ...] = (
        *((label, getattr(report.table, label)) for label in LABELS),
        ("none", report.only_candidate),
    )
    for said, row in rows:
        for label in LABELS:
            cells.add_metric([said, label], row.of(label))
    for label in LABELS:
        cells.add_metric([label, "none"], report.only_active.of(label))
    yield cells
    if report.agreement is not None:
        name = "leukoedge_shadow_agreement_ratio"
        yield _gauge(name, "Of the cells that both found.", report.agreement.estimate)


def _of_health(health: Health) -> Iterator[Metric]:
    outbox, clock = health.outbox, health.clock
    yield _gauge("leukoedge_uptime_seconds", "Since the start of the daemon.", health.uptime_s)
    yield _gauge(
        "leukoedge_health_timestamp_seconds",
        "When what follows from the health message was read.",
        health.ts.timestamp(),
    )
    yield _gauge("leukoedge_frames_per_second", "Since the last health message.", health.fps)
    yield _gauge("leukoedge_outbox_messages", "Not delivered yet.", outbox.messages)
    yield _gauge("leukoedge_outbox_bytes", "Not delivered yet.", outbox.size_bytes)
    yield _gauge("leukoedge_outbox_refused_messages", "Refused by the broker.", outbox.refused)
    yield _counter("leukoedge_outbox_evicted_messages", "Given up for good.", outbox.evicted)
    yield _gauges(
        "leukoedge_temperature_celsius", "By sensor.", "sensor", dict(health.temperatures_c)
    )
    yield _gauges("leukoedge_power_watts", "By supply rail.", "rail", dict(health.power_w))
    yield _gauge("leukoedge_throttled", "1 while held back.", bool(health.throttled))
    if health.disk_free_bytes is not None:
        yield _gauge("leukoedge_disk_free_bytes", "Beside the outbox.", health.disk_free_bytes)
    if health.memory_bytes is not None:
        yield _gauge("leukoedge_memory_resident_bytes", "Of the daemon.", health.memory_bytes)
    if clock.synchronised is not None:
        name = "leukoedge_clock_synchronised"
        yield _gauge(name, "1 while set by a time server.", clock.synchronised)
    if clock.offset_ms is not None:
        name = "leukoedge_clock_offset_seconds"
        yield _gauge(name, "Still being corrected.", clock.offset_ms / 1e3)
    if clock.max_error_ms is not None:
        name = "leukoedge_clock_max_error_seconds"
        yield _gauge(name, "The kernel's bound.", clock.max_error_ms / 1e3)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=float(value))


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(name, what, value=float(value))


def _gauges(name: str, what: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family


def _counters(name: str, what: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, what, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family


def _by(name: str, what: str, labels: dict[str, str], value: float) -> Metric:
    family = GaugeMetricFamily(name, what, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family
