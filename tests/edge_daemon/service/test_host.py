"""What a machine says of itself, read from the files that its kernel shows."""

from __future__ import annotations

import os

import pytest

from edge_daemon.contract.findings import Clock
from edge_daemon.service.host.clock import KernelClock, ask_kernel, clock_quality
from edge_daemon.service.host.power import power_w
from edge_daemon.service.host.readings import Host, resident_bytes, temperatures_c
from edge_daemon.service.host.throttling import Throttling
from tests.edge_daemon.service.sysfs import (
    AGX_ORIN,
    JETPACK_4,
    ORIN_NANO,
    ORIN_NX,
    PC,
    ZONES,
    write,
)

MACHINES = {"Orin Nano": ORIN_NANO, "Orin NX": ORIN_NX, "AGX Orin": AGX_ORIN, "PC": PC}
POWER = {
    "Orin Nano": {"VDD_IN": 9.25, "VDD_CPU_GPU_CV": 1.595, "VDD_SOC": 2.388},
    "Orin NX": {"VDD_IN": 9.25, "VDD_CPU_GPU_CV": 1.595, "VDD_SOC": 2.388},
    "AGX Orin": {
        "VDD_GPU_SOC": 3.385,
        "VDD_CPU_CV": 0.77,
        "VIN_SYS_5V0": 3.085,
        "VDDQ_VDD2_1V8AO": 0.923,
    },
    "PC": {},
}


@pytest.fixture(params=MACHINES)
def machine(request, tmp_path):
    return request.param, write(tmp_path, MACHINES[request.param])


def test_power_is_told_per_rail_and_left_out_where_nothing_measures_it(machine):
    name, sys = machine
    assert power_w(sys) == POWER[name]


def test_an_older_driver_shows_power_itself(tmp_path):
    sys = write(tmp_path, JETPACK_4)
    assert power_w(sys) == {"VDD_IN": 5.21, "VDD_CPU_GPU_CV": 1.23}
    assert temperatures_c(sys) == {"AO-therm": 41.5}


def test_temperatures_are_told_per_zone(machine):
    name, sys = machine
    zones = set(temperatures_c(sys))
    assert zones == ({"x86_pkg_temp"} if name == "PC" else set(ZONES))


def test_a_zone_that_is_switched_off_is_left_out(tmp_path):
    sys = write(tmp_path, ORIN_NANO | {"class/thermal/thermal_zone7/type": "cv0-thermal"})
    assert set(temperatures_c(sys)) == set(ZONES)


def test_an_idle_machine_is_not_throttled_although_its_fan_turns(machine):
    _, sys = machine
    assert Throttling(sys).reasons() == ()


@pytest.mark.parametrize(
    ("before", "change", "told"),
    [
        (
            ORIN_NANO,
            {"class/thermal/cooling_device3/cur_state": 1},
            "cooling by gpu-throttle-alert is at 1 of 2",
        ),
        (
            ORIN_NX,
            {"class/devfreq/17000000.ga10b/max_freq": 765_000_000},
            "the GPU (17000000.ga10b) is limited to 765 of 918 MHz, by heat or by its power mode",
        ),
        (
            AGX_ORIN,
            {"devices/system/cpu/cpufreq/policy4/scaling_max_freq": 1_728_000},
            "the processor (policy4) is limited to 1728 of 2201 MHz, by heat or by its power mode",
        ),
        (
            AGX_ORIN,
            {"class/hwmon/hwmon5/oc3_event_cnt": 4},
            "throttled 4 times since the last reading: over-current",
        ),
        (
            ORIN_NANO,
            {"class/hwmon/hwmon5/oc1_event_cnt": 1},
            "throttled once since the last reading: under-voltage",
        ),
        (
            PC,
            {"devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": 2},
            "throttled 2 times since the last reading: processor too hot",
        ),
        (
            PC,
            {"class/thermal/cooling_device0/cur_state": 3},
            "cooling by Processor is at 3 of 10",
        ),
    ],
)
def test_what_holds_a_machine_back_is_a_sentence(tmp_path, before, change, told):
    throttling = Throttling(write(tmp_path, before))
    write(tmp_path, change)
    assert throttling.reasons() == (told,)


def test_an_event_is_told_once_and_counted_for_good(tmp_path):
    throttling = Throttling(write(tmp_path, ORIN_NANO))
    write(tmp_path, {"class/hwmon/hwmon5/oc2_event_cnt": 15})
    assert len(throttling.reasons()) == 1
    assert throttling.reasons() == ()
    assert throttling.alerts()["average over-current"] == 15


def test_a_machine_that_shows_nothing_says_nothing(tmp_path):
    read = Host(tmp_path, tmp_path / "nothing", lambda: Clock()).read()
    assert (read.temperatures_c, read.power_w, read.throttled) == ({}, {}, ())
    assert read.disk_free_bytes is not None
    assert Host(tmp_path / "gone", tmp_path, lambda: Clock()).read().disk_free_bytes is None


def test_files_that_hold_nonsense_are_left_out(tmp_path):
    sys = write(tmp_path, dict.fromkeys(ORIN_NANO, "n/a"))
    assert power_w(sys) == {}
    assert temperatures_c(sys) == {}
    assert Throttling(sys).reasons() == ()


@pytest.mark.skipif(os.name != "posix", reason="reads /proc")
def test_memory_is_that_of_this_process():
    resident = resident_bytes()
    assert resident is not None
    assert 10 << 20 < resident < 100 << 30


@pytest.mark.parametrize(
    ("kernel", "clock"),
    [
        (
            KernelClock(state=0, status=0x2001, offset=-420_000, max_error_us=12_500),
            Clock(synchronised=True, offset_ms=-0.42, max_error_ms=12.5, told_by="kernel"),
        ),
        (
            KernelClock(state=0, status=0x0001, offset=-420, max_error_us=12_500),
            Clock(synchronised=True, offset_ms=-0.42, max_error_ms=12.5, told_by="kernel"),
        ),
        (
            KernelClock(state=5, status=0x2041, offset=0, max_error_us=16_000_000),
            Clock(synchronised=False, max_error_ms=16_000.0, told_by="kernel"),
        ),
    ],
)
def test_the_kernel_says_whether_a_time_server_is_followed(tmp_path, kernel, clock):
    assert clock_quality(lambda: kernel, tmp_path / "mark") == clock


def test_without_the_kernel_the_mark_of_timesyncd_counts_and_without_it_nobody_knows(tmp_path):
    mark = tmp_path / "synchronized"
    assert clock_quality(lambda: None, mark) == Clock(synchronised=None, told_by="nobody")
    mark.touch()
    assert clock_quality(lambda: None, mark) == Clock(synchronised=True, told_by="timesyncd")


def test_this_kernel_answers_or_refuses():
    kernel = ask_kernel()
    assert kernel is None or 0 <= kernel.state <= 5
