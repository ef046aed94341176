"""Who watches, where several could: one of them, until it says so no more.

Each raises the same alerts from the same facts, so two at once would do no harm to the table; but
they read at different moments, and what one has just cleared the other would raise again. The lease
is a row of ``meta``; clocks of the machines may differ by less than it lasts.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from deploy.dashboard.alerts.book import lock
from deploy.dashboard.database.tables import meta
from deploy.dashboard.ingest.rows import insert_or_update

LASTS_S = 15.0
_KEY = "watch"


def take(connection: Connection, name: str, now: datetime) -> bool:
    """Take the lease or renew it, inside a writing transaction; False: another one holds it."""
    lock(connection)
    held = holder(connection, now)
    if held is not None and held != name:
        return False
    until = (now + timedelta(seconds=LASTS_S)).isoformat()
    value = json.dumps({"holder": name, "until": until})
    insert_or_update(connection, meta, [{"key": _KEY, "value": value}])
    return True


def holder(connection: Connection, now: datetime) -> str | None:
    """Who watches now; None: nobody does."""
    value = connection.scalar(select(meta.c.value).where(meta.c.key == _KEY))
    if value is None:
        return None
    said = json.loads(value)
    return str(said["holder"]) if datetime.fromisoformat(said["until"]) > now else None


def give_back(connection: Connection, name: str, now: datetime) -> None:
    """Let the next one begin at once."""
    lock(connection)
    if holder(connection, now) == name:
        connection.execute(delete(meta).where(meta.c.key == _KEY))
