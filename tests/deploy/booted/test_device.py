"""A device from bare to screening and through its life: real sshd, sudo, root, systemd, broker.

These follow `docs/fleet/install.md` in its order; each begins where the one before has ended.
"""

from __future__ import annotations

import time

import pytest

from edge_daemon.contract.messages import SlideSummary
from tests.deploy.booted.hospital import CONFIG, DEVICE, EDGE, FIRST, Hospital, shipped, wait
from tests.deploy.rollout.versioned import FAULTS, VersionedDevice, offer_daemon
from tests.deploy.rollout.ward import Ward
from tests.edge_daemon.update.own_wheel import CHECKOUT

pytestmark = pytest.mark.hardware
"""A container without rights of its own, as CI may be, cannot boot anything."""

BOOTSTRAP = ("bootstrap", "--version", FIRST)
AS_IT_WAS = [f"{DEVICE}: as it was"]
DAEMON, UPDATER = "leuko-edge.service", "leuko-edge-update.service"
GOOD, BACK_1, BAD, BACK_2 = "99.1.0", "99.1.1", "99.2.0", "99.2.1"


@pytest.fixture(scope="module")
def bootstrapped(bare: Hospital) -> Hospital:
    bare.push(*BOOTSTRAP, "--wheelhouse", str(bare.wheelhouse))
    return bare


@pytest.fixture(scope="module")
def identified(bootstrapped: Hospital) -> Hospital:
    bootstrapped.push("certificates", "--identities", str(bootstrapped.identities))
    return bootstrapped


@pytest.fixture(scope="module")
def trusting(identified: Hospital) -> Hospital:
    root = identified.machine.disk / "home/operator/1.root.json"
    root.write_bytes(identified.fleet.first_root.read_bytes())
    identified.machine.ask("chmod", "755", "/home/operator")
    identified.edge("update", "provision", CONFIG, "/home/operator/1.root.json")
    return identified


@pytest.fixture(scope="module")
def screening(trusting: Hospital) -> Hospital:
    trusting.push("units", "--check")
    assert not (trusting.machine.disk / "etc/systemd/system" / DAEMON).exists()
    trusting.push("units")
    assert wait(trusting.is_online), trusting.machine.journal(DAEMON)
    return trusting


def owners(place: Hospital, *paths: str) -> list[str]:
    return place.machine.ask("sudo", "stat", "-c", "'%U:%G %a'", *paths).splitlines()


def test_a_check_of_a_bare_device_changes_nothing(bare: Hospital) -> None:
    said = bare.push(*BOOTSTRAP, "--wheelhouse", str(bare.wheelhouse), "--check")

    assert said[-1] == "this was a check: nothing was changed"
    assert bare.machine.run("getent", "passwd", "leuko-edge").returncode == 2
    for folder in ("opt/leukoedge", "etc/leuko-edge", "var/lib/leuko-edge"):
        assert not (bare.machine.disk / folder).exists()


def test_bootstrap_makes_the_user_and_gives_it_its_files(bootstrapped: Hospital) -> None:
    machine = bootstrapped.machine

    user = machine.ask("getent", "passwd", "leuko-edge").split(":")
    assert user[5:] == ["/var/lib/leuko-edge", "/usr/sbin/nologin"]
    assert machine.ask("id", "-gn", "leuko-edge") == "leuko-edge"
    assert int(user[2]) < 1000, "a user of the system"
    assert owners(
        bootstrapped, CONFIG, "/etc/leuko-edge", "/var/lib/leuko-edge", "/opt/leukoedge",
        f"/opt/leukoedge/versions/{FIRST}/bin/leuko-edge",
    ) == [
        "leuko-edge:leuko-edge 600", "leuko-edge:leuko-edge 750", "leuko-edge:leuko-edge 700",
        "leuko-edge:leuko-edge 755", "leuko-edge:leuko-edge 755",
    ]  # fmt: skip
    assert bootstrapped.edge("--version") == f"leuko-edge {FIRST}"
    assert machine.ask("sudo", "find", "/opt/leukoedge", "!", "-user", "leuko-edge") == ""
    assert machine.run("cat", CONFIG).returncode != 0, "it may hold passwords"


def test_a_second_bootstrap_finds_all_as_it_was(bootstrapped: Hospital) -> None:
    again = (*BOOTSTRAP, "--wheelhouse", str(bootstrapped.wheelhouse))

    assert bootstrapped.push(*again) == AS_IT_WAS


def test_certificates_belong_to_the_daemon_alone(identified: Hospital) -> None:
    place = "/etc/leuko-edge/identity"
    files = [f"{place}/{name}" for name in ("identity.key", "identity.pem", "ca.pem")]

    assert owners(identified, place, *files) == [
        "leuko-edge:leuko-edge 700",
        *["leuko-edge:leuko-edge 600"] * 3,
    ]
    handed_out = str(identified.identities)
    assert identified.push("certificates", "--identities", handed_out) == AS_IT_WAS


def test_units_bring_it_onto_the_air_and_it_screens(screening: Hospital) -> None:
    machine = screening.machine

    assert machine.ask("sudo", "systemctl", "is-system-running") == "running"
    for unit in (CHECKOUT / "deploy/systemd").glob("leuko-edge*.[sp]*[eh]"):
        installed = machine.disk / "etc/systemd/system" / unit.name
        assert installed.read_bytes() == unit.read_bytes()
    for unit in (DAEMON, UPDATER):
        assert machine.shows(unit, "ActiveState", "UnitFileState", "NRestarts") == [
            "active",
            "enabled",
            "0",
        ]
    # Type=notify: systemd says active once the daemon has said READY=1
    assert machine.shows(DAEMON, "Type", "StatusText")[0] == "notify"
    assert wait(lambda: screening.slide is not None and screening.slide.frames.analysed >= 3)
    assert screening.push("units") == AS_IT_WAS
    assert wait(lambda: screening.listed()["reported"]["version"] == FIRST)
    assert screening.listed()["drift"] == []


def test_operators_of_its_group_speak_to_it_and_nobody_else_does(screening: Hospital) -> None:
    machine = screening.machine
    status = (EDGE, "slide", "status")

    refused = machine.run(*status)
    machine.ask("sudo", "usermod", "-aG", "leuko-edge", "operator")

    assert refused.returncode == 12
    assert "usermod -aG leuko-edge NAME" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "screening" in machine.ask(*status)


def test_killed_it_is_started_again_and_goes_on_with_its_slide(screening: Hospital) -> None:
    machine, before = screening.machine, screening.slide
    assert before is not None
    machine.ask("sudo", "systemctl", "kill", "--signal=KILL", "--kill-who=main", DAEMON)

    assert wait(lambda: screening.is_online(after=before.boot_id)), machine.journal(DAEMON)
    assert machine.shows(DAEMON, "NRestarts") == ["1"]
    assert wait(lambda: _has_gone_on(screening.slide, before))


def _has_gone_on(now: SlideSummary | None, before: SlideSummary) -> bool:
    return (
        now is not None
        and now.boot_id != before.boot_id
        and now.slide == before.slide
        and now.frames.analysed > before.frames.analysed
    )


def test_a_loop_that_stands_still_is_ended_by_the_watchdog(screening: Hospital) -> None:
    machine, before = screening.machine, screening.status
    assert before is not None
    with machine.brisk(DAEMON, "WatchdogSec=4s", "TimeoutAbortSec=2s"):
        machine.ask("sudo", "systemctl", "restart", DAEMON)
        assert wait(lambda: screening.is_online(after=before.boot_id))
        running = screening.status
        assert running is not None

        machine.ask("sudo", "systemctl", "kill", "--signal=STOP", "--kill-who=main", DAEMON)

        assert wait(lambda: screening.is_online(after=running.boot_id)), machine.journal(DAEMON)
    assert "Watchdog timeout" in machine.journal(DAEMON)


def test_a_daemon_that_cannot_start_says_so_to_the_laboratory_until_it_can(
    screening: Hospital,
) -> None:
    """Exit code 3, a bundle that is wrong: not tried again, and the broker has the reason."""
    machine, before = screening.machine, screening.status
    assert before is not None
    bundle = next(machine.disk.glob("opt/leukoedge/versions/*/lib/python*/*/deploy/bundles/*"))
    manifest = bundle / "bundle.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-100])

    machine.run("sudo", "systemctl", "restart", DAEMON)

    assert wait(lambda: "bundle" in (getattr(screening.status, "reason", None) or "")), (
        machine.journal("leuko-edge-failed.service")
    )
    assert screening.status is not None
    assert screening.status.state == "offline"
    assert machine.shows(DAEMON, "ActiveState", "ExecMainStatus") == ["failed", "3"]
    manifest.write_bytes(whole)
    assert screening.push("break-glass", "start", "--only", DEVICE) == [f"{DEVICE}: 2 changed"]
    assert wait(lambda: screening.is_online(after=before.boot_id)), machine.journal(DAEMON)


def test_a_new_version_comes_by_order_and_one_that_does_not_start_is_undone(
    screening: Hospital,
) -> None:
    machine, bundles = screening.machine, shipped()
    for version in (GOOD, BACK_1):
        offer_daemon(screening.fleet, version, beside=bundles)
    ward = Ward[VersionedDevice](
        screening.folder, screening.laboratory, screening.controller, screening.fleet, []
    )

    config = machine.disk / CONFIG[1:]
    config.write_text(config.read_text() + "answers_within_s = 15.0\n")  # of [update], the last

    with machine.brisk(UPDATER, "RestartSec=1s"), machine.brisk(DAEMON, "RestartSec=1s"):
        machine.ask(EDGE, "slide", "finish")
        began_s = time.monotonic()
        done = ward.rolled_out(screening.wanted(GOOD, BACK_1))
        print(f"rolled out in {time.monotonic() - began_s:.0f} s")

        assert done.word == "done", machine.journal(UPDATER)
        assert screening.links() == (GOOD, FIRST)
        assert wait(lambda: screening.is_online(GOOD)), machine.journal(DAEMON)
        assert wait(lambda: machine.shows(UPDATER, "ActiveState") == ["active"])
        assert screening.listed()["desired"]["version"] == GOOD

        offer_daemon(screening.fleet, BAD, FAULTS["does not come up"], beside=bundles)
        offer_daemon(screening.fleet, BACK_2, beside=bundles)
        machine.ask(EDGE, "slide", "finish")
        began_s = time.monotonic()
        undone = ward.rolled_out(screening.wanted(BAD, BACK_2))
        print(f"undone in {time.monotonic() - began_s:.0f} s")

    assert undone.word == "undone", machine.journal(UPDATER)
    assert undone.stopped is not None
    assert f"{BAD} was tried and does not work" in undone.stopped.why
    assert screening.links() == (GOOD, FIRST)
    assert wait(lambda: screening.is_online(GOOD)), machine.journal(DAEMON)


def test_it_is_taken_back_by_hand_pinned_and_let_go(screening: Hospital) -> None:
    machine = screening.machine
    back = ("break-glass", "back", "--to", FIRST, "--only", DEVICE)
    was = screening.links()[0]
    screening.push(*back, "--check")
    assert screening.links()[0] == was

    screening.push(*back)

    assert screening.links() == (FIRST, was)
    assert wait(lambda: screening.is_online(FIRST)), machine.journal(DAEMON)
    assert machine.shows(UPDATER, "ActiveState") == ["inactive"]
    machine.ask("sudo", "systemctl", "start", UPDATER)
    assert machine.shows(UPDATER, "ActiveState", "ConditionResult") == ["inactive", "no"]
    assert screening.push(*back) == AS_IT_WAS
    nowhere = ("break-glass", "back", "--to", "9.9.9", "--only", DEVICE)
    assert screening.push(*nowhere, code=24)[0] == (
        f"{DEVICE}: It can be gone to: version 9.9.9 is not on this device"
    )
    screening.push("break-glass", "unpin", "--only", DEVICE)
    assert machine.shows(UPDATER, "ActiveState") == ["active"]


def test_stopped_by_hand_it_says_goodbye_and_started_it_is_there(screening: Hospital) -> None:
    machine, before = screening.machine, screening.status
    assert before is not None
    screening.push("break-glass", "stop", "--only", DEVICE, "--check")
    assert machine.shows(DAEMON, "ActiveState") == ["active"]
    screening.push("break-glass", "stop", "--only", DEVICE)

    assert machine.shows(DAEMON, "ActiveState", "Result") == ["inactive", "success"]
    assert wait(lambda: screening.status is not None and screening.status.state == "offline")
    assert screening.push("break-glass", "stop", "--only", DEVICE) == AS_IT_WAS
    screening.push("break-glass", "start", "--only", DEVICE)
    assert wait(lambda: screening.is_online(after=before.boot_id)), machine.journal(DAEMON)
    assert screening.push("break-glass", "start", "--only", DEVICE) == AS_IT_WAS


def test_after_a_power_cut_it_screens_again_by_itself(screening: Hospital) -> None:
    before = screening.status
    assert before is not None
    screening.machine.cut_power()

    screening.machine.boot()

    assert wait(lambda: screening.is_online(after=before.boot_id)), screening.machine.journal(
        DAEMON
    )
    assert screening.machine.shows(UPDATER, "ActiveState") == ["active"]
