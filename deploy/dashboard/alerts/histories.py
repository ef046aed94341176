"""Each device's slides, newest first, as the test of drift wants them; read in turns.

A drift is nothing of minutes, and its figures are dear where there are many frames: a few devices a
round, only those that ended a slide since, and the stain of a slide that has ended once.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from sqlalchemy import Connection, func, select

from deploy.dashboard.alerts.facts import Series
from deploy.dashboard.alerts.words import Limits
from deploy.dashboard.database.tables import frames, slides

_LOOK_EVERY_S = 60.0
_DEVICES_A_ROUND = 5
_FRAMES = 200
"""First frames of a slide, whose stain stands for all of it."""
_MOST_KNOWN = 200_000


class Histories:
    """``histories.next(connection)`` at each round."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seen: dict[int, Any] = {}
        self._due: OrderedDict[int, None] = OrderedDict()
        self._stains: OrderedDict[int, float | None] = OrderedDict()
        self._look_at_s = float("-inf")

    def next(self, connection: Connection) -> dict[int, Series]:
        """The histories of the next few devices whose turn it is."""
        now_s = time.monotonic()
        if now_s - self._look_at_s >= _LOOK_EVERY_S:
            self._look_at_s = now_s
            for device, *newest in connection.execute(
                select(slides.c.device_id, func.count(), func.max(slides.c.ended_at))
                .where(slides.c.ended_at.is_not(None), slides.c.control.is_(False))
                .group_by(slides.c.device_id)
            ):
                if self._seen.get(device) != newest:
                    self._seen[device] = newest
                    self._due[device] = None
        turn = [self._due.popitem(last=False)[0] for _ in range(_DEVICES_A_ROUND) if self._due]
        return {device: self._series(connection, device) for device in turn}

    def _series(self, connection: Connection, device: int) -> Series:
        limits, it = self._limits, slides.c
        found = connection.execute(
            select(
                it.id, it.first_at, it.newest_at, it.nucleated, it.blasts, it.uncertain, it.bundle
            )
            .where(
                it.device_id == device,
                it.control.is_(False),
                it.ended_at.is_not(None),
                it.nucleated >= limits.least_cells,
            )
            .order_by(it.newest_at.desc(), it.id.desc())
            .limit(limits.recent_slides + limits.past_slides)
        ).all()  # fmt: skip
        stains = [self._stain(connection, row) for row in found]
        near = found[: 2 * limits.recent_slides]
        return Series(
            tuple((row.blasts + row.uncertain) / row.nucleated for row in found),
            tuple(one for one in stains if one is not None),
            max(1, len({row.bundle for row in near if row.bundle is not None})),
        )

    def _stain(self, connection: Connection, row: Any) -> float | None:
        if row.id not in self._stains:
            self._stains[row.id] = connection.scalar(
                select(func.avg(frames.c.stain_shift)).where(
                    frames.c.slide_id == row.id,
                    frames.c.frame < _FRAMES,
                    frames.c.received_at.between(row.first_at, row.newest_at),
                )
            )
            while len(self._stains) > _MOST_KNOWN:
                self._stains.popitem(last=False)
        return self._stains[row.id]
