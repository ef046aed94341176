"""What is in a database, for comparison with what was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

from sqlalchemy import select, union_all

from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import (
    boots,
    controls,
    crops,
    devices,
    frames,
    opinions,
    replies,
    shadows,
    summaries,
)
from edge_daemon.contract.envelope import FromDevice
from edge_daemon.contract.messages import Health, Status

Name: TypeAlias = tuple[str, str, str, int]
"""Site, device, boot_id, seq: no two messages share one."""


def entered(database: Database) -> Counter[Name]:
    """Every result that is in its table, and how often."""
    tables = (frames, crops, opinions, summaries, shadows, controls, replies)
    every = union_all(*(select(one.c.boot, one.c.seq) for one in tables)).subquery()
    query = (
        select(devices.c.site, devices.c.name, boots.c.boot_id, every.c.seq)
        .join_from(every, boots, boots.c.id == every.c.boot)
        .join(devices, devices.c.id == boots.c.device_id)
    )
    with database.reading() as connection:
        return Counter((row[0], row[1], row[2], row[3]) for row in connection.execute(query))


def said(messages: Iterable[FromDevice]) -> Counter[Name]:
    """The same of what was said, each result once."""
    return Counter(
        {
            (one.site, one.device, one.boot_id, one.seq): 1
            for one in messages
            if not isinstance(one, Status | Health)
        }
    )
