"""Small charts: where the line goes, and where it breaks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from deploy.dashboard.queries.device import HealthPoint
from deploy.dashboard.web.sparks import HEIGHT, WIDTH, dropped_since, sparks

NOW = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)
SINCE = NOW - timedelta(hours=1)
POINT = HealthPoint(NOW, 10.0, 40.0, 60.0, None, 10**9, 10**9, 3, 0, 0, 0.1)


def points(*minutes_ago: int) -> list[HealthPoint]:
    return [replace(POINT, at=NOW - timedelta(minutes=one)) for one in minutes_ago]


def test_a_figure_that_was_never_told_has_no_chart() -> None:
    titles = [one.title for one in sparks(points(3, 2, 1), SINCE, NOW)]
    assert "Hottest sensor" not in titles
    assert titles[0] == "Frames per second"
    assert sparks([], SINCE, NOW) == ()


def test_a_silence_breaks_the_line() -> None:
    chart = sparks(points(50, 49, 48, 20, 19, 18), SINCE, NOW)[0]
    assert len(chart.paths) == 2


def test_the_line_stays_in_its_box() -> None:
    rows = [
        replace(POINT, at=NOW - timedelta(minutes=60 - minute), fps=float(minute % 7))
        for minute in range(61)
    ]
    for chart in sparks(rows, SINCE, NOW):
        for path in chart.paths:
            for pair in path[1:].split("L"):
                x, y = (float(one) for one in pair.split())
                assert 0 <= x <= WIDTH
                assert 0 <= y <= HEIGHT


def test_what_is_worst_in_a_column_is_drawn() -> None:
    rows = [
        replace(POINT, at=SINCE + timedelta(seconds=one), p95_ms=900.0 if one == 1800 else 50.0)
        for one in range(0, 3600, 5)
    ]
    chart = sparks(rows, SINCE, NOW)[1]
    assert chart.high == "900 ms"
    assert min(float(pair.split()[1]) for pair in chart.paths[0][1:].split("L")) < HEIGHT / 4


@pytest.mark.parametrize(
    ("counts", "dropped"), [([5, 5, 9], 4), ([5, 9, 0, 2], 6), ([7], 0), ([9, 3], 3)]
)
def test_drops_are_counted_over_starts_of_the_daemon(counts: list[int], dropped: int) -> None:
    rows = [replace(POINT, dropped=one) for one in counts]
    assert dropped_since(rows) == dropped
