"""An outbox that is full, a disk that is: said before anything is lost, and what counts stays."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_daemon.contract.messages import Status
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.receiver import wait_until
from tests.edge_daemon.delivery.fill import PATIENCE_S, Filler, Told
from tests.edge_daemon.delivery.inbox import Inbox, brisk
from tests.edge_daemon.delivery.parcels import origin, put_frames
from tests.mosquitto import Mosquitto
from tests.soak import repeated

pytestmark = pytest.mark.soak


def degraded(inbox: Inbox, why: str) -> list[int]:
    """``seq`` of the states that say why."""
    return [s.seq for s in inbox.of(Status) if s.state == "degraded" and why in (s.reason or "")]


def test_a_full_outbox_is_said_before_anything_is_given_up(mosquitto: Path, tmp_path: Path) -> None:
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Inbox(brisk(broker.url)) as inbox,
        Outbox(tmp_path / "outbox.db", budget_bytes=repeated(500_000, 20_000_000)) as outbox,
        Publisher(brisk(broker.url, await_receipts=True), outbox, sender) as publisher,
    ):
        assert wait_until(lambda: "online" in inbox.states, PATIENCE_S)
        filler = Filler(outbox, sender)
        filler.fill(losses=repeated(40, 1000))
        assert wait_until(lambda: bool(degraded(inbox, "the outbox is nearly full")), PATIENCE_S)
        assert degraded(inbox, "the outbox is nearly full")[0] < filler.told.first_loss_at
        filler.look()
        assert filler.told.kept
        with Inbox(brisk(broker.url), send_receipts=True) as second:
            second.receiver.ledgers.update(inbox.receiver.ledgers)
            assert publisher.flush(PATIENCE_S) == 0
        assert wait_until(lambda: inbox.states[-1] == "online", PATIENCE_S)


@pytest.mark.hardware
def test_a_full_disk_is_said_before_anything_is_given_up(
    mosquitto: Path, tmp_path: Path, repository: Path
) -> None:
    """A file system of 12 MB in memory, which takes the right to mount one for oneself."""
    small = tmp_path / "small"
    small.mkdir()
    own = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mounted = 'mount -t tmpfs -o size=12m none "$0" && exec "$@"'
    try:
        subprocess.run([*own, mounted, small, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this system lets nobody mount a file system of his own ({error})")
    program = [sys.executable, "-m", "tests.edge_daemon.delivery.fill"]
    with Mosquitto(mosquitto, tmp_path / "broker") as broker, Inbox(brisk(broker.url)) as inbox:
        done = subprocess.run(
            [*own, mounted, small, *program, small, broker.url],
            cwd=repository,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told = Told(**json.loads(done.stdout))
        assert wait_until(lambda: inbox.states[-1:] == ["offline"], PATIENCE_S)
        said = degraded(inbox, "the disk of the outbox is nearly full")
        assert said[0] < told.first_loss_at, "said before anything was given up"
        assert told.kept, "what counts stays"
        assert sorted(told.arrived) == told.vital, "and arrives, once"
        assert told.refused, "the disk was full to the last byte"
        assert told.summary_after, "the reserve is enough to say how the slide stands"
        assert told.went_on
        assert told.over
        assert degraded(inbox, "the disk is full")
        assert "online" in inbox.states[1:], "and it is said when it is over"


def test_the_reserve_is_set_aside_given_back_and_set_aside_again(tmp_path: Path) -> None:
    reserve = tmp_path / "outbox.db-reserve"
    with Outbox(tmp_path / "outbox.db", keep_free_bytes=1 << 20) as outbox:
        assert reserve.stat().st_blocks * 512 >= 128 * 1024
        outbox._room.run_out()
        assert not reserve.exists()
        assert outbox.trouble is not None
        put_frames(outbox, origin(), 1)
        assert reserve.exists()
        assert outbox.trouble is None
