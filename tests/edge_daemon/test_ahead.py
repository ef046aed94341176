"""One item is prepared while another is worked on; none is lost, doubled or out of order."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from edge_daemon.ahead import ahead

SOON_S = 10.0
"""So long a test waits for what another thread is about to do."""


def double(item: int) -> int:
    return 2 * item


def test_every_item_comes_prepared_and_in_order():
    assert list(ahead(range(50), double)) == [2 * item for item in range(50)]


def test_nothing_gives_nothing():
    assert list(ahead([], double)) == []


def test_the_next_item_is_prepared_while_the_present_one_is_worked_on():
    prepared = [threading.Event() for _ in range(3)]

    def prepare(item: int) -> int:
        prepared[item].set()
        return item

    for item in ahead(range(3), prepare):
        if item < 2:
            assert prepared[item + 1].wait(SOON_S)


def test_it_is_one_item_ahead_and_no_more():
    fetched = []

    def items():
        for item in range(9):
            fetched.append(item)
            yield item

    for item in ahead(items(), double):
        assert len(fetched) <= item // 2 + 2


@pytest.mark.parametrize("where", ["items", "prepare"])
def test_an_error_comes_after_all_that_came_before_it(where):
    def items():
        yield from (0, 1)
        if where == "items":
            raise OSError("unplugged")
        yield 2

    def prepare(item: int) -> int:
        if item == 2:
            raise OSError("unplugged")
        return item

    seen = ahead(items(), prepare)
    assert [next(seen), next(seen)] == [0, 1]
    with pytest.raises(OSError, match="unplugged"):
        next(seen)


def test_once_stopped_the_item_on_its_way_is_the_last():
    stop, fetched, seen = threading.Event(), [], []

    def items():
        for item in range(9):
            fetched.append(item)
            yield item

    for item in ahead(items(), double, stop.is_set):
        seen.append(item)
        if item == double(3):
            stop.set()
    assert fetched == [0, 1, 2, 3, 4]
    assert seen == [double(item) for item in fetched]


def test_closing_lets_go_of_the_items():
    before = threading.active_count()
    with closing(ahead(range(9), double)) as ready:
        assert next(ready) == 0
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
