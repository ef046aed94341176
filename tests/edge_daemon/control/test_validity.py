"""How long a control counts, whatever happens to the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.contract.findings import Clock
from edge_daemon.control.validity import Moment, present, why_too_old

DAY = timedelta(hours=24)
PASSED = Moment(datetime(2026, 5, 4, 8, 0, tzinfo=timezone.utc), 1000.0, "boot-1", True)


def later(hours: float, **changes: object) -> Moment:
    moment = replace(
        PASSED, utc=PASSED.utc + timedelta(hours=hours), uptime_s=PASSED.uptime_s + 3600 * hours
    )
    return replace(moment, **changes)


def test_it_counts_for_a_day():
    assert why_too_old(PASSED, later(23.9), DAY) is None
    assert why_too_old(PASSED, later(24.5), DAY) == (
        "the last control passed 24.5 h ago, one counts for 24 h"
    )


@given(jump_h=st.floats(-1e4, 1e4), since_h=st.floats(0, 100), synchronised=st.booleans())
def test_while_the_machine_runs_nobody_can_set_its_age(jump_h, since_h, synchronised):
    now = later(since_h, synchronised=synchronised)
    now = replace(now, utc=now.utc + timedelta(hours=jump_h))
    assert (why_too_old(PASSED, now, DAY) is None) == (
        timedelta(seconds=now.uptime_s - PASSED.uptime_s) <= DAY
    )


def test_after_a_start_of_the_machine_the_time_of_day_counts_where_a_server_stands_behind_it():
    started = {"machine_boot": "boot-2", "uptime_s": 60.0}
    assert why_too_old(PASSED, later(20, **started), DAY) is None
    assert "25.0 h ago" in (why_too_old(PASSED, later(25, **started), DAY) or "")


def test_a_clock_that_went_back_keeps_no_control_valid():
    now = later(-2, machine_boot="boot-2", uptime_s=60.0)
    assert why_too_old(PASSED, now, DAY) == (
        "the clock went back: the last control passed at 2026-05-04 08:00 UTC, now it is "
        "2026-05-04 06:00"
    )


def test_after_a_start_without_a_time_server_nobody_knows():
    """A Jetson without a battery wakes up at the time it was switched off, days later."""
    now = later(0.1, machine_boot="boot-2", uptime_s=60.0, synchronised=False)
    assert "followed no time server now" in (why_too_old(PASSED, now, DAY) or "")
    doubtful = replace(PASSED, synchronised=False)
    told = why_too_old(doubtful, later(0.1, machine_boot="boot-2"), DAY)
    assert "followed no time server when the last one passed" in (told or "")


def test_where_the_system_does_not_tell_its_start_the_process_is_one(tmp_path):
    here = present(lambda: Clock(), tmp_path / "no such file")
    assert why_too_old(here, here, DAY) is None
    before = replace(here, machine_boot="process of yesterday")
    assert why_too_old(before, here, DAY) is not None


def test_the_present_is_read_from_this_machine():
    one, two = (present(lambda: Clock(synchronised=None)) for _ in range(2))
    assert one.machine_boot == two.machine_boot
    assert 0 < one.uptime_s <= two.uptime_s
    assert not one.synchronised
