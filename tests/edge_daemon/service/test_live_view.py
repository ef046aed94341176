"""What a view shows of the frames it was fed with, and what it costs the frame loop."""

from __future__ import annotations

import time

import numpy as np
import pytest

from edge_daemon.contract.findings import CellResult, Clock, OutboxDepth
from edge_daemon.delivery.mqtt import LinkState
from edge_daemon.errors import OutboxError
from edge_daemon.service.live_view import LiveView
from edge_daemon.sources.base import Frame
from edge_daemon.vision.coverage import Coverage, SeenIsland
from tests.edge_daemon.service.device import HEALTH, Device, running, white_cell

RED_CELLS = tuple(
    CellResult(id=n, box=(n, n, 20.0, 20.0), kind="rbc", score=0.8) for n in range(10, 205)
)


def test_a_device_is_ready_when_everything_is_open_and_until_something_speaks_against_it():
    device = Device()
    assert device.view.readiness().reasons == ("the daemon is starting",)
    advice = device.view.advice()
    assert (advice.word, advice.sentence) == ("Wait", "The daemon is starting.")
    device.ready()
    assert device.view.readiness().ok
    device.view.hold("control slide", "the control slide was not passed today")
    device.view.hold("camera", "the camera is gone")
    device.view.hold("camera", None)
    assert device.view.readiness().reasons == ("the control slide was not passed today",)
    assert device.view.advice().word == "Stop"


class TestControl:
    """A control that does not count, as the operator sees it."""

    @pytest.fixture
    def device(self):
        device = Device()
        device.ready()
        device.view.activity = "idle"
        return device

    def test_one_that_is_required_is_in_the_way_and_says_what_to_do(self, device):
        device.view.control("the control slide is due: run it", failed=False, required=True)
        assert device.view.readiness().reasons == ("the control slide is due: run it",)
        advice = device.view.advice()
        assert (advice.word, advice.urgency) == ("Control", "act")
        assert advice.sentence == "The control slide is due: run it."
        device.view.control("the control slide failed: too dark", failed=True, required=True)
        assert device.view.advice().urgency == "stop"
        device.view.control(None, failed=False, required=True)
        assert device.view.readiness().ok
        assert device.view.advice().word == "Start a slide"

    def test_one_that_is_not_required_is_a_note(self, device):
        device.view.control("the control slide is due: run it", failed=False, required=False)
        standing = device.view.readiness()
        assert (standing.ok, standing.notes) == (True, ("the control slide is due: run it",))
        assert device.view.advice().word == "Start a slide"

    def test_what_is_under_way_goes_on(self, device):
        device.view.activity = "screening"
        device.frame()
        device.view.control("the control is due", failed=False, required=True)
        assert not device.view.readiness().ok
        assert device.view.advice().word == "100 more cells"

    def test_a_camera_that_is_gone_comes_before_it(self, device):
        device.view.control("the control is due", failed=False, required=True)
        device.view.hold("camera", "the camera is gone")
        assert device.view.advice().word == "Stop"


def test_a_loop_that_does_not_turn_is_neither_live_nor_ready():
    device = Device()
    device.ready()
    device.frame()
    device.clock.now_s += 31.0
    (reason,) = device.view.liveness().reasons
    assert reason == "no progress for 31 s while screening slide-7"
    assert reason in device.view.readiness().reasons
    device.frame()
    assert device.view.liveness().ok


def test_an_outage_of_the_broker_is_a_note_and_one_of_the_outbox_a_reason():
    device = Device()
    device.ready()
    device.link = LinkState(connected=False, line="broker x: nothing listens there", refusals=0)
    standing = device.view.readiness()
    assert standing.ok
    assert standing.notes == ("broker x: nothing listens there; results wait in the outbox",)
    broken = LiveView(device.progress, failure=lambda: OutboxError("the outbox is full"))
    assert broken.readiness().reasons == ("the outbox is full",)


def test_what_should_be_known_is_noted():
    device = Device()
    device.ready()
    device.last_health = HEALTH.model_copy(
        update={
            "disk_free_bytes": 150 << 20,
            "outbox": OutboxDepth(messages=3, size_bytes=1, evicted=7),
            "clock": Clock(synchronised=False, told_by="kernel"),
            "throttled": ("cooling by cpufreq-cpu0 is at 1 of 2",),
        }
    )
    assert device.view.readiness().notes == (
        "the disk has 150 MB left: free some space",
        "7 messages were given up: the outbox is full",
        "the clock follows no time server",
        "cooling by cpufreq-cpu0 is at 1 of 2",
    )


def test_a_frame_without_a_picture_leaves_the_last_picture_with_its_age():
    device = Device()
    device.frame(white_cell(1))
    shown = device.view.newest()
    device.clock.now_s += 5.0
    device.frame(outcome="dropped", reason="too slow")
    assert device.view.newest() is shown
    assert shown is not None
    assert device.clock.now_s - shown.since_s == 5.0


def test_a_new_slide_shows_nothing_of_the_one_before():
    device = Device()
    device.ready()
    device.frame(white_cell(1))
    device.view.on_summary(running())
    device.view.slide_started()
    view = device.view
    assert (view.newest(), view.slide(), view.coverage()) == (None, None, None)


def test_the_map_is_copied_only_while_somebody_looks_and_never_often():
    device = Device()
    copies: list[float] = []

    def copy_map() -> Coverage:
        copies.append(device.clock.now_s)
        device.clock.now_s += 0.05  # a large slide
        return Coverage((SeenIsland(frozenset({(0, 0)}), ()),), None)

    device.view.slide_started(copy_map)
    for _ in range(100):
        device.clock.now_s += 0.1
        device.frame()
    assert copies == []
    assert device.view.coverage() is None
    for _ in range(300):  # 30 s
        device.clock.now_s += 0.1
        device.frame()
        device.view.coverage()
    assert device.view.coverage() is not None
    assert 5 <= len(copies) <= 7  # 50 ms each: not more often than every 5 s
    for _ in range(300):
        device.clock.now_s += 0.1
        device.frame()
    assert len(copies) <= 10  # ended 10 s after the last look


def test_a_frame_costs_the_loop_less_than_a_hundredth_of_its_time():
    device = Device()
    device.ready()
    stages = dict.fromkeys(("quality", "scale", "detect", "classify", "register"), 5.0)
    cells = (*(white_cell(n) for n in range(5)), *RED_CELLS)
    result = device.frame(*cells, timings_ms=stages)
    pixels = np.zeros((1200, 1600, 3), np.uint8)
    captured = Frame(0, "camera", result.captured_at, pixels)
    rounds = 2000
    began = time.thread_time()
    for _ in range(rounds):
        device.view.on_frame(result, captured)
    per_frame_s = (time.thread_time() - began) / rounds
    print(f"{1e6 * per_frame_s:.0f} us of the loop per frame of 200 cells")
    assert per_frame_s < 0.01 * 0.033, f"{1e6 * per_frame_s:.0f} us per frame"
