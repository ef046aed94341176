"""The updater is killed, or the power goes, at any moment: old-good or new-good, never between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.delivery.receiver import wait_until
from tests.edge_daemon.update.versions import FIRST, PATIENCE_S, Kept, Scope
from tests.soak import SOAKING

pytestmark = pytest.mark.soak

GOOD, BAD = "0.2.0", "0.3.0"
EARLY = ("followed", "chosen", "fetched", "unpacked")
TRIAL = ("switching", "previous", "current", "switched", "restarted", "committed")
"""Steps of the journal, and the two links, in their order."""
UNDOING = ("undoing", "undone", "failed")
KILLS = (("before", "stays"), ("after", "is cut")) + ((("after", "stays"),) if SOAKING else ())
"""Of the updater alone, and with the power of the whole machine, which is the worse of the two."""


@pytest.fixture(scope="module")
def scope(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scope]:
    scope = Scope(tmp_path_factory.mktemp("scope"))
    scope.start()
    yield scope
    scope.stop()


@pytest.fixture(scope="module")
def built(scope: Scope) -> dict[str, Kept]:
    """What an updater leaves that is killed when a version is built, by version."""
    kept = {}
    for version, fault in ((GOOD, ""), (BAD, "uses another bundle")):
        scope.offer(version, fault)
        scope.order(version)
        scope.killed_at("built", "after")
        kept[version] = scope.keep(version)
    return kept


@pytest.mark.parametrize("when", ["before", "after"] if SOAKING else ["after"])
@pytest.mark.parametrize("step", EARLY)
def test_killed_before_anything_is_built_nothing_has_changed(
    tmp_path: Path, step: str, when: str
) -> None:
    scope = Scope(tmp_path)
    scope.offer(GOOD)
    scope.order(GOOD)

    scope.killed_at(step, when)

    assert scope.links == (FIRST, None)
    assert not scope.versions.place(GOOD).exists()
    if (step, when) == ("unpacked", "after"):
        scope.start()
        try:
            assert scope.look().step == "committed"
            assert scope.runs == GOOD
        finally:
            scope.stop()


@pytest.mark.parametrize(("when", "power"), KILLS)
@pytest.mark.parametrize("moment", TRIAL)
def test_killed_at_any_moment_of_a_trial_it_ends_with_the_new_one(
    scope: Scope, built: dict[str, Kept], moment: str, when: str, power: str
) -> None:
    scope.put_back(built[GOOD])

    scope.killed_at(moment, when)

    if power == "is cut":
        scope.power_cut()
    assert scope.links[0] in (FIRST, GOOD)
    assert wait_until(lambda: scope.runs in (FIRST, GOOD), PATIENCE_S)
    assert scope.look().step == "committed"
    assert scope.runs == GOOD
    assert scope.links == (GOOD, FIRST)


@pytest.mark.parametrize(("when", "power"), KILLS)
@pytest.mark.parametrize("moment", UNDOING)
def test_killed_while_a_bad_one_is_taken_back_it_ends_with_the_old_one(
    scope: Scope, built: dict[str, Kept], moment: str, when: str, power: str
) -> None:
    scope.put_back(built[BAD])

    scope.killed_at(moment, when)

    if power == "is cut":
        scope.power_cut()
    journal = scope.look()
    assert journal.step == "failed"
    assert "it uses another bundle than before" in (journal.refused or "")
    assert scope.links == (FIRST, None)
    assert scope.runs == FIRST


def test_a_version_that_is_not_whole_is_built_anew(tmp_path: Path) -> None:
    """Killed while pip was at work, or before the file that says that it is whole."""
    scope = Scope(tmp_path)
    scope.offer(GOOD)
    scope.order(GOOD)
    torn = scope.versions.place(GOOD) / "lib"
    torn.mkdir(parents=True)
    (torn / "half-written").touch()
    scope.start()
    try:
        assert scope.look().step == "committed"
        assert scope.runs == GOOD
    finally:
        scope.stop()
    assert not (scope.versions.place(GOOD) / "lib" / "half-written").exists()
