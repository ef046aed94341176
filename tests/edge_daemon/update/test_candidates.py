"""An order may have a bundle look on: it does, until another order or a person ends it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from edge_daemon.update.trust import TrustedRepository, provision
from tests.edge_daemon.update.stand_in import (
    BAD,
    FIRST,
    GOOD,
    KilledError,
    StandInDaemon,
    fleet,
    updater_of,
    write_order,
)


@pytest.fixture
def device(tmp_path: Path) -> tuple[Path, StandInDaemon]:
    provision(tmp_path / "update", fleet().first_root.read_bytes())
    return tmp_path, StandInDaemon()


def test_a_candidate_looks_on_and_is_then_used_without_being_fetched_again(
    device: tuple[Path, StandInDaemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, daemon = device
    write_order(folder, GOOD[0], 1, "candidate")
    journal = updater_of(folder, daemon).look()
    assert (journal.step, daemon.shadow, daemon.active) == ("candidate", "paper-0.2.0", FIRST)
    assert journal.line.startswith("paper-0.2.0 looks on, paper-0.1.0 runs")

    write_order(folder, GOOD[0], 2)
    monkeypatch.setattr(TrustedRepository, "fetch", None)

    assert updater_of(folder, daemon).look().step == "active"
    assert (daemon.shadow, daemon.active) == (None, GOOD[0])
    assert not (folder / "update" / "unpacked").exists()


@pytest.mark.parametrize("questions", range(6))
def test_killed_before_any_answer_a_candidate_looks_on_all_the_same(
    device: tuple[Path, StandInDaemon], questions: int
) -> None:
    folder, daemon = device
    write_order(folder, GOOD[0], 1, "candidate")
    daemon.killed_after = questions
    with suppress(KilledError):
        updater_of(folder, daemon).look()
    daemon.killed_after = None

    assert updater_of(folder, daemon).look().step == "candidate"
    assert (daemon.shadow, daemon.active) == ("paper-0.2.0", FIRST)


@pytest.mark.parametrize("next_order", [None, GOOD[1]])
def test_a_candidate_that_is_not_wanted_any_more_looks_on_no_longer(
    device: tuple[Path, StandInDaemon], next_order: str | None
) -> None:
    folder, daemon = device
    write_order(folder, GOOD[0], 1, "candidate")
    updater_of(folder, daemon).look()
    write_order(folder, next_order, 2)
    daemon.slide = "S-1"
    assert updater_of(folder, daemon).look().waits_for is not None
    assert daemon.shadow == "paper-0.2.0"
    daemon.slide = None

    updater_of(folder, daemon).look()

    assert (daemon.shadow, daemon.active) == (None, next_order or FIRST)


def test_who_was_put_into_shadow_by_a_person_stays_there(
    device: tuple[Path, StandInDaemon],
) -> None:
    folder, daemon = device
    daemon.shadow = "paper-9.0.0"
    write_order(folder, GOOD[0], 1)
    updater_of(folder, daemon).look()
    assert daemon.shadow == "paper-9.0.0"


def test_a_candidate_that_is_not_good_is_an_order_that_failed(
    device: tuple[Path, StandInDaemon],
) -> None:
    folder, daemon = device
    write_order(folder, BAD[0], 1, "candidate")

    journal = updater_of(folder, daemon).look()

    assert journal.step == "failed"
    assert journal.refused == f"paper-{BAD[0]} was tried and is not good: it fails its golden set"
    assert (daemon.shadow, daemon.active) == (None, FIRST)
