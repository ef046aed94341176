"""From an order to a bundle in use: a real daemon, broker and repository; the updater by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.target import Compatibility
from edge_daemon.delivery.receiver import wait_until
from tests.edge_daemon.update.scope import Scope, order
from tests.mosquitto import Mosquitto

STEPS = ("followed", "chosen", "fetched", "unpacked", "staged", "trying", "active")


@pytest.fixture(scope="module")
def scope(mosquitto: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scope]:
    """One microscope for all: each test orders a version that is newer than those before."""
    folder = tmp_path_factory.mktemp("scope")
    with Mosquitto(mosquitto, folder / "broker") as broker:
        scope = Scope(folder, broker.url)
        scope.start()
        yield scope
        scope.kill()


VERSIONS = iter(f"0.{number}.0" for number in range(2, 1000))


def test_what_is_desired_comes_by_the_broker_and_is_used(scope: Scope) -> None:
    version = next(VERSIONS)
    scope.offer(version)
    desired = order(version)
    scope.say(desired)
    assert scope.hears(desired)

    journal = scope.look()

    assert scope.state().label == f"tiny-{version}"
    assert (journal.step, journal.waits_for, journal.refused) == ("active", None, None)
    assert journal.line.startswith(f"tiny-{version} is desired, tiny-{version} runs; looked at")
    assert list((scope.config.update.state / "downloads").iterdir()) == []
    assert not (scope.config.update.state / "unpacked").exists()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_it_ends_in_old_good_or_new_good_and_goes_on(
    scope: Scope, step: str, when: str
) -> None:
    old, version = scope.state().label, next(VERSIONS)
    scope.offer(version)
    scope.put_stick(order(version))

    scope.killed_at(step, when)

    daemon_was_asked = (step, when) in {("active", "before"), ("active", "after")}
    assert scope.state().label == (f"tiny-{version}" if daemon_was_asked else old)
    assert scope.look().step == "active"
    assert scope.state().label == f"tiny-{version}"


def test_a_bad_bundle_ends_on_the_old_one_and_the_reason_is_told(scope: Scope) -> None:
    old, version = scope.state().label, next(VERSIONS)
    scope.offer(version, bad=True)
    scope.put_stick(order(version))

    journal = scope.look()

    assert journal.step == "failed"
    assert f"tiny-{version} was tried and is not good" in (journal.refused or "")
    assert "fails its golden set" in (journal.refused or "")
    assert scope.state().label == old
    assert scope.look() == journal.model_copy(update={"looked_at": scope.journal.looked_at})
    good = next(VERSIONS)
    scope.offer(good)
    scope.put_stick(order(good))
    assert scope.look().refused is None
    assert scope.state().label == f"tiny-{good}"


def test_killed_while_a_bad_bundle_is_tried_it_still_ends_on_the_old_one(scope: Scope) -> None:
    old, version = scope.state().label, next(VERSIONS)
    scope.offer(version, bad=True)
    scope.put_stick(order(version))
    scope.killed_at("failed", "before")

    assert "fails its golden set" in (scope.look().refused or "")
    assert scope.state().label == old


def test_the_end_of_a_slide_is_waited_for(scope: Scope) -> None:
    old, version = scope.state().label, next(VERSIONS)
    scope.offer(version)
    scope.put_stick(order(version))
    scope.ask("slide-start", slide=f"S-{version}")

    journal = scope.look()

    assert "is under way" in (journal.waits_for or "")
    assert f"S-{version}" in (journal.waits_for or "")
    assert scope.state().label == old
    scope.ask("slide-finish")
    assert scope.look().waits_for is None
    assert scope.state().label == f"tiny-{version}"


def test_a_device_that_was_off_catches_up_by_itself(scope: Scope) -> None:
    """Daemon and updater were down while two orders were given; the broker kept the last."""
    scope.kill()
    assert "no daemon is running" in (scope.look().waits_for or "")
    for version in (next(VERSIONS), next(VERSIONS)):
        scope.offer(version)
        desired = order(version)
        scope.say(desired)
    updater = subprocess.Popen([*scope.look_command[:-1]], stderr=subprocess.PIPE)
    try:
        scope.start()
        assert scope.hears(desired)
        assert wait_until(lambda: scope.state().label == f"tiny-{version}", 60), scope.journal.line
    finally:
        updater.kill()
        updater.wait(30)
    assert scope.look().step == "active"


def test_a_repository_that_is_away_or_out_of_date_is_waited_for(scope: Scope) -> None:
    old, version = scope.state().label, next(VERSIONS)
    scope.put_stick(order(version))
    assert f"has no tiny-{version} yet" in (scope.look().waits_for or "")
    scope.offer(version)
    away = scope.folder / "away"
    scope.fleet.repository.folder.rename(away)
    assert "is the stick in" in (scope.look().waits_for or "")
    away.rename(scope.fleet.repository.folder)
    seen = scope.config.update.state / "latest-time.json"
    before = seen.read_bytes()
    ahead = utc_now() + timedelta(days=400)
    seen.write_text(json.dumps({"utc": ahead.isoformat()}))

    assert "updates wait until it is published anew" in (scope.look().waits_for or "")

    assert scope.state().label == old
    seen.write_bytes(before)
    assert scope.look().step == "active"


def test_what_does_not_fit_or_is_older_is_refused_in_a_line(scope: Scope) -> None:
    old, version = scope.state().label, next(VERSIONS)
    scope.offer(version, compatibility=Compatibility(min_daemon="99.0.0"))
    scope.put_stick(order(version))
    assert "it needs daemon 99.0.0 or newer" in (scope.look().refused or "")

    scope.offer("0.0.9")
    scope.put_stick(order("0.0.9"))

    assert "a device never goes down a version" in (scope.look().refused or "")
    assert scope.state().label == old


def test_orders_that_are_malformed_foreign_or_old_are_refused_in_a_line(scope: Scope) -> None:
    followed = order(None)
    scope.put_stick(followed)
    scope.look()
    for content, told in (
        (b"{", "not JSON, or cut short"),
        (order("0.9.0").to_json().replace(b'"id"', b'"identity"'), "leukoedge.desired/1"),
        (order("0.9.0", device="scope-2").to_json(), "it is for lab/scope-2"),
        (
            order("0.9.0", at=followed.ts - timedelta(hours=1)).to_json(),
            "an older one is not gone back to",
        ),
        (b" " * 20_000, "over 16384 bytes"),
    ):
        scope.stick.write_bytes(content)
        journal = scope.look()
        assert told in "".join(journal.orders_refused), journal.line
        assert "\n" not in journal.line
        assert journal.order == followed


def test_check_says_it_for_people_and_for_programs(scope: Scope) -> None:
    scope.look()
    command = [sys.executable, "-m", "edge_daemon.cli", "update", "check", str(scope.file)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said == f"{scope.journal.line}\n"
    said = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True).stdout
    assert json.loads(said)["runs"] == scope.state().label


def test_bundles_that_were_replaced_are_deleted_but_for_the_one_before(scope: Scope) -> None:
    before = scope.state().label
    version = next(VERSIONS)
    scope.offer(version)
    scope.put_stick(order(version))
    assert scope.look().step == "active"

    kept = {folder.name for folder in (scope.folder / "bundles").glob("tiny-*")}

    assert kept == {before, f"tiny-{version}"}
