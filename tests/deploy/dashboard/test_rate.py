"""A fleet at full speed: no gap, commits in time, memory bounded."""

from __future__ import annotations

import subprocess
import sys
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
MOST_COMMIT_MS = 500
MOST_MB = 300
PATIENCE_S = 120.0


@pytest.mark.soak
def test_a_fleet_at_a_message_a_second_each(place: str, mosquitto: Path, tmp_path: Path) -> None:
    with Database(place) as database:
        migrate(database)
        devices = DEVICES["sqlite" if database.is_sqlite else "postgresql"]
        with (
            Mosquitto(mosquitto, tmp_path / "broker", persistent=False) as broker,
            Ingesting(place, broker.url, tmp_path / "said.jsonl") as worker,
        ):
            wait_until_listening(place, 1)
            said = tmp_path / "published"
            words = [str(broker.port), str(devices), str(SECONDS), str(said)]
            module = "tests.deploy.dashboard.fleet_rate"
            subprocess.run([sys.executable, "-m", module, *words], check=True)
            published, took_s = (float(word) for word in said.read_text().split())

            def all_here() -> bool:
                with database.reading() as connection:
                    return connection.scalar(select(func.sum(boots.c.arrived))) == published

            caught_up = wait_until(all_here, PATIENCE_S)
            most_mb, cpu_s = worker.most_mb, worker.cpu_s
            assert worker.end() == 0
        figures = worker.last
        print(
            f"{devices} devices, {published:.0f} messages in {took_s:.1f} s; commit p50 "
            f"{figures['commit_p50_ms']} ms, p99 {figures['commit_p99_ms']} ms; arrival to commit "
            f"p50 {figures['wait_p50_ms']} ms, p99 {figures['wait_p99_ms']} ms; {most_mb:.0f} MB; "
            f"{cpu_s / published * 1000:.2f} ms of a processor for each"
        )
        assert caught_up
        with database.reading() as connection:
            missing = connection.scalar(select(func.sum(boots.c.missing)))
        assert missing == 0
        if not SOAKING:
            assert len(entered(database)) == published
        assert figures["repeats"] == 0
        assert most_mb < MOST_MB
        if SOAKING:  # a machine of CI does other things beside this
            assert figures["commit_p99_ms"] < MOST_COMMIT_MS
