"""A fleet at full speed: no gap, commits in time, memory bounded."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, select

from deploy.dashboard.database.migrating import migrate
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import boots
from edge_daemon.delivery.receiver import wait_until
from tests.deploy.dashboard.content import entered
from tests.deploy.dashboard.ingesting import Ingesting, wait_until_listening
from tests.mosquitto import Mosquitto
from tests.soak import SOAKING, repeated

SECONDS = repeated(8, 600)
DEVICES = {"sqlite": 200, "postgresql": 1000}
WORKERS = {"sqlite": 1, "postgresql": 2}
"""On a shared subscription, where there are more."""
MOST_COMMIT_MS = 500
MOST_MB = 300
PATIENCE_S = 120.0


@pytest.mark.soak
def test_a_fleet_at_a_message_a_second_each(place: str, mosquitto: Path, tmp_path: Path) -> None:
    with Database(place) as database, ExitStack() as stack:
        migrate(database)
        kind = "sqlite" if database.is_sqlite else "postgresql"
        devices = DEVICES[kind]
        made, said = tmp_path / "made", tmp_path / "published"
        _fleet("make", devices, SECONDS, made)
        broker = stack.enter_context(Mosquitto(mosquitto, tmp_path / "broker", persistent=False))
        workers = [
            stack.enter_context(_worker(place, broker, tmp_path, number, WORKERS[kind]))
            for number in range(1, WORKERS[kind] + 1)
        ]
        wait_until_listening(place, len(workers))
        _fleet("send", broker.port, devices, made, said)
        published, took_s = (float(word) for word in said.read_text().split())

        def all_here() -> bool:
            with database.reading() as connection:
                return connection.scalar(select(func.sum(boots.c.arrived))) == published

        caught_up = wait_until(all_here, PATIENCE_S)
        most_mb = sum(worker.most_mb for worker in workers)
        cpu_s = sum(worker.cpu_s for worker in workers)
        assert [worker.end() for worker in workers] == [0] * len(workers)
        figures = [worker.last for worker in workers]
        print(
            f"{devices} devices, {published:.0f} messages in {took_s:.1f} s, {len(workers)} of us"
        )
        for one in figures:
            print(
                f"{one['messages']} messages; commit p50 {one['commit_p50_ms']} ms, p99 "
                f"{one['commit_p99_ms']} ms; arrival to commit p50 {one['wait_p50_ms']} ms, "
                f"p99 {one['wait_p99_ms']} ms"
            )
        print(
            f"{most_mb:.0f} MB; {cpu_s / published * 1000:.2f} ms of a processor for each message"
        )
        assert caught_up
        with database.reading() as connection:
            missing = connection.scalar(select(func.sum(boots.c.missing)))
        assert missing == 0
        if not SOAKING:
            assert len(entered(database)) == published
        assert sum(one["repeats"] for one in figures) == 0
        assert most_mb < MOST_MB
        if SOAKING:  # a machine of CI does other things beside this
            assert max(one["commit_p99_ms"] for one in figures) < MOST_COMMIT_MS


def _fleet(*words: object) -> None:
    command = (sys.executable, "-m", "tests.deploy.dashboard.fleet_rate", *map(str, words))
    subprocess.run(command, check=True)


def _worker(place: str, broker: Mosquitto, folder: Path, number: int, of: int) -> Ingesting:
    share = ("--share", "fleet", "--worker", str(number)) if of > 1 else ()
    return Ingesting(place, broker.url, folder / f"said-{number}.jsonl", *share)
