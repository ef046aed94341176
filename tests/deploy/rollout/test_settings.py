"""The rollout file: strict, and a line for each fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.rollout.errors import RolloutError
from deploy.rollout.settings import read_rollout

SMALL = """
name = "leukoedge-0.8.0"
repository = "fleet-repo"
[bundle]
name = "leukoedge"
version = "0.8.0"
back_to = "0.8.1"
[devices]
sites = ["haematology"]
"""

DAEMON = """[daemon]
version = "0.8.0"
back_to = "0.8.1"
"""


def file(folder: Path, text: str) -> Path:
    path = folder / "rollout.toml"
    path.write_text(text)
    return path


def test_a_small_file_has_careful_waves(tmp_path: Path) -> None:
    rollout = read_rollout(file(tmp_path, SMALL))
    canary, quarter, everyone = rollout.waves
    assert (canary.count, canary.look_on, canary.soak_s) == (1, True, 86400.0)
    assert (quarter.share, everyone.share) == (0.25, 1.0)
    assert rollout.undo == "by_itself"
    assert rollout.repository == str(tmp_path / "fleet-repo")


def test_an_address_stays_an_address(tmp_path: Path) -> None:
    text = SMALL.replace("fleet-repo", "https://updates.lab.example/repo")
    assert read_rollout(file(tmp_path, text)).repository == "https://updates.lab.example/repo"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name = "leukoedge-0.8.0"', 'nmae = "x"', "nmae: there is no such setting"),
        ("0.8.1", "0.7.9", "back_to 0.7.9 is not higher than 0.8.0"),
        ("0.8.1", "0.8", "back_to 0.8 is not higher than 0.8.0"),
        ('"0.8.0"\nback', '"0.8-rc1"\nback', "bundle.version"),
        ('sites = ["haematology"]', "", "devices: names no device"),
        ('sites = ["haematology"]', 'names = ["scope-1"]', "devices.names.0"),
        ("[devices]", "[[waves]]\nsoak_s = 3\n[devices]", "waves.0: say which devices by one of"),
        ("[devices]", "[[waves]]\ncount = 1\nshare = 0.5\n[devices]", "waves.0: say which"),
        ("[devices]", "[gates]\nmost_errors = 2\n[devices]", "gates.most_errors"),
        ("[devices]", '[gates]\noff = ["trial"]\n[devices]', "gates.off.0"),
        ("[devices]", "[devices", "is no TOML"),
        ("[devices]", f"{DAEMON}[devices]", "all of it: say what it brings by one of [bundle] and"),
    ],
)
def test_each_fault_is_a_line_that_says_where(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert old in SMALL
    with pytest.raises(RolloutError) as refused:
        read_rollout(file(tmp_path, SMALL.replace(old, new)))
    assert told in str(refused.value)
    assert all(line.startswith(str(tmp_path)) for line in str(refused.value).splitlines())


DAEMON_FILE = SMALL.partition("[bundle]")[0] + DAEMON + SMALL[SMALL.index("[devices]") :]


def test_a_daemon_takes_the_place_of_a_bundle_and_nothing_looks_on(tmp_path: Path) -> None:
    rollout = read_rollout(file(tmp_path, DAEMON_FILE))
    assert rollout.bundle is None
    assert (rollout.wanted.name, rollout.wanted.version) == ("leukoedge", "0.8.0")
    assert [wave.look_on for wave in rollout.waves] == [False] * 3


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (DAEMON, "", "all of it: say what it brings by one of [bundle] and [daemon]"),
        ("0.8.1", "0.7.9", "daemon: back_to 0.7.9 is not higher than 0.8.0"),
        ("version", 'name = "leukoedge"\nversion', "daemon.name: there is no such setting"),
        (
            "[devices]",
            "[[waves]]\ncount = 1\nlook_on = true\n[devices]",
            "look_on is for bundles: no second daemon can look on",
        ),
    ],
)
def test_each_fault_of_a_daemon_is_a_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(RolloutError) as refused:
        read_rollout(file(tmp_path, DAEMON_FILE.replace(old, new, 1)))
    assert told in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_two_faults_are_two_lines(tmp_path: Path) -> None:
    text = SMALL.replace("0.8.1", "0.1.0").replace("[devices]", "[devices]\nal = true")
    with pytest.raises(RolloutError) as refused:
        read_rollout(file(tmp_path, text))
    assert len(str(refused.value).splitlines()) == 2


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="cannot read"):
        read_rollout(tmp_path / "none.toml")
