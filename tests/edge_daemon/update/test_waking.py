"""When the updater looks again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_daemon.update.waking import SLIDE_LOOK_S, SPREAD_S, Waking


class World:
    """A clock that sleeping moves, and what happens when it has moved so far."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 1000.0
        self.order = folder / "desired.json"
        self.happens: dict[float, Callable[[], object]] = {}
        self.slide_ends_s = 1e9
        self.asked: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        for when in [one for one in self.happens if one <= self.now_s]:
            self.happens.pop(when)()

    def is_idle(self) -> bool:
        self.asked.append(self.now_s)
        return self.now_s >= self.slide_ends_s

    def waking(self, every_s: float = 300.0, jitter: float = 0.2) -> Waking:
        return Waking(
            [self.order],
            self.is_idle,
            every_s=every_s,
            jitter=jitter,
            clock=lambda: self.now_s,
            sleep=self.sleep,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_where_nothing_happens_it_is_the_time_give_or_take(world: World) -> None:
    waking = world.waking()
    waits = []
    for _ in range(50):
        began_s = world.now_s
        waking.mark()
        assert waking.wait(for_slide=False) == "time"
        waits.append(world.now_s - began_s)

    assert 240.0 <= min(waits) < 270.0
    assert 330.0 < max(waits) <= 360.0
    assert world.asked == []


@pytest.mark.parametrize("what", ["comes", "changes", "goes"])
def test_an_order_is_followed_within_seconds(world: World, what: str) -> None:
    if what != "comes":
        world.order.write_text("one")
    waking = world.waking()
    waking.mark()
    change = world.order.unlink if what == "goes" else lambda: world.order.write_text("another")
    world.happens[world.now_s + 100.0] = change

    assert waking.wait(for_slide=False) == "order"
    assert 1100.0 <= world.now_s <= 1101.0 + SPREAD_S


def test_an_order_that_came_during_a_look_is_not_missed(world: World) -> None:
    waking = world.waking()
    waking.mark()
    world.order.write_text("came while the one before was followed")

    assert waking.wait(for_slide=False) == "order"
    assert world.now_s <= 1000.0 + SPREAD_S
    waking.mark()
    assert waking.wait(for_slide=False) == "time", "it is known now"


def test_a_slides_end_is_seen_soon_and_a_long_one_is_asked_about_less(world: World) -> None:
    world.slide_ends_s = 1000.0 + 40.0
    waking = world.waking()
    waking.mark()

    assert waking.wait(for_slide=True) == "slide"
    assert world.now_s - world.slide_ends_s <= SLIDE_LOOK_S

    world.asked.clear()
    world.slide_ends_s = world.now_s + 6 * 3600.0
    waking.mark()
    while waking.wait(for_slide=True) == "time":
        if world.now_s >= world.slide_ends_s:  # each look asks the daemon too
            break
    assert world.now_s - world.slide_ends_s <= 360.0
    assert len(world.asked) < 100
