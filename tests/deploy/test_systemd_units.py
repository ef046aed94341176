"""The units under which a device runs unattended: sound, hardened, and in step with the code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from edge_daemon.config import load_config
from edge_daemon.engines.folder import CACHE_VARIABLE
from edge_daemon.errors import BundleError, ConfigError
from tests.house.checkout import REPOSITORY

UNITS = REPOSITORY / "deploy" / "systemd"
NAMES = ("leuko-edge.service", "leuko-edge-failed.service")
EXPOSURE_IN_TENTHS = 20


def settings(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        setting = re.match(r"([A-Za-z]+)=(.*)", line)
        if setting:
            found.setdefault(setting[1], []).append(setting[2])
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they would be where the program they start is there."""
    for name in NAMES:
        text = (UNITS / name).read_text().replace("/opt/leukoedge/bin/leuko-edge", "/bin/true")
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_is_exposed_to_2_0_at_most(systemd_analyze, name):
    judged = subprocess.run(
        [
            *(systemd_analyze, "security", "--offline=true"),
            *(f"--threshold={EXPOSURE_IN_TENTHS}", UNITS / name),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_systemd_has_nothing_to_complain_of(systemd_analyze, installed):
    judged = subprocess.run(
        [systemd_analyze, "verify", *(installed / name for name in NAMES)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (judged.returncode, judged.stderr) == (0, "")


def test_only_what_a_restart_can_mend_is_started_again():
    unit = settings("leuko-edge.service")
    assert unit["Restart"] == ["on-failure"]
    never = {int(code) for code in unit["RestartPreventExitStatus"][0].split()}
    assert never == {ConfigError.exit_code, BundleError.exit_code}
    assert unit["OnFailure"] == ["leuko-edge-failed.service"]
    # So many failed starts fit into the interval, or the limit would never be reached.
    burst, pause_s = int(unit["StartLimitBurst"][0]), float(unit["RestartSec"][0].rstrip("s"))
    start_s = float(unit["WatchdogSec"][0].rstrip("s"))
    assert burst * (pause_s + start_s + 60) < 30 * 60


def test_the_daemon_may_write_its_two_folders_and_is_configured_for_them():
    unit = settings("leuko-edge.service")
    assert unit["ProtectSystem"] == ["strict"]
    assert "ReadWritePaths" not in unit
    assert unit["StateDirectory"] == unit["CacheDirectory"] == ["leuko-edge"]
    config = load_config(UNITS / "microscope.toml")
    assert config.outbox.path == Path("/var/lib/leuko-edge/outbox.db")
    assert config.http.enabled
    assert config.http.is_loopback
    assert f"{CACHE_VARIABLE}=%C/leuko-edge/engines" in unit["Environment"]


@pytest.mark.parametrize(
    "device",
    ["char-video4linux", "char-nvhost*", "char-nvgpu*", "char-nvidia*", "/dev/nvmap", "char-drm"],
)
def test_cameras_and_gpus_are_within_reach_and_other_devices_are_not(device):
    unit = settings("leuko-edge.service")
    assert unit["DevicePolicy"] == ["closed"]
    assert f"{device} rw" in unit["DeviceAllow"]
    assert unit["SupplementaryGroups"] == ["video render"]
    assert "MemoryDenyWriteExecute" not in unit  # networks are compiled into memory
