"""The units under which a device runs unattended: sound, hardened, and in step with the code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from edge_daemon.commands.ask import INSTALLED_SOCKET, socket_of
from edge_daemon.config import load_config
from edge_daemon.engines.folder import CACHE_VARIABLE
from edge_daemon.errors import BundleError, ConfigError
from tests.house.checkout import REPOSITORY

UNITS = REPOSITORY / "deploy" / "systemd"
NAMES = (
    "leuko-edge.service",
    "leuko-edge-failed.service",
    "leuko-edge-update.service",
    "leuko-edge-restart.service",
)
WATCHES = "leuko-edge-restart.path"
PROGRAM = "/opt/leukoedge/current/bin/leuko-edge"
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
    for name in (*NAMES, WATCHES):
        text = (UNITS / name).read_text().replace(PROGRAM, "/bin/true")
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
        [systemd_analyze, "verify", *(installed / name for name in (*NAMES, WATCHES))],
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
    folder = Path("/var/lib/leuko-edge")
    assert config.outbox.path == folder / "outbox.db"
    assert config.models.store == folder / "bundles"
    assert config.update.state == folder / "update"
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


def test_the_operators_socket_lies_where_the_group_may_enter_and_the_command_line_asks():
    unit = settings("leuko-edge.service")
    assert unit["RuntimeDirectory"] == ["leuko-edge"]
    assert unit["RuntimeDirectoryMode"] == ["0750"]
    config = load_config(UNITS / "microscope.toml")
    assert config.local.enabled
    assert config.local_socket == socket_of(None, None) == INSTALLED_SOCKET
    assert INSTALLED_SOCKET.parent == Path("/run") / unit["RuntimeDirectory"][0]


def test_only_the_updater_may_write_the_daemons_versions_and_it_asks_for_a_restart_by_a_file():
    config = load_config(UNITS / "microscope.toml").update
    assert config.versions is not None
    assert Path(PROGRAM).is_relative_to(config.versions)
    assert settings("leuko-edge-update.service")["ReadWritePaths"] == [f"-{config.versions}"]
    for name in NAMES[:3]:
        assert settings(name)["ExecStart"][0].startswith(f"{PROGRAM} ")
        assert settings(name)["User"] == ["leuko-edge"]
    (watched,) = settings(WATCHES)["PathChanged"]
    assert config.restart == ("touch", watched)
    assert Path(watched).is_relative_to(config.state)


def test_every_group_that_a_unit_names_is_made() -> None:
    made = re.findall(r"^[ug] (\S+)", (UNITS / "leuko-edge.sysusers").read_text(), re.MULTILINE)
    for name in NAMES:
        for line in settings(name).get("SupplementaryGroups", []):
            assert set(line.split()) <= set(made)
