"""The rounds: look at what is so, compare it with what is open, write what changes.

One round reads first and writes after, and writes only where something changes, so that it never
holds up the ingest. What another process does between the two is seen by the next round.
"""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from deploy.dashboard.alerts import lease
from deploy.dashboard.alerts.book import Plan, compare, open_alerts, write
from deploy.dashboard.alerts.facts import Facts, read_facts
from deploy.dashboard.alerts.histories import Histories
from deploy.dashboard.alerts.rules import Open, findings, is_over
from deploy.dashboard.alerts.words import DEFAULT, Limits
from deploy.dashboard.changes import Changes
from deploy.dashboard.database.opening import Database
from deploy.dashboard.errors import DatabaseError
from edge_daemon.contract.envelope import utc_now

AT_MOST_EVERY_S = 1.0
AT_LEAST_EVERY_S = 5.0
_RENEW_AFTER_S = 5.0

_log = logging.getLogger(__name__)


class Watch:
    """``watch.run()`` in a thread of its own, until ``watch.stop()``; or ``watch.round()``."""

    def __init__(
        self,
        database: Database,
        limits: Limits = DEFAULT,
        *,
        name: str | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """``name``: of this process among those that could watch."""
        self._database = database
        self._limits = limits
        self._name = name or uuid.uuid4().hex[:12]
        self._clock = clock
        self._histories = Histories(limits)
        self._gone: dict[int, datetime] = {}
        self._changes = Changes(database)
        self._stopped = False
        self._renewed_s = float("-inf")
        self._leads = False
        self._failed = False

    @property
    def leads(self) -> bool:
        """Whether this is the one that watches and tells."""
        return self._leads and time.monotonic() - self._renewed_s < lease.LASTS_S

    def run(self) -> None:
        """Round after round: when something changed, and now and then in any case."""
        with ExitStack() as stack:
            stack.push(self._changes)  # it opens by itself, as soon as there is a database
            self._rounds()
        with suppress(DatabaseError), self._database.writing() as connection:
            lease.give_back(connection, self._name, self._clock())

    def _rounds(self) -> None:
        while not self._stopped:
            began_s = time.monotonic()
            self._round_or_say_why_not()
            self._changes.wait(AT_LEAST_EVERY_S)
            left_s = AT_MOST_EVERY_S - (time.monotonic() - began_s)
            if left_s > 0 and not self._stopped:
                time.sleep(left_s)

    def _round_or_say_why_not(self) -> None:
        try:
            self.round()
        except DatabaseError as error:
            if not self._failed:
                _log.warning("nothing is watched for: %s", error)
            self._failed = True
        except Exception:  # noqa: BLE001 - a fault of one round must not be the silence of all that follow
            if not self._failed:
                _log.exception("a round of the watch failed; trying again")
            self._failed = True
        else:
            if self._failed:
                _log.warning("alerts are watched for again")
            self._failed = False

    def stop(self) -> None:
        """End the rounds, from any thread."""
        self._stopped = True
        self._changes.close()

    def round(self) -> list[int]:
        """One round; numbers of the alerts that it changed.

        Raises:
            DatabaseError: the database cannot be read or written.
        """
        if not self._lead():
            return []
        now = self._clock()
        with self._database.reading() as connection:
            series = self._histories.next(connection)
            facts = read_facts(connection, now, self._limits, series, self._free())
            open_now = open_alerts(connection)
        plan = compare(findings(facts, self._limits), open_now)
        plan = replace(plan, over=self._over(plan, facts))
        if not plan:
            return []
        with self._database.writing() as connection:
            return write(connection, plan, now)

    def _over(self, plan: Plan, facts: Facts) -> tuple[Open, ...]:
        gone = {one.id: one for one in plan.over if is_over(one, facts, self._limits)}
        self._gone = {number: self._gone.get(number, facts.now) for number in gone}
        return tuple(
            one
            for number, one in gone.items()
            if one.kind != "device"
            or (facts.now - self._gone[number]).total_seconds() >= self._limits.settle_s
        )

    def _lead(self) -> bool:
        now_s = time.monotonic()
        if self._leads and now_s - self._renewed_s < _RENEW_AFTER_S:
            return True
        with self._database.writing() as connection:
            self._leads = lease.take(connection, self._name, self._clock())
        self._renewed_s = now_s
        return self._leads

    def _free(self) -> int | None:
        """Of the disk that an embedded database lies on."""
        if not self._database.is_sqlite or self._database.url.database is None:
            return None
        try:
            return shutil.disk_usage(Path(self._database.url.database).parent).free
        except OSError:
            return None
