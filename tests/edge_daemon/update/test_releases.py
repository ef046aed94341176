"""From an order to another version of the daemon: real environments, links, wheels, repository."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.trust import wheelhouse
from edge_daemon.contract.target import Compatibility
from edge_daemon.delivery.receiver import wait_until
from tests.edge_daemon.update.versions import FIRST, PATIENCE_S, Scope


@pytest.fixture(scope="module")
def scope(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scope]:
    """One microscope for all tests of versions that are no good: it stays on the first."""
    scope = Scope(tmp_path_factory.mktemp("scope"), answers_within_s=4.0)
    scope.start()
    yield scope
    scope.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Scope]:
    scope = Scope(tmp_path)
    scope.start()
    yield scope
    scope.stop()


VERSIONS = iter(f"0.2.{number}" for number in range(1000))


def test_what_is_desired_is_built_switched_to_and_kept(fresh: Scope) -> None:
    fresh.offer("0.2.0")
    order = fresh.order("0.2.0")

    journal = fresh.look()

    assert (journal.step, journal.waits_for, journal.refused) == ("committed", None, None)
    told = fresh.standing
    assert told is not None
    assert (told.order, told.step, told.desired) == (order.id, "committed", "leukoedge-0.2.0")
    assert (told.runs, told.waits_for, told.refused) == ("0.2.0", None, None)
    assert fresh.runs == "0.2.0"
    assert fresh.links == ("0.2.0", FIRST)
    said = fresh.update("check", str(fresh.file)).stdout.splitlines()
    assert said[1].startswith("daemon: leukoedge-0.2.0 is desired, 0.2.0 is current; looked at")
    as_json = json.loads(fresh.update("check", str(fresh.file), "--json").stdout)
    assert as_json["daemon"]["step"] == "committed"
    assert not (fresh.config.update.state / "wheels").exists()
    assert list((fresh.config.update.state / "downloads").iterdir()) == []

    fresh.offer("0.3.0")
    fresh.order("0.3.0")
    assert fresh.look().step == "committed"
    assert fresh.links == ("0.3.0", "0.2.0")
    kept = sorted(place.name for place in (fresh.versions.root / "versions").iterdir())
    assert kept == ["0.2.0", "0.3.0"], "a version that is neither is deleted"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("fails its self-check", "its self-check: leuko-edge: [source] url: this version does not"),
        ("names itself otherwise", "it says that it is 'leuko-edge 9.9.9'"),
        ("does not start", "it did not answer within 4 s"),
        ("never answers", "it did not answer within 4 s"),
        ("starts and dies", "it started and ended 3 times"),
        ("says another version", "it says that it is 9.9.9"),
        ("uses another bundle", "it uses another bundle than before"),
    ],
)
def test_a_version_that_is_no_good_ends_on_the_old_one_and_the_reason_is_told(
    scope: Scope, fault: str, why: str
) -> None:
    version = next(VERSIONS)
    scope.offer(version, fault)
    scope.order(version)

    journal = scope.look()

    assert journal.step == "failed"
    assert why in (journal.refused or ""), journal.line
    assert "\n" not in journal.line
    assert scope.links == (FIRST, None)
    assert wait_until(lambda: scope.runs == FIRST, PATIENCE_S)
    assert not scope.versions.place(version).exists()
    assert scope.look().refused == journal.refused, "and is not tried again"
    again = scope.carry_over()
    assert scope.look().refused == journal.refused, "nor because another order carries it over"
    told = scope.standing
    assert told is not None
    assert (told.order, told.step, told.runs) == (again.id, "failed", FIRST)
    assert why in (told.refused or "")


def test_what_cannot_be_installed_is_told_by_its_reason(
    scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever signs is told of it before (test_wheelhouse); a device does not rely on that."""
    monkeypatch.setattr(wheelhouse, "_check_complete", lambda *_: None)
    version = next(VERSIONS)
    scope.offer(version, requires="nowhere-to-be-found>=1")
    scope.order(version)

    journal = scope.look()

    assert journal.step == "failed"
    assert f"leukoedge-{version} does not work here: its packages: ERROR" in (journal.refused or "")
    assert (scope.runs, scope.links) == (FIRST, (FIRST, None))


def test_what_does_not_fit_is_older_or_unknown_is_refused_or_waited_for_in_a_line(
    scope: Scope,
) -> None:
    version = next(VERSIONS)
    scope.order(version)
    assert f"has no leukoedge-{version} yet" in (scope.look().waits_for or "")
    scope.offer(version, fits=Compatibility(min_daemon="99.0.0"))
    assert "it needs daemon 99.0.0 or newer" in (scope.look().refused or "")
    scope.offer("0.0.9")
    scope.order("0.0.9")
    assert "a device never goes down a version" in (scope.look().refused or "")
    scope.order(FIRST)
    assert scope.look().step == "committed", "it runs already"
    assert (scope.runs, scope.links) == (FIRST, (FIRST, None))


def test_a_daemon_that_does_not_answer_is_not_restarted(fresh: Scope) -> None:
    """Nobody could say whether a slide is under way."""
    fresh.offer("0.2.0")
    fresh.order("0.2.0")
    fresh.stop()

    assert "no daemon is running" in (fresh.look().waits_for or "")

    assert fresh.links == (FIRST, None)
    fresh.start()
    assert fresh.look().step == "committed"


def test_a_restart_that_cannot_be_asked_for_leaves_the_old_one_running(fresh: Scope) -> None:
    text = fresh.file.read_text()
    fresh.file.write_text(text.replace('["touch"', '["false"'))
    fresh.offer("0.2.0")
    fresh.order("0.2.0")
    boot = fresh.state().boot_id

    journal = fresh.look()

    assert journal.step == "failed"
    assert "the daemon cannot be restarted by 'false" in (journal.refused or "")
    assert (fresh.links, fresh.state().boot_id) == ((FIRST, None), boot)


def test_a_device_that_was_never_set_up_for_it_says_so(fresh: Scope) -> None:
    fresh.offer("0.2.0")
    fresh.order("0.2.0")
    (fresh.versions.root / "current").unlink()

    assert "current points to no version" in (fresh.look().waits_for or "")


def test_the_end_of_a_slide_is_waited_for(fresh: Scope) -> None:
    fresh.offer("0.2.0")
    fresh.order("0.2.0")
    slide = fresh.folder / "slide"
    slide.touch()

    journal = fresh.look()

    assert journal.step == "built"
    told = fresh.standing
    assert (told and told.step, told and told.waits_for) == ("built", journal.waits_for)
    assert journal.waits_for == "S-1 is under way, and nothing changes inside a slide"
    assert (fresh.runs, fresh.links) == (FIRST, (FIRST, None))
    slide.unlink()
    assert fresh.look().step == "committed"
    assert fresh.runs == "0.2.0"
