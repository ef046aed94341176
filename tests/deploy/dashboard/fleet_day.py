"""What devices of a day said of themselves: health, controls, a candidate that looked on."""

from __future__ import annotations

import base64
import math
import uuid
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert, select, update

from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import cells, crops, devices, health, slides, workers
from deploy.dashboard.ingest.arrived import Arrived
from deploy.dashboard.ingest.entering import Entering
from edge_daemon.contract.control import ControlFigures, ControlRun
from edge_daemon.contract.envelope import FromDevice
from edge_daemon.contract.findings import (
    CellCounts,
    Clock,
    FrameCounts,
    Latency,
    Opinion,
    OutboxDepth,
)
from edge_daemon.contract.messages import EngineInUse, Health, ShadowReport, Status
from edge_daemon.contract.shadow import (
    Agreement,
    Candidate,
    Disagreement,
    LabelCounts,
    LabelTable,
    ProbabilityShift,
    ShadowFrames,
    ShadowSide,
)
from edge_daemon.contract.topics import parse_topic, topic_of
from edge_daemon.contract.update import ReleaseStanding, UpdateReport, UpdateStanding
from edge_daemon.vision.slide import blast_fraction, judge
from tests.deploy.dashboard.filled import BUNDLE, OLDER_BUNDLE

CANDIDATE = "sha256:" + "c4d1da7e" * 8
_ZERO = "sha256:" + "0" * 64


class Voice:
    """One start of a device's daemon that says how it fares."""

    def __init__(self, site: str, device: str, bundle: str = BUNDLE) -> None:
        self.site, self.device, self.bundle = site, device, bundle
        self.boot_id = uuid.uuid4().hex
        self.seq = self.record = 0

    def envelope(self, at: datetime, *, stored: bool = False) -> dict[str, Any]:
        self.seq += 1
        self.record += stored
        return {
            "site": self.site,
            "device": self.device,
            "boot_id": self.boot_id,
            "seq": self.seq,
            "record": self.record,
            "bundle": self.bundle,
            "ts": at,
        }

    def status(self, at: datetime, state: str = "online", reason: str | None = None) -> Status:
        return Status(
            **self.envelope(at),
            state=state,  # type: ignore[arg-type]
            reason=reason,
            version="1.0.0",
        )

    def health(self, at: datetime, **more: Any) -> Health:
        stages = {"read": 4.0, "quality": 6.5, "detect": 24.0, "classify": 11.0, "place": 3.2}
        said: dict[str, Any] = {
            "uptime_s": 48_000.0,
            "fps": 14.6,
            "frames": FrameCounts(),
            "latency": {
                name: Latency(p50_ms=value, p95_ms=1.4 * value, p99_ms=2.1 * value)
                for name, value in {**stages, "total": sum(stages.values())}.items()
            },
            "queues": {"detect": 0},
            "drops": {"the disk was too slow": 3, "the classifier was busy": 11},
            "temperatures_c": {"cpu": 61.0, "gpu": 64.5},
            "disk_free_bytes": 41_200_000_000,
            "memory_bytes": 1_310_000_000,
            "outbox": OutboxDepth(messages=4, size_bytes=61_000),
            "power_w": {"VDD_IN": 11.8},
            "clock": Clock(synchronised=True, offset_ms=0.4, max_error_ms=12.0, told_by="kernel"),
            "engines": (
                EngineInUse(role="detector", engine="tensorrt:Orin", precision="int8"),
                EngineInUse(role="classifier", engine="tensorrt:Orin", precision="fp16"),
            ),
        }
        return Health(**{**self.envelope(at), **said, **more})

    def update(self, at: datetime) -> UpdateReport:
        """The models that were ordered are in use; an order of the daemon came to nothing."""
        bundle = UpdateStanding(
            order="a" * 32,
            step="active",
            desired="leukoedge-0.7.0",
            role="active",
            runs="leukoedge-0.7.0",
            waits_for=None,
            refused=None,
            orders_refused=(),
            looked_at=at,
            daemon=ReleaseStanding(
                order="b" * 32,
                step="failed",
                desired="leukoedge 1.1.0",
                runs="1.0.0",
                waits_for=None,
                refused="1.1.0 did not answer within 120 s; 1.0.0 is current again",
            ),
        )
        return UpdateReport(**self.envelope(at), standing=bundle)

    def control(self, at: datetime, run: int, verdict: str, reason: str) -> ControlRun:
        figures = ControlFigures(
            frames=FrameCounts(captured=20, analysed=20),
            cells=CellCounts(wbc=60, rbc=400),
            nucleated_cells=60,
            blasts=12,
            uncertain=2,
            blast_fraction=blast_fraction(12, 60),
            decisions=_ZERO,
        )
        return ControlRun(
            **self.envelope(at, stored=True),
            run=run,
            kind="stored",
            source="/var/lib/leuko-edge/control",
            began_at=at - timedelta(seconds=30),
            ended_at=at,
            engines="the bundle on OpenVINO",
            setup=_ZERO,
            expectation=_ZERO,
            expected=figures,
            found=figures,
            verdict=verdict,  # type: ignore[arg-type]
            reasons=(reason,),
        )


def listens(database: Database, now: datetime, since: datetime | None = None) -> None:
    """A worker of the ingest that is connected now."""
    values = {
        "name": "1", "since": since or now - timedelta(days=2), "until": now, "connected": True,
        "line": None, "messages": 48_211,
    }  # fmt: skip
    with database.writing() as connection:
        connection.execute(workers.delete())
        connection.execute(insert(workers).values(values))


def enter(database: Database, *messages: tuple[FromDevice, datetime]) -> None:
    """Through the ingest's own code."""
    batch = [
        Arrived(parse_topic(topic_of(one)), one, at, None)  # type: ignore[arg-type]
        for one, at in messages
    ]
    Entering(database).enter(batch, messages[-1][1])


def fill_fleet(database: Database, now: datetime) -> None:
    """Of a day that :func:`tests.deploy.dashboard.filled.fill` entered."""
    listens(database, now)
    for number, (site, name) in enumerate(
        [("north", "scope-1"), ("north", "scope-2"), ("south", "scope-3"), ("south", "scope-5")]
    ):
        voice = Voice(site, name, OLDER_BUNDLE if name == "scope-3" else BUNDLE)
        at = now - timedelta(seconds=20)
        said: list[tuple[FromDevice, datetime]] = [(voice.status(at - timedelta(minutes=9)), at)]
        if name == "scope-2":
            said.append((voice.status(at, "degraded", "the lamp flickers"), at))
        failed = ("failed", "12 of 60 cells are blasts, 21 expected")
        verdict = failed if name == "scope-3" else ("passed", "all cells as expected")
        said += [(voice.control(at, 41, *verdict), at), (voice.health(at, **_trouble(name)), at)]
        if name == "scope-3":
            said.append((voice.update(at), at))
        if name == "scope-5":
            said.append((voice.status(at, "offline", "connection lost"), at))
        enter(database, *said)
        _history(database, site, name, now, number)
    _candidate(database, now)


def _trouble(name: str) -> dict[str, Any]:
    if name == "scope-2":
        return {"disk_free_bytes": 1_400_000_000, "throttled": ("too hot: the GPU is held back",)}
    if name == "scope-3":
        return {"control": "the stored control of today failed"}
    return {}


def _history(database: Database, site: str, name: str, now: datetime, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = []
    with database.writing() as connection:
        number = connection.scalar(
            select(devices.c.id).where(devices.c.site == site, devices.c.name == name)
        )
        for minute in range(2, 1400):
            if 300 < minute < 360 and seed:
                continue
            wave = math.sin(minute / 170 + seed)
            rows.append(
                {
                    "device_id": number,
                    "at": now - timedelta(minutes=minute),
                    "fps": round(14.5 + wave + float(rng.normal(0, 0.2)), 2),
                    "p50_ms": 48.0,
                    "p95_ms": round(62 - 3 * wave + float(rng.gamma(1.2, 2.0)), 1),
                    "hottest_c": round(61 + 4 * wave + float(rng.normal(0, 0.4)), 1),
                    "disk_free_bytes": int(41.2e9 + 4e6 * minute),
                    "memory_bytes": 1_310_000_000,
                    "waiting": int(
                        max(0, rng.poisson(3) + (400 - 8 * minute if minute < 50 else 0))
                    ),
                    "evicted": 0,
                    "dropped": max(0, 14 - minute // 100),
                    "skew_s": round(0.05 * wave + float(rng.normal(0, 0.01)), 3),
                }
            )
        connection.execute(insert(health), rows)


def _candidate(database: Database, now: datetime) -> None:
    """A candidate looked on at the first slide."""
    with database.reading() as connection:
        slide = connection.execute(
            select(slides.c.id, slides.c.name).where(slides.c.site == "north").order_by(slides.c.id)
        ).first()
        assert slide is not None
        found = connection.execute(
            select(cells.c.unique_id, cells.c.frame, cells.c.p_blast, cells.c.label, crops.c.jpeg)
            .join(
                crops,
                (crops.c.slide_id == cells.c.slide_id) & (crops.c.unique_id == cells.c.unique_id),
            )
            .where(cells.c.slide_id == slide.id)
            .order_by(cells.c.p_blast.desc())
            .limit(6)
        ).all()
    voice = Voice("north", "scope-1")
    enter(database, (report_of(voice, slide.name, found, now), now))


def report_of(voice: Voice, slide: str, found: Any, at: datetime) -> ShadowReport:
    """A report of a candidate whose worst disagreements are these cells."""
    table = LabelTable(
        blast=LabelCounts(blast=61, normal=2, uncertain=3),
        normal=LabelCounts(blast=1, normal=70, uncertain=2),
        uncertain=LabelCounts(blast=2, normal=3, uncertain=8),
    )
    alone, other = LabelCounts(normal=2), LabelCounts(uncertain=1)
    both, agreed = table.cells, table.agreed
    worst = tuple(
        Disagreement(
            frame=row.frame,
            unique_id=row.unique_id,
            box=(100.0, 100.0, 60.0, 60.0),
            active=Opinion(p_blast=0.93, label="blast"),
            candidate=Opinion(p_blast=0.12, label="normal"),
            jpeg=base64.b64encode(row.jpeg).decode(),
        )
        for row in found
    )
    return ShadowReport(
        **voice.envelope(at, stored=True),
        slide=slide,
        candidate=Candidate(bundle="leukoedge-0.8.0", digest=CANDIDATE),
        frames=ShadowFrames(analysed=57, compared=55, skipped=2),
        table=table,
        only_active=alone,
        only_candidate=other,
        agreement=Agreement(
            agreed=agreed, cells=both, estimate=agreed / both, low=0.86, high=0.96, confidence=0.95
        ),
        p_blast_shift=ProbabilityShift(mean=-0.012, mean_absolute=0.041),
        by_active=_side(66, 13, both + alone.cells),
        by_candidate=_side(64, 14, both + other.cells),
        disagreements=both - agreed + alone.cells + other.cells,
        worst=worst,
        completion="finished",
    )


def _side(blasts: int, uncertain: int, nucleated: int) -> ShadowSide:
    frames = FrameCounts(captured=55, analysed=55)
    verdict = judge(blasts=blasts, uncertain=uncertain, nucleated=nucleated, frames=frames)
    return ShadowSide(
        nucleated_cells=nucleated,
        blasts=blasts,
        uncertain=uncertain,
        blast_fraction=blast_fraction(blasts, nucleated),
        disposition=verdict.disposition,
    )


def forget_silence(database: Database, now: datetime) -> None:
    """Every device was heard just now."""
    with database.writing() as connection:
        connection.execute(update(devices).values(seen_at=now))
