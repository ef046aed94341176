"""One at a time, few who wait, and nobody in the way of anybody."""

from __future__ import annotations

import threading
from collections.abc import Generator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from deploy.dashboard.attribution.bundles import Bundles
from deploy.dashboard.attribution.computed import Attribution
from deploy.dashboard.attribution.desk import MOST_KEPT, MOST_OF_ONE, MOST_WAITING, Desk
from deploy.dashboard.attribution.errors import AttributionError, BusyError
from deploy.dashboard.queries.pictured import Pictured
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.inference import Models
from tests.edge_daemon.tiny_bundle import write_tiny_bundle

WITHIN_S = 30


class Slow:
    """Computes when it is let; counts what it was asked, and how many at once."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.began = threading.Event()
        self.asked: list[int] = []
        self.at_once = self.most_at_once = 0

    def __call__(self, _models: Models, told: Pictured) -> Attribution:
        self.asked.append(told.seq)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.began.set()
        assert self.let.wait(WITHIN_S)
        self.at_once -= 1
        if told.seq == 13:
            raise AttributionError("the picture of this cell cannot be read: it came damaged")
        return Attribution(b"", 0.5, 0.5, 0.4, 0.6, False, 1.0, True, told.frame, "tiny")


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path)


@pytest.fixture
def desk(bundle: Path, slow: Slow) -> Generator[Desk, None, None]:
    one = Desk(Bundles([bundle.parent]), slow)
    yield one
    slow.let.set()
    one.close()


@pytest.fixture
def told(bundle: Path):
    digest = load_bundle(bundle).digest

    def of(seq: int) -> Pictured:
        return Pictured(1, seq, b"", 0, "blast", 0.5, 0.1, digest, "tiny-0.1.0", None)

    return of


def test_two_who_ask_for_the_same_get_the_same_and_later_ones_what_was_kept(
    desk: Desk, slow: Slow, told
) -> None:
    first, second = desk.ask(told(1), "rosa"), desk.ask(told(1), "ruth")
    slow.let.set()

    assert first.result(WITHIN_S) is second.result(WITHIN_S)
    assert desk.ask(told(1), "vera").result(0) is first.result(0)
    assert slow.asked == [1]


def test_one_is_computed_at_a_time(desk: Desk, slow: Slow, told) -> None:
    asked = [desk.ask(told(n), f"user-{n}") for n in range(5)]
    slow.let.set()

    for one in asked:
        one.result(WITHIN_S)
    assert slow.most_at_once == 1
    assert slow.asked == [0, 1, 2, 3, 4]


def test_what_nobody_waits_for_is_not_begun(desk: Desk, slow: Slow, told) -> None:
    under_way, dropped, wanted = (desk.ask(told(n), "rosa") for n in (1, 2, 3))
    assert slow.began.wait(WITHIN_S)
    desk.ask(told(3), "ruth")

    desk.leave(told(1), "rosa")
    desk.leave(told(2), "rosa")
    desk.leave(told(3), "rosa")
    slow.let.set()

    assert under_way.result(WITHIN_S) is not None, "what has begun is finished, and kept"
    with pytest.raises(CancelledError):
        dropped.result(WITHIN_S)
    assert wanted.result(WITHIN_S) is not None, "ruth still waits for it"
    assert slow.asked == [1, 3]


def test_who_asks_again_after_leaving_is_answered(desk: Desk, slow: Slow, told) -> None:
    desk.ask(told(1), "rosa")
    desk.ask(told(2), "rosa")
    desk.leave(told(2), "rosa")
    again = desk.ask(told(2), "rosa")
    slow.let.set()

    assert again.result(WITHIN_S) is not None


def test_a_user_and_everybody_together_wait_for_few(desk: Desk, slow: Slow, told) -> None:
    for n in range(MOST_OF_ONE):
        desk.ask(told(n), "rosa")
    with pytest.raises(BusyError, match="ask again in a moment"):
        desk.ask(told(50), "rosa")
    for n in range(MOST_OF_ONE, MOST_WAITING):
        desk.ask(told(n), f"user-{n}")
    with pytest.raises(BusyError):
        desk.ask(told(60), "anna")

    assert desk.ask(told(0), "anna") is not None, "what is asked already costs nothing more"
    slow.let.set()
    desk.ask(told(MOST_WAITING - 1), "anna").result(WITHIN_S)
    assert desk.ask(told(61), "rosa").result(WITHIN_S) is not None


def test_what_failed_is_not_kept(desk: Desk, slow: Slow, told) -> None:
    slow.let.set()
    for _ in range(2):
        with pytest.raises(AttributionError, match="it came damaged"):
            desk.ask(told(13), "rosa").result(WITHIN_S)

    assert slow.asked == [13, 13]


def test_what_is_kept_is_bounded(desk: Desk, slow: Slow, told) -> None:
    slow.let.set()
    for n in range(100, 100 + MOST_KEPT + 1):
        desk.ask(told(n), "rosa").result(WITHIN_S)
    desk.ask(told(100 + MOST_KEPT), "rosa").result(WITHIN_S)
    assert len(slow.asked) == MOST_KEPT + 1
    desk.ask(told(100), "rosa").result(WITHIN_S)
    assert slow.asked[-1] == 100


def test_closing_waits_for_nobody_who_has_not_begun(bundle: Path, slow: Slow, told) -> None:
    desk = Desk(Bundles([bundle]), slow)
    under_way = desk.ask(told(1), "rosa")
    waiting = desk.ask(told(2), "rosa")
    assert slow.began.wait(WITHIN_S)
    threading.Timer(0.1, slow.let.set).start()

    desk.close()

    assert under_way.done()
    assert waiting.cancelled()
    with pytest.raises(BusyError, match="is stopping"):
        desk.ask(told(3), "rosa")
