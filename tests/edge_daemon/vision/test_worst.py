"""Where a reader looks first: the same as all cells, plainly sorted."""

from __future__ import annotations

from collections import Counter, defaultdict
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.contract.findings import StagePoint
from edge_daemon.contract.terms import CellLabel
from edge_daemon.contract.worst import WorstCell
from edge_daemon.ledger.packed import _unzipped, _zipped, pack_state, unpack_state
from edge_daemon.vision import worst
from edge_daemon.vision.cell_table import PublishedFrame
from edge_daemon.vision.island import Sighting
from edge_daemon.vision.placement import Joined, Placement
from edge_daemon.vision.slide_map import SlideMap

WIDTH, HEIGHT, CELL = 1000, 800, 100


class Slide:
    """A slide map that is told where each frame lies; frames are numbered as they come."""

    def __init__(self) -> None:
        self.map = SlideMap()
        self.frames = 0

    def frame(
        self,
        *cells: tuple[float, float, CellLabel, float, float],
        at: tuple[float, float] = (0, 0),
        field: int = 0,
        island: int = 0,
        tie: str = "image",
        joined: Joined | None = None,
        stage: StagePoint | None = None,
    ) -> list[int]:
        """``cells``: x, y of the corner in pixels of the frame, label, p_blast, score."""
        x, y = at
        placement = Placement(
            number=self.frames,
            field=field,
            island=island,
            frame=np.array([x, y, x + WIDTH, y + HEIGHT], np.float64),
            tie=tie,
            joined=joined,
        )
        seen = [
            Sighting((x, y, x + CELL, y + CELL), "wbc", score, label, p)
            for x, y, label, p, score in cells
        ]
        numbers = self.map.replay(placement, seen, PublishedFrame(self.frames, stage))
        self.frames += 1
        return numbers

    def killed(self) -> None:
        """The process ends; another goes on with what was written down."""
        state = self.map.state()
        views = {view.number: view.view for view in state.views}
        self.map = SlideMap(unpack_state(pack_state(state), views))


def test_blasts_come_before_uncertain_cells_and_the_most_probable_first():
    slide = Slide()
    slide.frame(
        (100, 100, "uncertain", 0.6, 0.9),
        (300, 100, "blast", 0.7, 0.9),
        (500, 100, "normal", 0.1, 0.9),
        (700, 100, "blast", 0.9, 0.9),
        (100, 300, "uncertain", 0.8, 0.9),
        tie="first",
    )
    listed = [(cell.label, cell.p_blast) for cell in slide.map.worst().cells]
    assert listed == [("blast", 0.9), ("blast", 0.7), ("uncertain", 0.8), ("uncertain", 0.6)]


def test_a_cell_of_five_frames_is_listed_once_with_its_best_view():
    slide = Slide()
    scores = (0.5, 0.7, 0.95, 0.8, 0.6)
    for number, score in enumerate(scores):
        label, p = ("blast", 0.9) if number == 2 else ("uncertain", 0.5)
        slide.frame(
            (700 - 100 * number, 203.25, label, p, score),
            at=(100 * number, 0),
            tie="image" if number else "first",
            stage=StagePoint(x_um=10.0 * number, y_um=7.0),
        )
    assert slide.map.worst().cells == (
        WorstCell(
            unique_id=0,
            label="blast",
            p_blast=0.9,
            frame=2,
            box=(500.0, 203.2, 100.0, 100.0),
            stage=StagePoint(x_um=20.0, y_um=7.0),
        ),
    )
    (place,) = slide.map.worst().fields
    assert (place.frame, place.blasts, place.uncertain, place.nucleated) == (2, 1, 0, 1)
    assert (place.place.x, place.place.y, place.stage) == (200, 0, StagePoint(x_um=20.0, y_um=7.0))


def test_only_cells_that_count_are_listed():
    slide = Slide()
    slide.frame((700, 200, "blast", 0.9, 0.9), tie="first")
    rim = Sighting((0, 400, 30, 500), "wbc", 0.9, "blast", 0.9)  # cut at 30 of 100
    red = Sighting((300, 400, 400, 500), "rbc", 0.9)
    here = Placement(1, 0, 0, np.array([0, 0, WIDTH, HEIGHT], np.float64), "image")
    slide.map.add(here, [rim, red], PublishedFrame(1))
    assert [cell.frame for cell in slide.map.worst().cells] == [0]
    assert slide.map.count("wbc", "blast") == 1
    assert [one.nucleated for one in slide.map.worst().fields] == [1]


def test_frames_of_one_place_are_one_field_and_the_one_with_most_is_named():
    """A camera that stands still shows each cell best in another frame."""
    slide = Slide()
    slide.frame((100, 100, "blast", 0.9, 0.9), tie="first")
    slide.frame((300, 100, "blast", 0.9, 0.9), (500, 100, "uncertain", 0.5, 0.9), at=(12, 7))
    slide.frame((700, 100, "normal", 0.1, 0.9), at=(3, 0))
    slide.frame((700, 700, "uncertain", 0.5, 0.9), at=(600, 0))
    places = [
        (one.frame, one.blasts, one.uncertain, one.nucleated) for one in slide.map.worst().fields
    ]
    assert places == [(1, 2, 1, 4), (3, 0, 1, 1)]


def test_alike_in_blasts_and_uncertain_the_larger_share_comes_first():
    slide = Slide()
    slide.frame((100, 100, "blast", 0.9, 0.9), (300, 100, "normal", 0.1, 0.9), tie="first")
    slide.frame((100, 100, "blast", 0.9, 0.9), at=(2000, 0))
    assert [one.frame for one in slide.map.worst().fields] == [1, 0]


def test_islands_that_join_leave_no_cell_twice():
    slide = Slide()
    (first,) = slide.frame((600, 300, "blast", 0.8, 0.7), tie="first")
    (second,) = slide.frame((100, 300, "blast", 0.9, 0.9), at=(0, 0), island=1, tie="lost")
    assert len(slide.map.worst().cells) == 2
    slide.frame((350, 300, "blast", 0.7, 0.6), at=(250, 0), joined=Joined(1, 0, 500.0, 0.0))
    assert first != second
    (cell,) = slide.map.worst().cells
    assert (cell.unique_id, cell.frame, cell.p_blast) == (first, 1, 0.9)
    assert cell.box == (100.0, 300.0, 100.0, 100.0)  # as frame 1 shows it
    (place,) = slide.map.worst().fields
    assert (place.frame, place.place.piece, place.place.x) == (1, 0, 500.0)


def test_the_worst_of_fields_that_are_closed_stay_and_memory_does_not_grow():
    slide = Slide()
    for field in range(50):
        slide.frame(
            (100, 100, "blast", 0.5 + field / 1000, 0.9),
            (300, 100, "uncertain", 0.4, 0.9),
            field=field,
            tie="first",
        )
    found = slide.map.worst()
    assert [cell.frame for cell in found.cells] == list(range(49, 29, -1))
    assert [one.place.field for one in found.fields] == list(range(20))
    assert len(list(slide.map.cells())) == 2
    assert len(slide.map.state().closed_worst.cells) == 20


def test_a_state_that_an_older_version_wrote_is_read_and_its_cells_have_no_frame():
    slide = Slide()
    slide.frame((100, 100, "blast", 0.9, 0.9), (300, 100, "normal", 0.1, 0.9), tie="first")
    slide.frame((500, 300, "blast", 0.8, 0.9), at=(400, 0))
    arrays = _unzipped(pack_state(slide.map.state()))
    del arrays["stages"], arrays["closed_worst"]
    arrays["cells"] = arrays["cells"][[n for n in arrays["cells"].dtype.names if n != "frame"]]
    views = {view.number: view.view for view in slide.map.views}
    again = SlideMap(unpack_state(_zipped(**arrays), views))
    assert [(c.p_blast, c.frame) for c in again.worst().cells] == [(0.9, None), (0.8, None)]
    assert [(f.frame, f.nucleated, f.place.x) for f in again.worst().fields] == [
        (None, 1, 400.0),
        (None, 2, 0.0),
    ]


CELLS = st.dictionaries(
    # Column and row on the slide, 200 pixels apart: no two are one cell.
    st.tuples(st.integers(0, 3), st.integers(0, 2)),
    st.tuples(
        st.sampled_from(("blast", "uncertain", "normal")),
        st.sampled_from((0.25, 0.9, 0.9000001, 0.8999999)) | st.floats(0, 1),
        st.sampled_from((0.5, 0.6, 0.7, 0.8)),
    ),
    max_size=9,
)
FRAMES = st.lists(st.tuples(st.integers(0, 2), CELLS), max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(FRAMES, max_size=4), st.sampled_from((2, 20)), st.integers(0, 12))
def test_the_lists_are_those_of_all_cells_plainly_sorted(fields, most, killed_at):
    """Any frames of three overlapping stops in any fields, killed and gone on with once."""
    slide = Slide()
    best: dict[int, tuple[float, CellLabel, float, int, tuple[int, int]]] = {}
    with patch.object(worst, "MOST_WORST", most):
        for field, frames in enumerate(fields):
            for index, (stop, cells) in enumerate(frames):
                if slide.frames == killed_at:
                    slide.killed()
                number = slide.frames
                shown = [
                    (200.0 * column + 50, 200.0 * row + 50, label, p, score)
                    for (column, row), (label, p, score) in cells.items()
                ]
                ids = slide.frame(
                    *shown, at=(400 * stop, 0), field=field, tie="image" if index else "first"
                )
                for one, (*_, label, p, score) in zip(ids, shown, strict=True):
                    if one not in best or score > best[one][0]:
                        best[one] = (score, label, round(p, 6), number, (field, stop))
        found = slide.map.worst()
    ordered = sorted(
        (label != "blast", -p, one, frame)
        for one, (_, label, p, frame, _) in best.items()
        if label != "normal"
    )
    listed = [(c.label != "blast", -c.p_blast, c.unique_id, c.frame) for c in found.cells]
    assert listed == ordered[:most]
    assert [(f.frame, f.blasts, f.uncertain, f.nucleated) for f in found.fields] == (
        plainly_sorted(best)[:most]
    )


def plainly_sorted(best) -> list[tuple[int, int, int, int]]:
    """Frame, blasts, uncertain and nucleated of each place, worst first."""
    by_place = defaultdict(lambda: defaultdict(Counter))
    for _, label, _, frame, place in best.values():
        by_place[place][frame][label] += 1

    def order(labels, frame):
        return (-labels["blast"], -labels["uncertain"], labels.total(), frame)

    rows = []
    for frames in by_place.values():
        named = min(frames, key=lambda frame: order(frames[frame], frame))
        together = sum(frames.values(), Counter())
        if together["blast"] or together["uncertain"]:
            rows.append((order(together, named), named, together))
    rows.sort(key=lambda row: row[0])
    return [(named, all_["blast"], all_["uncertain"], all_.total()) for _, named, all_ in rows]


@pytest.mark.parametrize("most", [1, 20])
def test_nothing_to_look_at_is_an_empty_list(most):
    slide = Slide()
    slide.frame((100, 100, "normal", 0.1, 0.9), tie="first")
    assert slide.map.worst() == worst.NOTHING_YET
