"""Each cell once, however many frames show it, with a stage and without."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

import numpy as np
import pytest

from edge_daemon.sources.base import Frame
from edge_daemon.sources.simulated import FrameTruth, SlideTruth, open_simulated
from edge_daemon.vision.island import Sighting
from edge_daemon.vision.slide_map import SlideMap

NO_BOXES = np.empty((0, 4), np.float32)


def sightings_of(truth: FrameTruth, seed: int = 0) -> list[Sighting]:
    """What a good detector would report: true boxes, two pixels off, no slivers."""
    rng = np.random.default_rng((seed, truth.index))
    cells = truth.field
    found = []
    for box, kind, label, visible in zip(
        cells.boxes, cells.kinds, cells.labels, cells.visible, strict=True
    ):
        if visible > 0.15 and min(box[2] - box[0], box[3] - box[1]) > 8:
            x0, y0, x1, y1 = (box + rng.normal(0, 2, 4)).tolist()
            p_blast = None if label is None else float(label == "blast")
            found.append(Sighting((x0, y0, x1, y1), kind, 0.9, label, p_blast))
    return found


def mapped(spec: str, skip: Collection[int] = ()) -> tuple[SlideMap, SlideTruth]:
    source = open_simulated(spec)
    truth = source.truth()
    slide = SlideMap()
    with source:
        for frame in source:
            if frame.index not in skip:
                enter(slide, frame, truth.frames[frame.index])
    return slide, truth


def enter(slide: SlideMap, frame: Frame, truth: FrameTruth) -> list[int]:
    found = sightings_of(truth)
    boxes = np.array([s.box for s in found], np.float32).reshape(-1, 4)
    stage_px = None
    if frame.stage is not None:
        stage_px = (frame.stage.x_um / frame.um_per_px, frame.stage.y_um / frame.um_per_px)
    placement = slide.place(frame.pixels, boxes, frame.field, stage_px)
    return slide.add(placement, found)


@pytest.mark.parametrize(
    ("spec", "may_be_lost"),
    [
        pytest.param("sim://?seed=3&fields=40&white=2", False, id="stage"),
        pytest.param("sim://?seed=3&fields=40&white=2&stage=none", False, id="no stage"),
        # With few cells in a narrow overlap a position may be lost for a while; the counts may not.
        pytest.param(
            "sim://?seed=9&fields=40&white=2&overlap=0.2&red=12&stage=none", True, id="sparse"
        ),
    ],
)
def test_counts_of_a_scan_are_the_truth(spec, may_be_lost):
    slide, truth = mapped(spec)
    assert may_be_lost or slide.lost == 0
    assert slide.count("wbc") == pytest.approx(truth.unique.white, rel=0.03, abs=1)
    assert slide.count("wbc", "blast") == pytest.approx(truth.unique.blasts, rel=0.05, abs=1)
    assert slide.count("rbc") == pytest.approx(truth.unique.red, rel=0.03)
    assert slide.count("platelet") == pytest.approx(truth.unique.platelets, rel=0.1, abs=2)


def test_a_lost_position_is_said_and_mended_when_the_scan_comes_back():
    """Frames missing from the first row cut the chain; the second row ties the pieces together."""
    slide, truth = mapped("sim://?seed=3&fields=40&white=2&stage=none", skip=(3, 4))
    assert slide.lost == 1
    # Cells that only the missing frames showed cannot be counted; none is counted twice.
    assert truth.unique.white - 4 <= slide.count("wbc") <= truth.unique.white


def test_a_cell_keeps_its_number_from_frame_to_frame():
    source = open_simulated("sim://?seed=3&fields=3&white=4&stage=none")
    truth = source.truth()
    slide = SlideMap()
    numbers: dict[int, set[int]] = {}
    with source:
        for frame in source:
            field_truth = truth.frames[frame.index]
            seen = field_truth.field.visible > 0.15
            sides = field_truth.field.boxes[:, 2:] - field_truth.field.boxes[:, :2]
            true_ids = field_truth.field.cell_ids[seen & (sides.min(axis=1) > 8)]
            for true_id, number in zip(true_ids, enter(slide, frame, field_truth), strict=True):
                numbers.setdefault(int(true_id), set()).add(number)
    assert all(len(found) == 1 for found in numbers.values())
    assert len({min(found) for found in numbers.values()}) == len(numbers)


def test_area_counts_overlap_once():
    slide, truth = mapped("sim://?seed=3&fields=12&overlap=0.5&stage=none")
    corners = np.array([frame.stop.true_um for frame in truth.frames]) / 0.075
    width, height = corners.max(0) - corners.min(0) + (640, 480)
    assert slide.area_px == pytest.approx(width * height, rel=0.03)


class TestFieldsOfTheirOwn:
    """Pictures of a folder that do not overlap: every cell of every picture counts."""

    def frame(self, slide: SlideMap, field: int, *boxes: tuple[float, ...]) -> list[int]:
        pixels = np.random.default_rng(field).integers(0, 255, (480, 640, 3), dtype=np.uint8)
        found = [Sighting(box, "wbc", 0.9, "normal", 0.1) for box in boxes]
        array = np.array(boxes, np.float32).reshape(-1, 4)
        return slide.add(slide.place(pixels, array, field), found)

    def test_the_same_box_in_two_fields_is_two_cells(self):
        slide = SlideMap()
        ids = [self.frame(slide, field, (100, 100, 200, 200)) for field in range(5)]
        assert slide.count("wbc") == 5
        assert len({number for numbers in ids for number in numbers}) == 5
        assert slide.lost == 0
        assert slide.area_px == 5 * 640 * 480

    def test_memory_does_not_grow_with_fields(self):
        slide = SlideMap()
        for field in range(50):
            self.frame(slide, field, (100, 100, 200, 200))
        assert len(list(slide.cells())) == 1
        assert slide.count("wbc") == 50

    @pytest.mark.parametrize(
        ("box", "counted"),
        [
            ((100, 100, 200, 200), 1),
            ((0, 100, 60, 200), 1),  # cut at 60 of 100: its centre is seen
            ((0, 100, 40, 200), 0),  # cut at 40 of 100: it is not
            ((590, 100, 640, 202), 0),
            ((100, 440, 200, 480), 0),
            ((0, 0, 60, 60), 1),  # a corner: all that can be said is that it is round
            ((0, 0, 60, 20), 0),
        ],
    )
    def test_a_cell_counts_by_its_centre(self, box, counted):
        slide = SlideMap()
        self.frame(slide, 0, box)
        assert slide.count("wbc") == counted


def test_the_best_view_of_a_cell_is_kept():
    """Cut by the border of the first frame and called a blast; whole and normal in the second."""
    source = open_simulated("sim://?seed=4&fields=9&white=3")
    truth = source.truth()
    slide = SlideMap()
    with source:
        first, second = islice(source, 2)  # side by side in the first row
    left, right = truth.frames[0].field, truth.frames[1].field
    cut = next(
        i
        for i, (x0, y0, x1, y1) in enumerate(left.boxes)
        if left.kinds[i] == "rbc"
        and (x1 > 639 and 0.6 * (y1 - y0) < x1 - x0 < 0.9 * (y1 - y0) and y0 > 9 and y1 < 471)
    )
    whole = list(right.cell_ids).index(left.cell_ids[cut])
    assert right.visible[whole] == 1.0

    def see(frame: Frame, box: np.ndarray, label: str) -> None:
        stage_px = (frame.stage.x_um / frame.um_per_px, frame.stage.y_um / frame.um_per_px)
        placement = slide.place(frame.pixels, box[None], 0, stage_px)
        slide.add(placement, [Sighting(tuple(box.tolist()), "wbc", 0.9, label, 0.5)])

    see(first, left.boxes[cut], "blast")
    assert slide.count("wbc", "blast") == 1
    see(second, right.boxes[whole], "normal")
    assert (slide.count("wbc"), slide.count("wbc", "normal")) == (1, 1)


def test_an_empty_frame_is_placed_without_cells():
    slide = SlideMap()
    placement = slide.place(np.full((480, 640, 3), 235, np.uint8), NO_BOXES, 0)
    assert (placement.tie, slide.add(placement, [])) == ("first", [])
    assert slide.count("wbc") == 0


def test_a_placement_given_again_makes_the_same_map():
    """Also one that joins islands: frames are missing, and the second row ties the pieces."""
    spec, skip = "sim://?seed=3&fields=40&white=2&stage=none", (3, 4)
    source = open_simulated(spec)
    truth = source.truth()
    first, again = SlideMap(), SlideMap()
    with source:
        for frame in source:
            if frame.index in skip:
                continue
            found = sightings_of(truth.frames[frame.index])
            boxes = np.array([s.box for s in found], np.float32).reshape(-1, 4)
            placement = first.place(frame.pixels, boxes, frame.field)
            assert again.replay(placement, found) == first.add(placement, found)
    assert (again.lost, again.revisits, again.area_px) == (1, first.revisits, first.area_px)
    assert [c.box.tolist() for c in again.cells()] == [c.box.tolist() for c in first.cells()]


@pytest.fixture(scope="module")
def stops() -> list[tuple[Frame, FrameTruth]]:
    source = open_simulated("sim://?seed=3&fields=6&overlap=0.4&stage=none")
    truth = source.truth()
    with source:
        return [(frame, truth.frames[frame.index]) for frame in source]


class TestPlaces:
    """A live camera shows one place many times."""

    def seen(self, stops, *order: int) -> SlideMap:
        slide = SlideMap()
        for stop in order:
            enter(slide, *stops[stop])
        return slide

    def test_standing_still_keeps_one_view(self, stops):
        slide = self.seen(stops, 0, 0, 0, 0, 1, 1, 1)
        assert len(slide.views) == 2
        assert (slide.lost, slide.revisits) == (0, 0)

    def test_coming_back_is_told_once_and_counts_nothing_twice(self, stops):
        once = self.seen(stops, 0, 1, 2)
        slide = self.seen(stops, 0, 1, 1, 2, 2, 0, 0, 1)
        assert slide.revisits == 2
        assert slide.count("rbc") == once.count("rbc")
        assert slide.area_px == once.area_px

    def test_coming_back_after_many_frames_elsewhere_is_still_coming_back(self, stops):
        slide = self.seen(stops, 0, *[1] * 300, 0)
        assert (slide.lost, slide.revisits) == (0, 1)
        assert len(slide.views) == 2
