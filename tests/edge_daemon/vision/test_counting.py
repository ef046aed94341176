"""Each white cell of a slide is counted once though the scan jumps, and errors are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from edge_daemon.commands.models import open_models
from edge_daemon.sources.simulated import open_simulated
from edge_daemon.vision.island import Sighting
from edge_daemon.vision.register import view_of
from edge_daemon.vision.slide_map import SlideMap
from tests.edge_daemon.vision.counting import CountErrors, CountingRecord
from tests.edge_daemon.vision.counting_table import WAY, Seen, address, count, look
from tests.edge_daemon.vision.test_slide_map import sightings_of


def true_cells_seen(spec: str) -> list[Seen]:
    """What a good detector would find in every frame."""
    source = open_simulated(spec)
    seen: list[Seen] = []
    with source:
        for frame in source:
            found = tuple(sightings_of(source.frame_truth(frame.index)))
            boxes = np.array([s.box for s in found], np.float32).reshape(-1, 4)
            seen.append((frame.index, view_of(frame.pixels, boxes), found))
    return seen


def test_a_rendered_slide_with_jumps_is_one_piece_in_the_end_and_counted_exactly() -> None:
    spec = f"sim://?seed=517&fields=48&white=2.5&{WAY}"
    errors, slide = count(true_cells_seen(spec), open_simulated(spec).truth())
    assert slide.lost >= 2, "the scan was to lose its position more than once"
    assert slide.islands == 1
    assert (errors.twice, errors.merged, errors.missed) == (0, 0, 0)
    assert errors.found == pytest.approx(errors.true, rel=0.03)


def test_real_pixels_with_jumps_are_counted_within_three_percent(leuko_data) -> None:
    spec = address(leuko_data / "cnmc2019", leuko_data / "bccd" / "val", seed=517, number=30)
    spec += "&white=3"
    with open_models(None) as models:
        seen = look(spec, models)
    errors, slide = count(seen, open_simulated(spec).truth())
    assert slide.islands == 1
    assert (errors.twice, errors.merged) == (0, 0)
    assert errors.found == pytest.approx(errors.true, rel=0.03, abs=1)


class TestErrorsAreToldApart:
    """One rendered frame, and what is reported of it."""

    def errors(self, change) -> CountErrors:
        source = open_simulated("sim://?seed=3&fields=1&white=5&stage=none")
        truth = source.truth()
        white = [s for s in sightings_of(truth.frames[0]) if s.kind == "wbc"]
        whole = [s for s in white if min(s.box) > 6 and s.box[2] < 634 and s.box[3] < 474]
        slide, record = SlideMap(), CountingRecord()
        placement = slide.place(source.take_frame(0), np.empty((0, 4), np.float32), 0)
        reported = change(white, whole[0])
        slide.add(placement, reported)
        record.enter(truth.frames[0], reported)
        return record.errors(slide, truth)

    def test_a_perfect_report(self) -> None:
        errors = self.errors(lambda white, _one: white)
        assert errors.found == errors.true
        assert errors.too_much == errors.too_little == 0

    def test_a_cell_that_is_not_reported_is_missed(self) -> None:
        errors = self.errors(lambda white, one: [s for s in white if s is not one])
        assert (errors.found - errors.true, errors.missed) == (-1, 1)

    def test_a_cell_where_none_is_is_a_false_alarm_and_does_not_hide_a_missed_one(self) -> None:
        def report(white: list[Sighting], one: Sighting) -> list[Sighting]:
            false = Sighting((5.5, 300.0, 9.0, 303.0), "wbc", 0.9, "normal", 0.123)
            return [*(s for s in white if s is not one), false]

        errors = self.errors(report)
        assert (errors.found - errors.true, errors.missed, errors.false_alarms) == (0, 1, 1)

    def test_a_second_box_in_a_cell_is_part_of_it(self) -> None:
        def report(white: list[Sighting], one: Sighting) -> list[Sighting]:
            x0, y0, x1, y1 = one.box
            half = (x0, y0, (x0 + 2 * x1) / 3, (y0 + y1) / 2)
            return [*white, Sighting(half, "wbc", 0.7, "normal", 0.234)]

        errors = self.errors(report)
        assert (errors.found - errors.true, errors.parts, errors.twice) == (1, 1, 0)
