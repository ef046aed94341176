"""What systemd hears, on a real socket; and that only progress feeds its watchdog."""

from __future__ import annotations

import os
import uuid

import pytest

from edge_daemon.service.progress import PATIENCE_S, Progress
from edge_daemon.service.systemd import Notifier
from tests.edge_daemon.service.manager import Manager


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    address = f"@leukoedge-{uuid.uuid4().hex}"
    found = Manager(str(tmp_path / "notify") if request.param == "path" else address)
    yield found
    found.close()


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def notifier_of(manager: Manager, watchdog_s: float = 20.0) -> Notifier:
    return Notifier.from_environment(
        {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(int(watchdog_s * 1e6))}
    )


def test_each_word_of_the_protocol_arrives(manager):
    notifier = notifier_of(manager)
    notifier.extend(90.0)
    notifier.ready("screening\nslide 7")
    notifier.alive()
    notifier.watch_every(5.0)
    notifier.stopping("asked to stop")
    assert manager.heard() == [
        "EXTEND_TIMEOUT_USEC=90000000",
        "READY=1",
        "STATUS=screening slide 7",
        "WATCHDOG=1",
        "WATCHDOG_USEC=5000000",
        "STOPPING=1",
        "STATUS=asked to stop",
    ]


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_the_one_meant_for_this_process(environment, watchdog_s):
    assert Notifier.from_environment(environment).watchdog_s == watchdog_s


def test_without_a_service_manager_or_with_one_that_has_gone_nothing_happens(manager, tmp_path):
    Notifier.from_environment({}).ready("alone")
    Notifier(str(tmp_path / "nobody")).ready("alone")
    gone = notifier_of(manager)
    manager.close()
    gone.alive()


def test_a_service_manager_that_does_not_read_stops_no_frame(manager):
    notifier = notifier_of(manager)
    for _ in range(5000):  # far more than a socket holds
        notifier.alive()


def test_turns_feed_the_watchdog_four_times_in_its_period_and_nothing_else_does(manager, clock):
    progress = Progress(notifier_of(manager), clock)
    progress.ready("screening slide 7")
    manager.heard()
    for _ in range(160):  # 20 s at 8 frames/s
        clock.now_s += 0.125
        progress.turn()
    assert manager.heard() == ["WATCHDOG=1"] * 4
    clock.now_s += 60.0
    assert progress.stalled is not None
    assert manager.heard() == []


def test_a_loop_that_hangs_is_told_from_one_that_waits(clock):
    progress = Progress(clock=clock)
    progress.ready("screening slide 7")
    for _ in range(100):
        clock.now_s += 1.0
        progress.turn("waiting for a slide")
    assert progress.stalled is None
    clock.now_s += PATIENCE_S + 1
    assert progress.stalled == "no progress for 31 s while waiting for a slide"


def test_what_takes_long_at_the_start_extends_the_start(manager, clock):
    progress = Progress(notifier_of(manager), clock)
    with progress.busy("building engines", within_s=1800.0):
        clock.now_s += 1700.0
        assert progress.stalled is None
    assert manager.heard() == [
        "STATUS=building engines",
        "EXTEND_TIMEOUT_USEC=1800000000",
        "WATCHDOG=1",
    ]


def test_a_start_may_take_as_long_as_it_says_and_afterwards_the_watchdog_counts(manager, clock):
    progress = Progress(notifier_of(manager), clock)
    progress.starting("opening the models", within_s=1800.0)
    clock.now_s += 1799.0
    assert progress.stalled is None
    assert not progress.has_started
    progress.ready("screening slide 7")
    assert manager.heard() == [
        "STATUS=opening the models",
        "EXTEND_TIMEOUT_USEC=1800000000",
        "READY=1",
        "STATUS=screening slide 7",
        "WATCHDOG=1",
    ]
    clock.now_s += 21.0
    assert progress.stalled is not None


def test_what_takes_long_later_stretches_the_watchdog_and_gives_it_back(manager, clock):
    progress = Progress(notifier_of(manager), clock)
    progress.ready("waiting for a slide")
    manager.heard()
    with progress.busy("building engines", within_s=1800.0):
        clock.now_s += 1801.0
        assert progress.stalled == "no progress for 1801 s while building engines"
    assert manager.heard() == [
        "STATUS=building engines",
        "WATCHDOG_USEC=1800000000",
        "WATCHDOG_USEC=20000000",
        "WATCHDOG=1",
    ]
    assert progress.stalled is None
