"""The operator's map: coarse, but in the right places."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.vision.coverage import COARSE_PX, SeenIsland, coarse_tiles, shrunk
from edge_daemon.vision.island import Sighting
from edge_daemon.vision.slide_map import SlideMap

TILES = st.frozensets(
    st.tuples(st.integers(-300, 300), st.integers(-300, 300)), min_size=1, max_size=200
)
NO_BOXES = np.empty((0, 4), np.float32)


def noise(seed: int) -> np.ndarray:
    grains = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    return np.kron(grains, np.ones((8, 8, 1), np.uint8))


def test_a_frame_covers_the_tiles_it_shows_most_of():
    tiles = set(coarse_tiles(np.array([0.0, 0.0, 4.0 * COARSE_PX, 3.0 * COARSE_PX])))
    assert tiles == {(x, y) for x in range(4) for y in range(3)}
    assert set(coarse_tiles(np.array([-200.0, -50.0, -10.0, 60.0]))) == {(-2, 0), (-1, 0)}
    assert set(coarse_tiles(np.array([10.0, 10.0, 20.0, 20.0]))) == {(0, 0)}  # never nothing


@given(TILES, st.integers(1, 96))
def test_a_shrunk_island_keeps_every_tile_in_its_place_and_no_side_is_too_long(tiles, most):
    rows, (left, top), step = shrunk(SeenIsland(tiles, ()), most)
    assert 1 <= len(rows) <= most
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows[0]) <= most
    marked = {(x, y) for y, row in enumerate(rows) for x, mark in enumerate(row) if mark == "1"}
    assert marked == {((x - left) // step, (y - top) // step) for x, y in tiles}


def test_an_island_of_which_nothing_was_seen_is_empty():
    assert shrunk(SeenIsland(frozenset(), ()), 10) == ([], (0, 0), 1)


def test_the_map_shows_where_frames_lie_what_is_suspicious_there_and_where_we_are():
    slide = SlideMap()
    assert slide.coverage().here is None
    for number, stage_px in enumerate([(0.0, 0.0), (512.0, 0.0), (1024.0, 0.0)]):
        placement = slide.place(noise(number), NO_BOXES, 0, stage_px)
        slide.add(
            placement,
            [
                Sighting((96.0, 96.0, 160.0, 160.0), "wbc", 0.9, "blast", 0.99),
                Sighting((296.0, 296.0, 360.0, 360.0), "wbc", 0.9, "normal", 0.01),
                Sighting((400.0, 96.0, 440.0, 140.0), "rbc", 0.9),
            ],
        )
    coverage = slide.coverage()
    (island,) = coverage.islands
    assert {x for x, _ in island.tiles} == set(range(13))  # 1024 + 640 pixels
    assert {y for _, y in island.tiles} == set(range(4))
    assert island.cells == ((1.0, 1.0, "blast"), (5.0, 1.0, "blast"), (9.0, 1.0, "blast"))
    assert coverage.here == (0, (8.0, 0.0, 13.0, 3.75))


def test_the_largest_island_comes_first_and_here_is_the_newest_frame():
    slide = SlideMap()
    slide.place(noise(0), NO_BOXES, 0)
    slide.place(noise(1), NO_BOXES, 0)  # nothing in common: the position is lost
    coverage = slide.coverage()
    assert len(coverage.islands) == 2
    assert coverage.here is not None
    assert coverage.here[0] == 1
    slide.place(noise(2), NO_BOXES, 1)  # another field: those before are only counted
    assert len(slide.coverage().islands) == 1
