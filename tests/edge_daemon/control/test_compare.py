"""When is a control what was expected of it? Anything else fails, with the reason in a sentence."""

from __future__ import annotations

import random

import pytest

from edge_daemon.contract.findings import FrameCounts
from edge_daemon.control.compare import compare
from tests.edge_daemon.control.controls import (
    OTHER,
    TOLERANCES,
    expected,
    figures,
    identity,
    screened,
)


def reasons(kind: str, found, **changes) -> tuple[str, ...]:
    """What speaks against a control; empty when it passed."""
    one = expected(kind)
    result = compare(screened(found, kind), identity(one, **changes), one, TOLERANCES)
    return () if result.passed else result.reasons


class TestStored:
    """The same pictures: no chance in it."""

    def test_with_everything_the_same_every_decision_must_be(self):
        assert reasons("stored", figures()) == ()
        (told,) = reasons("stored", figures(decisions=OTHER))
        assert "does not compute what it did" in told

    @pytest.mark.parametrize("change", [{"bundle": OTHER}, {"setup": OTHER}, {"engines": "gpu"}])
    def test_with_something_else_figures_are_held_to_tolerances(self, change):
        assert reasons("stored", figures(blasts=119, decisions=OTHER), **change) == ()
        (told,) = reasons("stored", figures(blasts=121, decisions=OTHER), **change)
        assert told == (
            "30.2 % blasts (121 of 400), 25.0 % are expected (100 of 400), 5 points are allowed."
        )

    def test_other_pictures_are_told_whatever_they_show(self):
        one = expected()
        result = compare(screened(figures(), pictures=OTHER), identity(one), one, TOLERANCES)
        assert not result.passed
        assert "not the pictures that were accepted" in result.reasons[0]

    @pytest.mark.parametrize("nucleated", [359, 441])
    def test_cells_that_were_lost_or_made_up(self, nucleated):
        found = figures(blasts=nucleated // 4, nucleated=nucleated)
        (told,) = reasons("stored", found, bundle=OTHER)
        assert f"{nucleated} nucleated cells counted, 400 are expected, 40 more or less" in told

    def test_a_reader_who_is_left_with_more(self):
        (told,) = reasons("stored", figures(uncertain=61), bundle=OTHER)
        assert "15.2 % uncertain cells (61 of 400), 5.0 % are expected" in told


class TestSlide:
    """Another sample of the same smear: chance is in it."""

    def test_a_difference_that_chance_makes_is_none(self):
        """30 of 100 where 25 % are expected: more than the tolerance, and nothing at all."""
        assert reasons("slide", figures(blasts=31, nucleated=100, coverage_mm2=0.0125)) == ()

    def test_a_difference_that_chance_does_not_make(self):
        found = figures(blasts=45, nucleated=100, coverage_mm2=0.0125)
        (told,) = reasons("slide", found)
        assert "45.0 % blasts (45 of 100), 25.0 % are expected (100 of 400)" in told
        assert "chance alone gives with p = 0.0001" in told

    def test_a_difference_that_does_not_matter_is_none_however_sure_it_is(self):
        """28 against 25 % in 20,000 cells each: sure, and within what is allowed."""
        before = figures(blasts=5000, nucleated=20_000, coverage_mm2=2.5)
        after = figures(blasts=5600, nucleated=20_000, coverage_mm2=2.5)
        one = expected("slide", before)
        assert compare(screened(after, "slide"), identity(one), one, TOLERANCES).passed

    def test_few_cells_hide_any_difference_so_they_are_no_match(self):
        found = figures(
            blasts=5, nucleated=20, frames=FrameCounts(captured=40, analysed=10, rejected=30)
        )
        one = expected("slide")
        told = compare(
            screened(found, "slide", most_unseen="30 frames were rejected (out of focus)"),
            identity(one),
            one,
            TOLERANCES,
        )
        assert told.reasons[0] == (
            "Too few cells: 20 nucleated cells counted, 100 are needed: 30 frames were rejected "
            "(out of focus)."
        )

    @pytest.mark.parametrize("area_mm2", [0.02, 0.11])
    def test_many_more_or_fewer_cells_in_a_mm2(self, area_mm2):
        (told,) = reasons("slide", figures(coverage_mm2=area_mm2))
        assert "8000 are expected, at most 2 times more or less" in told

    def test_twice_the_same_slide_hardly_ever_fails(self):
        """Of 2,000 pairs of honest samples, at most as many as ``significance`` says."""
        rng = random.Random(5)
        failed = 0
        for _ in range(2000):
            blasts = sum(rng.random() < 0.25 for _ in range(150))
            found = figures(blasts, 150, coverage_mm2=0.01875, uncertain=8)
            failed += bool(reasons("slide", found))
        assert failed <= 0.003 * 2000 + 8


@pytest.mark.parametrize("kind", ["stored", "slide"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"um_per_px": 0.15}, "The scale is 0.15 um per pixel, 0.075 is expected"),
        ({"um_per_px": None}, "The scale is not known, and was"),
        ({"focus": 13.0}, "The picture is blunt: focus 13, 20 is expected"),
        ({"focus": None}, "The picture is blunt: focus not measured"),
        ({"exposure": 0.55}, "The picture is too dark: brightness 0.55, 0.7 is expected"),
        ({"exposure": 0.85}, "The picture is too bright"),
        ({"stain_shift": 1.0}, "The colours are others: stain shift 1, 0.4 is expected"),
        ({"saturated_frames": 2}, "2 frames held more cells than can be counted"),
    ],
)
def test_a_picture_that_is_not_what_it_was(kind, change, told):
    (said,) = reasons(kind, figures(**change), setup=OTHER)
    assert told in said


def test_everything_that_is_wrong_is_told_at_once():
    found = figures(blasts=300, um_per_px=0.15, exposure=0.4)
    assert len(reasons("stored", found, setup=OTHER)) == 3


def test_tolerances_are_those_it_was_accepted_under():
    """Wider ones are somebody's decision, and that somebody looks at a run."""
    one = expected()
    wider = TOLERANCES.model_copy(update={"blast_fraction": 0.5})
    result = compare(screened(figures()), identity(one), one, wider)
    assert not result.passed
    assert "accepted under other tolerances" in result.reasons[0]
