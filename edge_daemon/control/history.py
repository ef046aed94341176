"""Every control that was ever run on this device, in the file of the outbox, under its commits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from edge_daemon.contract.control import ControlKind, ControlRun
from edge_daemon.control.validity import Moment
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Envelope, Origin, parcel_of

_TABLE = """
CREATE TABLE IF NOT EXISTS control_runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, at TEXT NOT NULL,
    uptime_s REAL NOT NULL, machine_boot TEXT NOT NULL, synchronised INTEGER NOT NULL,
    message BLOB
)
"""


@dataclass(frozen=True)
class Kept:
    """A run as it was written down."""

    run: ControlRun
    ended: Moment


class ControlHistory:
    """The controls of one device; none is ever deleted (about 3 kB each)."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        with outbox.transaction() as batch:
            batch.execute(_TABLE)

    def add(
        self,
        origin: Origin,
        ended: Moment,
        kind: ControlKind,
        make: Callable[[Envelope, int], ControlRun],
    ) -> ControlRun:
        """Write down a run and put its message into the outbox, under one commit.

        ``make`` makes the message, of its envelope and the number of the run.
        """
        with self._outbox.transaction() as batch:
            batch.execute(
                "INSERT INTO control_runs (kind, at, uptime_s, machine_boot, synchronised)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    kind,
                    ended.utc.isoformat(),
                    ended.uptime_s,
                    ended.machine_boot,
                    ended.synchronised,
                ),
            )
            ((number,),) = self._outbox.query("SELECT max(number) FROM control_runs")
            run = make(batch.envelope(origin), number)
            batch.put(parcel_of(run))
            batch.execute(
                "UPDATE control_runs SET message = ? WHERE number = ?", (run.to_json(), number)
            )
        return run

    def newest(self, kind: ControlKind) -> Kept | None:
        """The last run of a kind."""
        return next(iter(self.runs(1, kind)), None)

    def run(self, number: int) -> ControlRun | None:
        """One run by its number; None where there is none that can be read."""
        rows = self._outbox.query("SELECT message FROM control_runs WHERE number = ?", (number,))
        return _read(rows[0][0]) if rows else None

    def runs(self, limit: int, kind: ControlKind | None = None) -> list[Kept]:
        """The last runs that can be read, newest first."""
        rows = self._outbox.query(
            "SELECT message, at, uptime_s, machine_boot, synchronised FROM control_runs"
            " WHERE kind = coalesce(?, kind) ORDER BY number DESC LIMIT ?",
            (kind, limit),
        )
        kept = []
        for message, at, uptime_s, boot, synchronised in rows:
            run = _read(message)
            if run is not None:
                ended = Moment(datetime.fromisoformat(at), uptime_s, boot, bool(synchronised))
                kept.append(Kept(run, ended))
        return kept


def _read(message: bytes) -> ControlRun | None:
    try:
        return ControlRun.model_validate_json(message)
    except ValidationError:  # of another version: it counts for nothing, and harms nobody
        return None
