"""One order after another: each is carried out once, and what came of it is told."""

from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path

import pytest

from edge_daemon.contract.messages import Desired, DesiredBundle, parse_message
from edge_daemon.service.orders import AnswerFile
from edge_daemon.update import updater as updater_module
from edge_daemon.update.trust import TrustedRepository, provision
from edge_daemon.update.updater import MOST_DEATHS
from tests.edge_daemon.contract.samples import MOMENT
from tests.edge_daemon.update.stand_in import (
    BAD,
    DEADLY,
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


def test_a_bundle_that_failed_once_is_not_taken_for_failed_again_when_a_slide_came_between(
    device: tuple[Path, StandInDaemon],
) -> None:
    folder, daemon = device
    for number in (1, 2):
        write_order(folder, BAD[0], number)
        daemon.slide_in_between = "S-1" if number == 2 else None
        updater_of(folder, daemon).look()

    updater = updater_of(folder, daemon)
    assert "S-1 is under way" in (updater.look().waits_for or "")
    assert updater.waits_for_slide
    assert daemon.tried == [BAD[0]]
    daemon.slide = None
    assert updater_of(folder, daemon).look().step == "failed"
    assert daemon.tried == [BAD[0]] * 2


@pytest.mark.parametrize("version", [GOOD[0], BAD[0]])
def test_an_answer_that_was_not_heard_is_asked_for_again_and_nothing_is_done_twice(
    device: tuple[Path, StandInDaemon], version: str
) -> None:
    folder, daemon = device
    write_order(folder, version, 1)
    daemon.killed_after = 3  # how it is, how it is after the download, stage, activate
    with pytest.raises(KilledError):
        updater_of(folder, daemon).look()
    assert daemon.tried == [version]

    journal = updater_of(folder, daemon).look()

    assert journal.step == ("active" if version in GOOD else "failed")
    assert daemon.tried == [version]


def test_a_daemon_that_ends_with_a_bundle_each_time_is_left_in_peace(
    device: tuple[Path, StandInDaemon],
) -> None:
    folder, daemon = device
    write_order(folder, DEADLY, 1)
    for _ in range(MOST_DEATHS + 2):
        journal = updater_of(folder, daemon).look()

    assert journal.refused == "the daemon ended 3 times while paper-0.7.0 was being tried"
    assert daemon.tried == [DEADLY] * MOST_DEATHS
    assert daemon.active == FIRST


def test_who_goes_back_at_the_device_is_not_overruled_by_an_order_that_was_carried_out(
    device: tuple[Path, StandInDaemon],
) -> None:
    folder, daemon = device
    write_order(folder, GOOD[0], 1)
    updater_of(folder, daemon).look()
    assert daemon.active == GOOD[0]
    daemon.active = FIRST

    journal = updater_of(folder, daemon).look()

    assert daemon.active == FIRST
    assert journal.line.startswith(f"paper-{GOOD[0]} is desired, paper-{FIRST} runs")
    write_order(folder, GOOD[0], 2)
    updater_of(folder, daemon).look()
    assert daemon.active == GOOD[0]


def carry_over(folder: Path, number: int) -> None:
    """Somebody orders a daemon, and repeats what was ordered of the bundle."""
    order = parse_message((folder / "order.json").read_bytes())
    assert isinstance(order, Desired)
    news = {
        "id": f"{number:032x}",
        "ts": MOMENT + timedelta(seconds=number),
        "bundle": order.first(order.bundle),
        "daemon": DesiredBundle(name="leukoedge", version="9.0.0"),
    }
    (folder / "order.json").write_bytes(order.model_copy(update=news).to_json())


def test_who_goes_back_at_the_device_is_not_overruled_by_an_order_that_carries_it_over(
    device: tuple[Path, StandInDaemon],
) -> None:
    folder, daemon = device
    write_order(folder, GOOD[0], 1)
    updater_of(folder, daemon).look()
    daemon.active = FIRST
    for number in (2, 3):
        carry_over(folder, number)
        journal = updater_of(folder, daemon).look()
        assert daemon.active == FIRST
        assert (journal.standing.order, journal.step) == (f"{number:032x}", "active")
        assert journal.orders_refused == ()
    write_order(folder, GOOD[0], 4)
    assert updater_of(folder, daemon).look().step == "active"
    assert daemon.active == GOOD[0], "but by one that orders it anew"


@pytest.mark.parametrize(("version", "step"), [(BAD[0], "failed"), (DEADLY, "failed")])
def test_what_failed_is_not_tried_again_because_it_is_carried_over(
    device: tuple[Path, StandInDaemon], version: str, step: str
) -> None:
    folder, daemon = device
    write_order(folder, version, 1)
    for _ in range(MOST_DEATHS + 1):
        updater_of(folder, daemon).look()
    tried = list(daemon.tried)

    carry_over(folder, 2)
    journal = updater_of(folder, daemon).look()

    assert (daemon.tried, journal.step) == (tried, step)
    assert journal.refused is not None


def test_what_is_under_way_goes_on_when_it_is_carried_over(
    device: tuple[Path, StandInDaemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, daemon = device
    write_order(folder, GOOD[0], 1)
    daemon.slide = "S-1"
    assert updater_of(folder, daemon).look().step == "unpacked"
    carry_over(folder, 2)
    daemon.slide = None
    monkeypatch.setattr(TrustedRepository, "fetch", None)

    assert updater_of(folder, daemon).look().step == "active"
    assert daemon.active == GOOD[0]


def test_a_device_that_was_away_takes_a_bundle_from_the_order_that_carries_it_over(
    device: tuple[Path, StandInDaemon],
) -> None:
    folder, daemon = device
    write_order(folder, GOOD[0], 1)
    carry_over(folder, 2)

    assert updater_of(folder, daemon).look().step == "active"
    assert daemon.active == GOOD[0]


def test_a_candidate_that_a_person_ended_is_not_brought_back_by_carrying_it_over(
    device: tuple[Path, StandInDaemon],
) -> None:
    folder, daemon = device
    write_order(folder, GOOD[0], 1, "candidate")
    updater_of(folder, daemon).look()
    daemon.shadow = None

    carry_over(folder, 2)

    assert updater_of(folder, daemon).look().step == "candidate"
    assert daemon.shadow is None


def test_how_it_stands_is_left_for_the_daemon_to_publish(
    device: tuple[Path, StandInDaemon],
) -> None:
    folder, daemon = device
    answers = AnswerFile(folder / "update" / "standing.json")
    assert answers.read() is None
    write_order(folder, BAD[0], 7)
    updater_of(folder, daemon).look()
    standing = answers.read()
    assert standing is not None
    assert (standing.order, standing.step, standing.role) == (f"{7:032x}", "failed", "active")
    assert standing.runs == f"paper-{FIRST}"
    assert "fails its golden set" in (standing.refused or "")
    assert answers.read() is standing
    answers.file.write_text("{")
    assert answers.read() is None


def test_where_nothing_is_to_be_done_the_daemon_is_hardly_asked(
    device: tuple[Path, StandInDaemon],
) -> None:
    folder, daemon = device
    write_order(folder, GOOD[0], 1)
    updater = updater_of(folder, daemon)
    updater.look()
    daemon.killed_after = 0  # it would not live to hear another answer

    assert updater.look().step == "active"


def test_a_disk_that_refuses_is_a_line_and_the_next_look_goes_on(
    device: tuple[Path, StandInDaemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, daemon = device
    write_order(folder, GOOD[0], 1)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "there")

    with monkeypatch.context() as patch:
        patch.setattr(updater_module, "unpack", full)
        assert "No space left on device" in (updater_of(folder, daemon).look().waits_for or "")
    assert daemon.active == FIRST
    assert updater_of(folder, daemon).look().step == "active"


def test_what_lies_in_the_way_of_unpacking_and_is_not_what_was_signed_is_cleared(
    device: tuple[Path, StandInDaemon],
) -> None:
    folder, daemon = device
    write_order(folder, GOOD[0], 1)
    torn = folder / "update" / "unpacked" / f"paper-{GOOD[0]}"
    torn.mkdir(parents=True)
    (torn / "bundle.json").write_text("{")

    assert updater_of(folder, daemon).look().step == "active"
