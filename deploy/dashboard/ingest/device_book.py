"""The devices that one transaction changes: held, read once, changed in memory, written once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from deploy.dashboard.database.tables import (
    bundles,
    controls,
    devices,
    health,
    replies,
    statuses,
)
from deploy.dashboard.database.types import packed
from deploy.dashboard.ingest.arrived import Arrived, plain
from deploy.dashboard.ingest.boots import Boot
from deploy.dashboard.ingest.rows import Row, insert_new, read, update_changed
from edge_daemon.contract.messages import (
    CommandReply,
    ControlRun,
    Health,
    ShadowReport,
    Status,
    UpdateReport,
)

KEEP_HEALTH_EVERY_S = 60.0
_MOST_KNOWN = 50_000
_READ = tuple(column.name for column in devices.c if column.name not in ("health", "updates"))


class Names:
    """Numbers of devices and names of bundles that a worker knows, from one to the next."""

    def __init__(self) -> None:
        self.devices: dict[tuple[str, str], int] = {}
        self.bundles: set[tuple[str, str | None]] = set()

    def forget(self) -> None:
        """A transaction failed, or there are too many."""
        self.devices.clear()
        self.bundles.clear()


class DeviceBook:
    """Of one transaction, which holds these devices from here on to its end."""

    def __init__(
        self, connection: Connection, names: Names, wanted: set[tuple[str, str]], at: datetime
    ) -> None:
        self._connection = connection
        self._names = names
        self._at = at
        if len(names.devices) > _MOST_KNOWN or len(names.bundles) > _MOST_KNOWN:
            names.forget()
        fresh = sorted(key for key in wanted if key not in names.devices)
        insert_new(
            connection,
            devices,
            [{"site": site, "name": name, "first_seen_at": at} for site, name in fresh],
        )
        key = ("site", "name")
        for row in read(connection, devices, ("id", *key), key, fresh):
            names.devices[row["site"], row["name"]] = row["id"]
        self.ids = {key: names.devices[key] for key in wanted}
        held = [(number,) for number in sorted(self.ids.values())]
        self._rows = {
            row["id"]: row for row in read(connection, devices, _READ, ("id",), held, hold=True)
        }
        self._as_read = {number: dict(row) for number, row in self._rows.items()}
        self._statuses: list[Row] = []
        self._health: list[Row] = []
        self._controls: list[Row] = []
        self._replies: list[Row] = []
        self._bundles: set[tuple[str, str | None]] = set()

    def take(self, boot: Boot, one: Arrived) -> None:
        """Enter what a message says of its device."""
        row, said = self._rows[boot.device_id], one.message
        will = isinstance(said, Status) and said.state == "offline"
        if not one.retained and not will:
            row["seen_at"] = max(row["seen_at"] or one.at, one.at)
        if said.bundle is not None:
            self._bundles.add((said.bundle, None))
        if isinstance(said, Status):
            self._status(row, boot, one, said)
        elif isinstance(said, Health):
            self._newest_health(row, boot, one, said)
        elif isinstance(said, ControlRun):
            self._control(row, boot, one, said)
        elif isinstance(said, CommandReply):
            self._replies.append(
                {
                    "boot": boot.id,
                    "seq": said.seq,
                    "device_id": boot.device_id,
                    "command_id": said.id,
                    "name": said.name,
                    "ok": said.ok,
                    "reason": plain(said.reason),
                    "received_at": one.at,
                    "message": packed(said.to_json()),
                }
            )
        elif isinstance(said, ShadowReport):
            name = plain(said.candidate.bundle)
            self._bundles.add((said.candidate.digest, name))
        elif isinstance(said, UpdateReport):
            row["updates"] = packed(said.to_json())

    def _status(self, row: Row, boot: Boot, one: Arrived, said: Status) -> None:
        """The one that arrives last counts, but for the will of a start that was replaced.

        The broker keeps their order, and sends the will only when the device is gone.
        """
        if said.state == "offline" and boot.id < (row["boot"] or 0):
            return
        told = (row["state"], row["reason"], row["version"], row["bundle"], row["boot_id"])
        news = {
            "state": said.state,
            "reason": plain(said.reason),
            "version": (plain(said.version) or "")[:64],
            "bundle": said.bundle or row["bundle"],
            "boot_id": boot.boot_id,
        }
        row.update(news, boot=boot.id)
        if told != tuple(news.values()):
            row["state_at"] = one.at
            self._statuses.append(
                {
                    "device_id": boot.device_id,
                    "boot_id": boot.boot_id,
                    "seq": said.seq,
                    "at": one.at,
                    **{name: row[name] for name in ("state", "reason", "version", "bundle")},
                }
            )

    def _newest_health(self, row: Row, boot: Boot, one: Arrived, said: Health) -> None:
        if boot.boot_id == row["health_boot_id"] and said.seq <= (row["health_seq"] or 0):
            return
        total = said.latency.get("total") or next(iter(said.latency.values()), None)
        hottest = max(said.temperatures_c.values(), default=None)
        skew_s = None
        if not one.retained and not one.historical:
            skew_s = round((said.ts - one.at).total_seconds(), 3)
        shared = {
            "fps": said.fps,
            "p95_ms": total.p95_ms if total else None,
            "hottest_c": hottest,
            "disk_free_bytes": said.disk_free_bytes,
            "memory_bytes": said.memory_bytes,
            "waiting": said.outbox.messages,
            "evicted": said.outbox.evicted,
            "skew_s": skew_s,
        }
        row.update(
            shared,
            health_boot_id=boot.boot_id,
            health_seq=said.seq,
            health_at=one.at,
            health=packed(said.to_json()),
            refused=said.outbox.refused,
            clock_synchronised=said.clock.synchronised,
            control_due=plain(said.control),
        )
        kept_at = row["health_kept_at"]
        if kept_at is None or (one.at - kept_at).total_seconds() >= KEEP_HEALTH_EVERY_S:
            row["health_kept_at"] = one.at
            self._health.append(
                {
                    "device_id": boot.device_id,
                    "at": one.at,
                    "p50_ms": total.p50_ms if total else None,
                    "dropped": sum(said.drops.values()),
                    **shared,
                }
            )

    def _control(self, row: Row, boot: Boot, one: Arrived, said: ControlRun) -> None:
        if said.run > (row["control_run"] or 0):
            row.update(control_run=said.run, control_verdict=said.verdict, control_at=said.ended_at)
        self._controls.append(
            {
                "boot": boot.id,
                "seq": said.seq,
                "device_id": boot.device_id,
                "kind": said.kind,
                "run": said.run,
                "verdict": said.verdict,
                "bundle": said.bundle,
                "ended_at": said.ended_at,
                "received_at": one.at,
                "message": packed(said.to_json()),
            }
        )

    def write(self) -> None:
        """Write all of it."""
        connection = self._connection
        update_changed(connection, devices, self._as_read.values(), self._rows.values())
        insert_new(connection, statuses, self._statuses)
        insert_new(connection, health, self._health)
        insert_new(connection, controls, self._controls)
        insert_new(connection, replies, self._replies)
        self._write_bundles()

    def _write_bundles(self) -> None:
        news = sorted(self._bundles - self._names.bundles, key=lambda one: (one[0], one[1] or ""))
        insert_new(
            self._connection,
            bundles,
            [{"digest": digest, "name": None, "first_seen_at": self._at} for digest, _ in news],
        )
        for digest, name in news:
            if name is not None:
                self._connection.execute(
                    bundles.update()
                    .where(bundles.c.digest == digest, bundles.c.name.is_(None))
                    .values(name=name[:160])
                )
        self._names.bundles |= self._bundles
