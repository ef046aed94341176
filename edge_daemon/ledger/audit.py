"""Every command that reached the device, and what became of it: on disk, before it is answered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from edge_daemon.contract.messages import Command
from edge_daemon.delivery.outbox import Batch, Outbox
from edge_daemon.ledger.tables import Tables, add_columns, columns_of

KEPT = 10_000
"""Commands kept; the oldest go first. A repeat of one that is forgotten is too old to be valid."""

_TABLE = """
CREATE TABLE IF NOT EXISTS commands (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, via TEXT NOT NULL, id TEXT,
    name TEXT, args TEXT, reason TEXT, result TEXT
)
"""
_ADDED = {"uid": "INTEGER", "operator": "TEXT"}
"""Columns that files of the first releases lack."""


@dataclass(frozen=True)
class Answer:
    """What became of a command: ``reason`` says why it was refused, None that it was not."""

    reason: str | None
    result: dict[str, Any]


@dataclass(frozen=True)
class Sender:
    """Who sent a command, as far as is known: over MQTT and HTTP it is not."""

    uid: int | None = None
    """User of this machine, as the kernel says."""
    operator: str | None = None
    """Pseudonym, as the sender says."""


@dataclass(frozen=True)
class AuditEntry:
    """One line of the audit; what could not be read of a malformed command is None."""

    at: datetime
    via: str
    """How it came: ``mqtt``, ``http``, ``local``."""
    id: str | None
    name: str | None
    args: dict[str, Any]
    answer: Answer
    sender: Sender = Sender()


class CommandAudit:
    """The commands of one device, newest last."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        with outbox.transaction() as batch:
            batch.execute(_TABLE)
            batch.execute("CREATE INDEX IF NOT EXISTS commands_by_id ON commands (id)")
            add_columns(outbox, batch, "commands", _ADDED)

    def answer_to(self, command_id: str) -> Answer | None:
        """What was answered to a command when it came first; None when it never did."""
        rows = self._outbox.query(
            "SELECT reason, result FROM commands WHERE id = ? ORDER BY number LIMIT 1",
            (command_id,),
        )
        if not rows:
            return None
        reason, result = rows[0]
        return Answer(reason, json.loads(result))

    def write(
        self,
        batch: Batch,
        at: datetime,
        via: str,
        command: Command | None,
        answer: Answer,
        sender: Sender = Sender(),
    ) -> None:
        """Write down a command, in the batch that answers it."""
        batch.execute(
            "INSERT INTO commands (at, via, id, name, args, reason, result, uid, operator)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                at.isoformat(),
                via,
                None if command is None else command.id,
                None if command is None else command.name,
                json.dumps({} if command is None else command.args),
                answer.reason,
                json.dumps(answer.result),
                sender.uid,
                sender.operator,
            ),
        )
        batch.execute(
            "DELETE FROM commands WHERE number <= (SELECT max(number) FROM commands) - ?", (KEPT,)
        )

    def entries(self, limit: int = 100) -> list[AuditEntry]:
        """The newest commands, newest first."""
        return entries_in(self._outbox, limit)


def entries_in(tables: Tables, limit: int = 100, *, day: date | None = None) -> list[AuditEntry]:
    """The newest commands, newest first; only those of one ``day`` (UTC) where it is given."""
    there = columns_of(tables, "commands")
    known = [name if name in there else f"NULL AS {name}" for name in _ADDED]
    where = "" if day is None else "WHERE substr(at, 1, 10) = ?"
    rows = tables.query(
        f"SELECT at, via, id, name, args, reason, result, {', '.join(known)} FROM commands"  # noqa: S608
        f" {where} ORDER BY number DESC LIMIT ?",
        (*([] if day is None else [day.isoformat()]), limit),
    )
    return [
        AuditEntry(
            at=datetime.fromisoformat(at),
            via=via,
            id=command_id,
            name=name,
            args=json.loads(args),
            answer=Answer(reason, json.loads(result)),
            sender=Sender(uid, operator),
        )
        for at, via, command_id, name, args, reason, result, uid, operator in rows
    ]
