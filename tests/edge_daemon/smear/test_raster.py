"""The stage runs over the slide row by row, and may stand a little off."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edge_daemon.smear.raster import (
    Raster,
    columns_for,
    plan_raster,
    with_drift,
    with_jumps,
)


def raster(fields: int = 12, jitter_um: float = 0.0, backlash_um: float = 0.0) -> Raster:
    rng = np.random.default_rng(1)
    return plan_raster(rng, fields, (48.0, 36.0), 0.25, jitter_um, backlash_um, margin_um=10.0)


def test_neighbouring_stops_overlap_by_the_stated_share() -> None:
    stops = [stop.reported_um for stop in raster().stops]
    for (x0, y0), (x1, y1) in pairwise(stops):
        dx, dy = abs(x1 - x0), abs(y1 - y0)
        assert (dx, dy) == pytest.approx((36.0, 0.0)) or (dx, dy) == pytest.approx((0.0, 27.0))


def test_rows_run_to_and_fro() -> None:
    xs = [stop.reported_um[0] for stop in raster(12).stops]
    columns = columns_for(12, 27 / 36)
    assert xs[:columns] == sorted(xs[:columns])
    assert xs[columns : 2 * columns] == sorted(xs[columns : 2 * columns], reverse=True)


def test_no_stop_is_visited_twice_and_all_lie_on_the_slide() -> None:
    for fields in (1, 2, 7, 60, 200):
        plan = raster(fields)
        places = {stop.reported_um for stop in plan.stops}
        assert len(places) == fields
        for x_um, y_um in places:
            assert x_um >= 10
            assert y_um >= 10
            assert x_um + 48 <= plan.width_um - 10 + 1e-6
            assert y_um + 36 <= plan.height_um - 10 + 1e-6


@pytest.mark.parametrize("fields", [6, 12, 60, 120, 200])
def test_the_last_row_is_full_where_the_number_allows(fields: int) -> None:
    assert fields % columns_for(fields, 0.75) == 0


def test_a_perfect_stage_stands_where_it_says() -> None:
    assert all(stop.reported_um == stop.true_um for stop in raster().stops)


def test_play_shows_only_in_rows_run_backwards() -> None:
    stops = raster(12, backlash_um=0.5).stops
    columns = columns_for(12, 27 / 36)
    errors = [stop.true_um[0] - stop.reported_um[0] for stop in stops]
    assert errors[:columns] == pytest.approx([0.0] * columns)
    assert errors[columns : 2 * columns] == pytest.approx([0.5] * columns)


@pytest.mark.parametrize("jumps", [1, 2, 3, 8, 500])
def test_a_scan_that_jumps_makes_every_stop_once(jumps: int) -> None:
    way = raster(60)
    jumping = with_jumps(np.random.default_rng(4), way, jumps)
    assert sorted(stop.reported_um for stop in jumping.stops) == sorted(
        stop.reported_um for stop in way.stops
    )


@pytest.mark.parametrize("jumps", [1, 2, 3, 8])
def test_a_scan_leaves_its_way_as_often_as_asked(jumps: int) -> None:
    way = raster(60)
    place = {stop: number for number, stop in enumerate(way.stops)}
    jumping = with_jumps(np.random.default_rng(4), way, jumps)
    left = sum(place[b] != place[a] + 1 for a, b in pairwise(jumping.stops))
    assert left == jumps
    assert with_jumps(np.random.default_rng(4), way, 0) == way


def test_what_a_slide_creeps_by_adds_up_and_the_stage_does_not_know() -> None:
    way = raster(400)
    crept = with_drift(np.random.default_rng(4), way, 0.3)
    off = np.array([np.subtract(stop.true_um, stop.reported_um) for stop in crept.stops])
    assert [stop.reported_um for stop in crept.stops] == [stop.reported_um for stop in way.stops]
    assert np.abs(np.diff(off, axis=0)).max() < 5 * 0.3
    assert np.abs(off).max() > 5 * 0.3
