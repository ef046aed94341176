"""A slide as a device judges it with a real bundle, entered as its messages: pictures and all.

Nothing is made up in between: the daemon's own path from frame to message, the ingest's own code
from message to row.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from deploy.dashboard.database.opening import Database
from deploy.dashboard.ingest.arrived import Arrival, Arrived, read
from deploy.dashboard.ingest.entering import Entering
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.envelope import utc_now
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.engines.options import EngineOptions
from edge_daemon.inference import Models
from edge_daemon.pipeline import Pipeline
from edge_daemon.reporter import Reporter
from edge_daemon.sources.base import Captured
from edge_daemon.vision.quality import QualityThresholds

SHIPPED = Path(__file__).parents[3] / "deploy" / "bundles" / "leukoedge-0.7.0"
FLOAT32 = EngineOptions(precision="fp32")
"""Every processor has it: what INT8 does is the business of other tests."""


def enter_slide(
    database: Database,
    frames: Iterable[Captured],
    bundle: Path,
    folder: Path,
    *,
    name: str = "judged",
    quality: QualityThresholds | None = None,
    options: EngineOptions = FLOAT32,
) -> str:
    """Judge ``frames`` and enter what was said; returns the digest of the bundle.

    ``folder``: for the device's outbox.
    """
    with (
        Models.open(load_bundle(bundle), options) as models,
        closing(Outbox(folder / f"outbox-{name}.db")) as outbox,
    ):
        origin = Origin("lab", "scope-1", uuid.uuid4().hex, models.bundle.digest)
        reporter = Reporter(origin, name, outbox=outbox)
        pipeline = Pipeline(models, quality)
        for captured in frames:
            prepared = pipeline.prepare(captured)
            findings = pipeline.finish(prepared)
            assert findings.outcome == "analysed", findings.reason
            reporter.frame(findings, prepared.captured.pixels)  # type: ignore[union-attr]
        sent = [entry.parcel for entry in outbox.pending(10_000)]
        digest = models.bundle.digest
    now = utc_now()
    arrived = [read(Arrival(one.topic, one.payload, False, one.about), now) for one in sent]
    assert all(isinstance(one, Arrived) for one in arrived)
    Entering(database).enter(arrived, now)  # type: ignore[arg-type]
    return digest
