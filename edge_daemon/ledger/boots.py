"""How all frames since the daemon was started ended, whatever slide they belong to.

The sums go with each frame, in its row of the ledger, which is written anyway; they are put into
their own table when these rows are deleted, and by the next process when one was killed.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timezone
from typing import Any

from edge_daemon.contract.terms import Outcome
from edge_daemon.delivery.outbox import Batch
from edge_daemon.ledger.tables import Tables

TABLE = """
CREATE TABLE IF NOT EXISTS boots (
    boot INTEGER PRIMARY KEY AUTOINCREMENT, boot_id TEXT NOT NULL, started_at TEXT NOT NULL,
    frames TEXT NOT NULL
)
"""
_KEPT = 100

NEWEST_ROWS = """
SELECT about FROM slide_frames AS one
WHERE number = (SELECT max(number) FROM slide_frames WHERE slide = one.slide)
"""
"""The last frame's row of each slide that is under way."""


class Boots:
    """The sums of this process, where it has a number; it has none where no frame is entered."""

    def __init__(self, tables: Tables, batch: Batch, boot_id: str | None) -> None:
        """Begin to count as ``boot_id``, when what the process before counted is in its place."""
        self._boot: int | None = None
        self._frames: Counter[str] = Counter()
        for (about,) in tables.query(NEWEST_ROWS):
            self._put(batch, *(json.loads(about).get("boot") or (None, {})))
        if boot_id is None:
            return
        batch.execute(
            "INSERT INTO boots (boot_id, started_at, frames) VALUES (?, ?, '{}')",
            (boot_id, datetime.now(timezone.utc).isoformat()),
        )
        ((self._boot,),) = tables.query("SELECT max(boot) FROM boots")
        batch.execute("DELETE FROM boots WHERE boot <= (SELECT max(boot) FROM boots) - ?", (_KEPT,))

    def enter(self, outcome: Outcome) -> list[Any]:
        """Count a frame; what goes into its row."""
        self._frames["captured"] += 1
        self._frames[outcome] += 1
        return [self._boot, self._frames]

    def write(self, batch: Batch) -> None:
        """Write the sums down, in the batch that deletes the rows of frames."""
        self._put(batch, self._boot, self._frames)

    @staticmethod
    def _put(batch: Batch, boot: int | None, frames: dict[str, int]) -> None:
        if boot is not None:
            batch.execute("UPDATE boots SET frames = ? WHERE boot = ?", (json.dumps(frames), boot))
