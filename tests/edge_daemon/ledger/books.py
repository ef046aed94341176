"""The ledger of one process, fed with outcomes: no picture and no network needs to be there."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from pathlib import Path

from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.contract.terms import Completion, Outcome
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.ledger.slides import SlideLedger
from edge_daemon.pipeline import Findings
from edge_daemon.reporter import Reporter
from edge_daemon.slide_session import SlideSession, SlideSetup
from edge_daemon.vision.slide_map import SlideMap

REASONS: dict[Outcome, str | None] = {
    "analysed": None,
    "rejected": "out of focus: sharpness 4.1, needs 8.5: turn the fine focus",
    "dropped": "too slow: 3 frames wait",
    "failed": "camera 0: torn frame: row 17 on is of the frame before",
}


class Books:
    """What a daemon writes down, without the daemon."""

    def __init__(self, folder: Path, **options: int) -> None:
        self.path = folder / "outbox.db"
        self.outbox = Outbox(self.path)
        self.origin = Origin("lab", "m1", uuid.uuid4().hex, "sha256:" + "ab" * 32)
        self.ledger = SlideLedger(self.outbox, self.origin.boot_id, **options)
        self.slide_map = SlideMap()
        self.session: SlideSession | None = None
        self.results: list[FrameResult] = []
        left = self.ledger.unfinished()
        self._index = 0
        if left is not None:
            self.slide_map = left.slide_map
            self.session = SlideSession(
                left.setup, self.slide_map, tally=left.tally, started_at=left.started_at
            )

    def begin(self, name: str, **setup: str) -> None:
        self.slide_map = SlideMap()
        self.session = SlideSession(SlideSetup(name, **setup), self.slide_map)
        self.ledger.begin(self.session.setup, self.origin.bundle, self.session.started_at)

    def enter(self, outcome: Outcome, reason: str | None = None) -> None:
        assert self.session is not None
        findings = Findings(
            frame=self.session.tally.captured,
            field=0,
            source="camera 0",
            captured_at=datetime.now(timezone.utc),
            outcome=outcome,
            reason=reason or REASONS[outcome],
            width=None if outcome == "dropped" else 640,
            height=None if outcome == "dropped" else 480,
        )
        self._index += 1
        self.session.enter(findings)
        reporter = self._reporter()
        with reporter.together() as batch:
            assert batch is not None
            self.results.append(reporter.frame(findings, None))
            self.ledger.enter(batch, self.session.name, self._index, findings, self.slide_map)

    def stand(self, completion: Completion | None = None) -> SlideSummary:
        assert self.session is not None
        reporter = self._reporter()
        with reporter.together() as batch:
            assert batch is not None
            summary = reporter.standing(self.session.standing(completion=completion))
            self.ledger.note(batch, summary)
        if completion is not None:
            self.session = None
        return summary

    def die(self) -> None:
        """As a power cut: nothing more is said."""
        self.outbox.close()

    def _reporter(self) -> Reporter:
        assert self.session is not None
        return Reporter(self.origin, self.session.name, outbox=self.outbox)
