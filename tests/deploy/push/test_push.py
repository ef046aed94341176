"""The playbooks on several real sshd: a second run changes nothing, a check changes nothing at all.

Units, systemd and what takes root are in `tests/deploy/booted`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from edge_daemon.config import load_config
from tests.deploy.laboratory import NOW, Laboratory
from tests.deploy.push import devices
from tests.deploy.push.devices import NAMES, Ward
from tests.edge_daemon.update.versions import write_stand_in

FIRST, NEXT = "0.1.0", "0.2.0"
ONE = NAMES[0]
AS_IT_WAS = [f"{name}: as it was" for name in NAMES]


def push(ward: Ward, *arguments: str, code: int = 0) -> list[str]:
    return devices.push(ward.hosts, ward.registry, *arguments, code=code)


@pytest.fixture(scope="module")
def wheelhouse(ward: Ward) -> Path:
    for version in (FIRST, NEXT):
        write_stand_in(ward.folder / "wheelhouse", version)
    return ward.folder / "wheelhouse"


@pytest.fixture(scope="module")
def identities(ward: Ward) -> Path:
    laboratory = Laboratory(ward.folder / "laboratory")
    folder = ward.folder / "identities"
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        laboratory.enrol(name).rename(folder / name)
    return folder


@pytest.fixture(scope="module")
def set_up(ward: Ward, wheelhouse: Path) -> list[str]:
    """Every device, with its first version; what was said."""
    return push(ward, "bootstrap", "--version", FIRST, "--wheelhouse", str(wheelhouse))


def test_a_check_of_a_bare_device_says_what_would_change_and_changes_nothing(
    ward: Ward, wheelhouse: Path
) -> None:
    before = ward.devices[ONE].files()
    arguments = ("bootstrap", "--version", FIRST, "--wheelhouse", str(wheelhouse), "--only", ONE)

    said = push(ward, *arguments, "--check")

    assert said[-1] == "this was a check: nothing was changed"
    assert re.fullmatch(rf"{ONE}: \d+ changed", said[0]), said
    assert ward.devices[ONE].files() == before == {}


def test_bootstrap_brings_a_version_and_a_configuration_that_the_daemon_understands(
    ward: Ward, set_up: list[str]
) -> None:
    for name, device in ward.devices.items():
        root = device.disk / "opt" / "leukoedge"
        assert (root / "current").readlink() == Path("versions") / FIRST
        said = subprocess.run(
            [root / "current" / "bin" / "leuko-edge", "--version"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert said.stdout == f"leuko-edge {FIRST}\n"
        config = load_config(device.disk / "etc" / "leuko-edge" / "microscope.toml")
        assert f"{config.device.site}/{config.device.name}" == name
        assert config.broker.url == "mqtts://mqtt.lab.example"
        assert config.update.versions == root
        assert not (device.disk / "var" / "cache" / "leuko-edge-push").exists()


def test_a_second_run_changes_nothing_and_neither_does_its_check(
    ward: Ward, wheelhouse: Path, set_up: list[str]
) -> None:
    before = {name: device.files() for name, device in ward.devices.items()}
    arguments = ("bootstrap", "--version", FIRST, "--wheelhouse", str(wheelhouse))

    assert push(ward, *arguments) == AS_IT_WAS

    assert push(ward, *arguments, "--only", ONE, "--check")[:-1] == AS_IT_WAS[:1]
    assert {name: device.files() for name, device in ward.devices.items()} == before


def test_a_version_that_the_updater_chose_is_not_taken_back(
    ward: Ward, wheelhouse: Path, set_up: list[str]
) -> None:
    arguments = ("bootstrap", "--only", ONE, "--wheelhouse", str(wheelhouse))
    push(ward, *arguments, "--version", NEXT)
    root = ward.devices[ONE].disk / "opt" / "leukoedge"

    assert (root / "current").readlink() == Path("versions") / FIRST, "that is for orders"
    assert (root / "versions" / NEXT / "bin" / "leuko-edge").exists()


def test_certificates_come_closed_to_others_and_only_what_changed_is_written(
    ward: Ward, identities: Path, set_up: list[str]
) -> None:
    arguments = ("certificates", "--identities", str(identities))
    push(ward, *arguments, "--only", ONE, "--check")
    assert not (ward.devices[ONE].disk / "etc/leuko-edge/identity").exists()
    push(ward, *arguments)

    for name, device in ward.devices.items():
        place = device.disk / "etc/leuko-edge/identity"
        assert place.stat().st_mode & 0o777 == 0o700
        for file in ("identity.key", "identity.pem", "ca.pem"):
            assert (place / file).read_bytes() == (identities / name / file).read_bytes()
            assert (place / file).stat().st_mode & 0o777 == 0o600
    assert push(ward, *arguments, "--only", ONE) == AS_IT_WAS[:1]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("expired", "north/scope-1: its certificate in .* has expired on"),
        ("another's", f"holds the certificate of {NAMES[1]}"),
        ("missing", "is not there: enrol north/scope-1"),
        ("torn", "cannot be read"),
        ("key of another", "holds a key that is not its certificate's"),
    ],
)
def test_a_certificate_that_does_not_count_is_not_carried_anywhere(
    ward: Ward, identities: Path, tmp_path: Path, fault: str, why: str
) -> None:
    folder = tmp_path / "identities"
    shutil.copytree(identities, folder)
    place = folder / ONE
    if fault == "expired":
        shutil.rmtree(place)
        laboratory = Laboratory(tmp_path / "laboratory", when=NOW - timedelta(days=400))
        old = laboratory.enrol(ONE, when=NOW - timedelta(days=399), lasts=timedelta(days=30))
        old.rename(place)
    elif fault == "another's":
        shutil.rmtree(place)
        shutil.copytree(folder / NAMES[1], place)
    elif fault == "missing":
        (place / "identity.key").unlink()
    elif fault == "torn":
        (place / "identity.pem").write_bytes((place / "identity.pem").read_bytes()[:99])
    else:
        shutil.copy(folder / NAMES[1] / "identity.key", place / "identity.key")

    (line,) = push(ward, "certificates", "--identities", str(folder), code=24)

    assert line.startswith("leuko-deploy: ")
    assert re.search(why, line), line


def test_a_device_that_is_away_is_named_and_the_others_are_done(ward: Ward) -> None:
    away = ward.devices[NAMES[-1]]
    for device in ward.devices.values():
        device.told()
    everyone = [word for name in NAMES for word in ("--only", name)]
    away.stop()
    try:
        said = push(ward, "break-glass", "stop", *everyone, code=24)
    finally:
        away.start()
        ward.refresh()
    done = [name for name in NAMES if name != away.name]
    *changed, missed, summary = said
    assert changed == [f"{name}: 1 changed" for name in done]
    assert missed.startswith(f"{away.name}: cannot be reached: ")
    assert "Connection refused" in missed
    assert summary == f"leuko-deploy: 1 of {len(NAMES)} did not come to the end"
    assert all(ward.devices[name].told() == ["stop leuko-edge.service"] for name in done)
    assert away.told() == []


def test_a_host_that_shows_another_key_is_not_spoken_to(ward: Ward) -> None:
    known = ward.folder / "known_hosts"
    before = known.read_text()
    lines = before.splitlines()
    swapped = f"{lines[0].split()[0]} {' '.join(lines[1].split()[1:])}"
    known.write_text("\n".join([swapped, *lines[1:]]) + "\n")
    try:
        said = push(ward, "units", "--only", ONE, code=24)
    finally:
        known.write_text(before)
    assert said[0].startswith(f"{ONE}: cannot be reached: ")


def test_the_inventory_is_one_that_ansible_reads_without_us(ward: Ward, tmp_path: Path) -> None:
    file = tmp_path / "inventory.json"
    push(ward, "inventory", "--out", str(file))
    program = Path(sys.executable).with_name("ansible-inventory")

    said = subprocess.run(
        [program, "-i", file, "--graph"], check=True, capture_output=True, text=True
    ).stdout

    assert [line.strip(" |-") for line in said.splitlines()] == [
        "@all:",
        "@ungrouped:",
        "@site_north:",
        *(name for name in NAMES if name.startswith("north/")),
        "@site_south:",
        *(name for name in NAMES if name.startswith("south/")),
    ]
