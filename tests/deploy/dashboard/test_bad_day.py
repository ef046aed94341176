"""Ingest killed (-9) at random, broker and database restarted: what was published is in it, once.

Devices are the daemon's own outbox and publisher, broker and databases are real.
"""

from __future__ import annotations

import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.dashboard.database.migrating import migrate
from deploy.dashboard.database.opening import Database
from deploy.dashboard.queries.fleet import device_id, device_list, gaps
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.messages import Crop
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin, crop_parcel, parcel_of
from tests.deploy.dashboard.content import Name, entered
from tests.deploy.dashboard.ingesting import Ingesting, wait_until_listening
from tests.edge_daemon.delivery.inbox import brisk
from tests.edge_daemon.delivery.parcels import frame, summary
from tests.mosquitto import Mosquitto
from tests.postgres import Postgres, find_programs
from tests.soak import repeated

DEVICES = 3
PATIENCE_S = 90.0


class Microscope:
    """A device's outbox and publisher, and what was put into it."""

    def __init__(self, url: str, folder: Path, name: str, stack: ExitStack) -> None:
        self.sender = Origin(site="lab", device=name, boot_id=uuid.uuid4().hex)
        self.outbox = stack.enter_context(Outbox(folder / f"{name}.db"))
        settings = brisk(url, await_receipts=True, receipt_timeout_s=4.0, connect_timeout_s=2.0)
        self.publisher = stack.enter_context(Publisher(settings, self.outbox, self.sender))
        self.put: Counter[Name] = Counter()
        self._frames = 0

    def work(self) -> None:
        """A few frames, a picture and a summary, in one transaction."""
        slide = {"slide": f"slide-{self._frames // 50}"}
        with self.outbox.transaction() as batch:
            for _ in range(3):
                shown = frame(batch.envelope(self.sender), self._frames % 50, "blast")
                self._frames += 1
                batch.put(self._counted(parcel_of(shown.model_copy(update=slide))))
            envelope = batch.envelope(self.sender)
            crop = Crop(
                **envelope, **slide, frame=0, unique_id=self._frames, p_blast=0.9, label="blast"
            )
            batch.put(self._counted(crop_parcel(crop, b"\xff\xd8 cell \xff\xd9")))
            stands = summary(batch.envelope(self.sender), 1 + self._frames % 50)
            batch.put(self._counted(parcel_of(stands.model_copy(update=slide))))

    def _counted(self, parcel):
        self.put["lab", self.sender.device, self.sender.boot_id, parcel.seq] += 1
        return parcel


def live_through(
    place: str,
    folder: Path,
    broker: Mosquitto,
    faults: list[Callable[[], None]],
    workers: list[Ingesting],
) -> None:
    """Let devices work while faults happen; then all that they said is in the database."""
    with ExitStack() as stack:
        scopes = [Microscope(broker.url, folder, f"scope-{n}", stack) for n in range(DEVICES)]
        wait_until_listening(place, len(workers))
        for fault in faults:
            happens = threading.Timer(0.3, fault)
            happens.start()
            until_s = time.monotonic() + 0.6
            while time.monotonic() < until_s or happens.is_alive():
                for scope in scopes:
                    scope.work()
                time.sleep(0.1)
        waiting = [scope.publisher.flush(PATIENCE_S) for scope in scopes]
        assert waiting == [0] * DEVICES, [worker.log for worker in workers]
    with Database(place) as database:
        assert entered(database) == sum((scope.put for scope in scopes), Counter())
        with database.reading() as connection:
            for scope in scopes:
                number = device_id(connection, "lab", scope.sender.device)
                assert gaps(connection, number or 0) == ()
            assert [one.missing for one in device_list(connection, utc_now())] == [0] * DEVICES


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(repeated(1, 20)))
def test_whatever_is_killed_all_that_was_published_is_entered_once(
    place: str, seed: int, mosquitto: Path, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    with Database(place) as database:
        migrate(database)
    with Mosquitto(mosquitto, tmp_path / "broker") as broker, ExitStack() as stack:
        workers = [
            stack.enter_context(
                Ingesting(place, broker.url, tmp_path / f"said-{name}.jsonl",
                          "--worker", name, "--share", "group-7f3a")
            )
            for name in "ab"
        ]  # fmt: skip

        def kill_a_worker() -> None:
            worker = chance.choice(workers)
            worker.end(signal.SIGKILL)
            worker.start()

        faults = [kill_a_worker] * 6 + [broker.restart]
        chance.shuffle(faults)
        live_through(place, tmp_path, broker, faults, workers)
        assert [worker.end() for worker in workers] == [0, 0]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(repeated(1, 20)))
def test_a_database_that_is_restarted_or_crashes_is_waited_for(
    seed: int, mosquitto: Path, tmp_path: Path
) -> None:
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    chance = random.Random(seed)
    with (
        Postgres(programs) as server,
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Ingesting(server.url, broker.url, tmp_path / "said.jsonl") as worker,
    ):

        def crash() -> None:
            server.kill()
            time.sleep(chance.uniform(0.5, 1.5))
            server.start()

        faults = [server.restart, crash, broker.restart]
        chance.shuffle(faults)
        live_through(server.url, tmp_path, broker, faults, [worker])
        assert "messages wait" in worker.log
        assert worker.end() == 0


def test_a_broker_that_is_not_there_yet_is_waited_for(
    place: str, mosquitto: Path, tmp_path: Path
) -> None:
    broker = Mosquitto(mosquitto, tmp_path / "broker")
    with Ingesting(place, broker.url, tmp_path / "said.jsonl") as worker, broker:
        live_through(place, tmp_path, broker, [lambda: None], [worker])
        assert worker.end() == 0
