"""What a device says of itself at intervals: speed, losses, and the machine it runs on."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta

import pytest

from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.findings import Clock
from edge_daemon.contract.messages import EngineInUse, FrameResult, parse_message
from edge_daemon.contract.terms import OUTCOMES
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.ledger.reading import LedgerFile, read_ledger
from edge_daemon.service.health import HealthReporter, glass_to_outbox_ms
from edge_daemon.service.host.readings import Host
from tests.edge_daemon.contract.samples import ANALYSED, FRAME
from tests.edge_daemon.ledger.books import Books
from tests.edge_daemon.service.sysfs import ORIN_NANO, write


@pytest.fixture
def sys_of_a_jetson(tmp_path):
    return write(tmp_path / "sys", ORIN_NANO)


@pytest.fixture
def reporter(tmp_path, sys_of_a_jetson):
    origin = Origin("lab", "scope-1", "ab" * 16, "sha256:" + "0" * 64)
    host = Host(tmp_path, sys_of_a_jetson, lambda: Clock(synchronised=True, told_by="kernel"))
    with Outbox(tmp_path / "outbox.db") as outbox:
        publisher = Publisher(BrokerSettings(url="mqtt://127.0.0.1:1"), outbox, origin)
        yield HealthReporter(publisher, outbox, 0.05, host=host)


def test_a_message_says_what_the_frames_and_the_machine_do(reporter, sys_of_a_jetson):
    captured_at = utc_now() - timedelta(milliseconds=200)
    reporter.frame(
        FrameResult(**{**ANALYSED, "captured_at": captured_at}, timings_ms={"detect": 12.0})
    )
    reporter.frame(FrameResult(**FRAME, outcome="dropped", reason="too slow"))
    write(sys_of_a_jetson, {"class/thermal/cooling_device3/cur_state": 1})
    message = reporter.message()
    assert parse_message(message.to_json()) == message
    assert (message.frames.analysed, message.frames.dropped) == (1, 1)
    assert message.drops == {"too slow": 1}
    assert message.latency["detect"].p50_ms == 12.0
    assert message.latency["glass_to_outbox"].p50_ms >= 200
    assert message.power_w["VDD_IN"] == 9.25
    assert message.temperatures_c["tj-thermal"] == 47.5
    assert message.throttled == ("cooling by gpu-throttle-alert is at 1 of 2",)
    assert message.clock.synchronised is True
    assert message.disk_free_bytes is not None
    assert reporter.latest is message


def test_a_message_says_how_the_networks_are_computed(reporter):
    used = EngineInUse(role="detector", engine="openvino:cpu:f32", precision="int8")
    reporter.engines = (used,)
    message = reporter.message()
    assert parse_message(message.to_json()) == message
    assert message.engines == (used,)


def test_where_it_cannot_say_so_an_older_receiver_still_understands_it(reporter):
    assert "engines" not in json.loads(reporter.message().to_json())


def test_its_frames_are_those_of_the_ledger_since_the_start(tmp_path):
    books = Books(tmp_path)
    publisher = Publisher(BrokerSettings(url="mqtt://127.0.0.1:1"), books.outbox, books.origin)
    health = HealthReporter(publisher, books.outbox, 0.05)
    for name in ("s1", "s2"):  # of all slides together
        books.begin(name)
        for outcome in (*OUTCOMES, *OUTCOMES[1:]):
            books.enter(outcome)
            health.frame(books.results[-1])
        books.stand("finished")
    boot = read_ledger(books.path, LedgerFile.boot)
    assert boot is not None
    said = health.message().frames
    assert said.captured == boot.frames.captured == 14
    assert {outcome: getattr(said, outcome) for outcome in OUTCOMES} == boot.frames.ended
    books.die()


def test_a_clock_that_was_set_back_makes_no_negative_time():
    late = FrameResult(**{**ANALYSED, "captured_at": utc_now() + timedelta(seconds=5)})
    assert glass_to_outbox_ms(late) is None


def test_the_first_message_comes_at_once_and_a_reading_that_fails_is_not_the_end(
    reporter, monkeypatch, caplog
):
    real, failures = Host.read, []

    def read(host):
        if len(failures) < 2:
            failures.append(host)
            raise ZeroDivisionError("a sensor that nobody foresaw")
        return real(host)

    monkeypatch.setattr(Host, "read", read)
    with reporter:
        assert wait_until(lambda: reporter.latest is not None, 30)
    assert "no health message could be made" in caplog.text


def test_the_room_can_be_imported_without_anything_being_started():
    code = (
        "import threading, sys\n"
        "import edge_daemon.service.shown, edge_daemon.service.http.server\n"
        "assert threading.active_count() == 1\n"
        "assert not {'openvino', 'onnxruntime'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
