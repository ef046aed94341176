"""What a slide's counts may claim: exact intervals, and no silence that was not earned."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from edge_daemon.contract.envelope import Reason
from edge_daemon.contract.findings import FrameCounts
from edge_daemon.vision.slide import (
    SlideThresholds,
    blast_fraction,
    clopper_pearson,
    judge,
    more_cells_wanted,
)

ALL_ANALYSED = FrameCounts(captured=100, analysed=100)


@pytest.fixture(scope="module")
def beta() -> Any:
    """The beta distribution of scipy, the independent reference."""
    return pytest.importorskip("scipy.stats", reason="scipy is the reference").beta


@st.composite
def proportions(draw: st.DrawFn, max_trials: int = 3000) -> tuple[int, int]:
    trials = draw(st.integers(1, max_trials))
    return draw(st.integers(0, trials)), trials


@st.composite
def slides(draw: st.DrawFn) -> dict[str, int]:
    nucleated = draw(st.integers(0, 600))
    blasts = draw(st.integers(0, nucleated))
    uncertain = draw(st.integers(0, nucleated - blasts))
    return {"blasts": blasts, "uncertain": uncertain, "nucleated": nucleated}


@settings(deadline=None)
@given(counts=proportions(), confidence=st.sampled_from([0.8, 0.95, 0.999]))
def test_the_interval_is_that_of_the_beta_quantiles(
    beta: Any, counts: tuple[int, int], confidence: float
) -> None:
    successes, trials = counts
    tail = (1 - confidence) / 2
    low, high = clopper_pearson(successes, trials, confidence)
    expected_low = beta.ppf(tail, successes, trials - successes + 1) if successes else 0.0
    expected_high = (
        beta.ppf(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
    )
    assert low == pytest.approx(expected_low, abs=1e-9)
    assert high == pytest.approx(expected_high, abs=1e-9)


@pytest.mark.parametrize("successes", [0, 1, 50_000, 500_000, 999_999, 1_000_000])
def test_the_interval_holds_for_a_million_cells(beta: Any, successes: int) -> None:
    trials = 1_000_000
    low, high = clopper_pearson(successes, trials)
    if successes:
        assert low == pytest.approx(beta.ppf(0.025, successes, trials - successes + 1), rel=1e-6)
    if successes < trials:
        assert high == pytest.approx(beta.ppf(0.975, successes + 1, trials - successes), rel=1e-6)


def test_known_intervals() -> None:
    assert clopper_pearson(0, 100) == pytest.approx((0.0, 1 - 0.025**0.01))  # closed form
    assert clopper_pearson(100, 100) == pytest.approx((0.025**0.01, 1.0))
    assert clopper_pearson(5, 100) == pytest.approx((0.0164, 0.1128), abs=1e-4)
    assert clopper_pearson(0, 0) == (0.0, 1.0)


@given(proportions())
def test_the_interval_encloses_the_estimate_and_mirrors(counts: tuple[int, int]) -> None:
    successes, trials = counts
    low, high = clopper_pearson(successes, trials)
    mirrored_low, mirrored_high = clopper_pearson(trials - successes, trials)
    assert 0.0 <= low <= successes / trials <= high <= 1.0
    assert (1 - mirrored_high, 1 - mirrored_low) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 10), (11, 10), (1, 0)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes of"):
        clopper_pearson(successes, trials)


def test_a_fraction_needs_a_cell() -> None:
    assert blast_fraction(0, 0) is None
    fraction = blast_fraction(3, 30)
    assert fraction is not None
    assert (fraction.estimate, fraction.confidence) == (0.1, 0.95)


def test_too_few_cells_give_no_answer() -> None:
    verdict = judge(blasts=0, uncertain=0, nucleated=99, frames=ALL_ANALYSED)
    assert verdict.disposition == "insufficient"
    assert "99 nucleated cells counted, 100 are needed" in verdict.reasons[0]


def test_many_blasts_among_too_few_cells_are_not_put_aside() -> None:
    verdict = judge(blasts=20, uncertain=0, nucleated=40, frames=ALL_ANALYSED)
    assert verdict.disposition == "review"
    assert verdict.reasons[0].startswith("Already 20 of 40")


def test_positive_is_claimed_from_the_lower_end_only() -> None:
    barely = judge(blasts=27, uncertain=0, nucleated=100, frames=ALL_ANALYSED)  # from 18.6 %
    clearly = judge(blasts=35, uncertain=0, nucleated=100, frames=ALL_ANALYSED)  # from 25.7 %
    assert (barely.disposition, clearly.disposition) == ("review", "positive")


def test_negative_is_claimed_from_the_upper_end_only() -> None:
    at_100 = judge(blasts=2, uncertain=0, nucleated=100, frames=ALL_ANALYSED)  # up to 7.0 %
    at_500 = judge(blasts=10, uncertain=0, nucleated=500, frames=ALL_ANALYSED)  # up to 3.6 %
    assert (at_100.disposition, at_500.disposition) == ("review", "negative")


def test_uncertain_cells_may_be_blasts() -> None:
    verdict = judge(blasts=0, uncertain=20, nucleated=200, frames=ALL_ANALYSED)
    assert verdict.disposition == "review"
    assert "20 more cells are uncertain" in verdict.reasons[1]


@pytest.mark.parametrize(
    "frames",
    [
        FrameCounts(captured=100, analysed=70, rejected=30),
        FrameCounts(captured=100, analysed=70, dropped=30),
        FrameCounts(captured=100, analysed=70, failed=30),
    ],
)
def test_frames_not_analysed_forbid_negative(frames: FrameCounts) -> None:
    verdict = judge(blasts=0, uncertain=0, nucleated=500, frames=frames)
    assert verdict.disposition == "review"
    assert "30 of 100 frames were not analysed" in verdict.reasons[-1]


def test_one_saturated_frame_forbids_negative() -> None:
    verdict = judge(blasts=0, uncertain=0, nucleated=500, frames=ALL_ANALYSED, saturated_frames=1)
    assert verdict.disposition == "review"


def test_positive_keeps_its_caveats() -> None:
    verdict = judge(blasts=300, uncertain=0, nucleated=500, frames=ALL_ANALYSED, saturated_frames=2)
    assert verdict.disposition == "positive"
    assert "counts are too low" in verdict.reasons[-1]


@given(slides())
def test_uncertainty_never_turns_review_into_negative(counts: dict[str, int]) -> None:
    if judge(**counts, frames=ALL_ANALYSED).disposition != "review":
        return
    undecided = counts["nucleated"] - counts["blasts"] - counts["uncertain"]
    for added in {min(1, undecided), undecided}:
        more = counts | {"uncertain": counts["uncertain"] + added}
        assert judge(**more, frames=ALL_ANALYSED).disposition == "review"


@given(slides(), st.integers(0, 100), st.integers(0, 3))
def test_every_verdict_has_reasons_that_fit_the_message(
    counts: dict[str, int], lost: int, saturated: int
) -> None:
    frames = FrameCounts(captured=100, analysed=100 - lost, dropped=lost)
    verdict = judge(**counts, frames=frames, saturated_frames=saturated)
    TypeAdapter(Annotated[tuple[Reason, ...], Field(min_length=1)]).validate_python(verdict.reasons)


@given(slides())
def test_negative_means_no_credible_five_percent(counts: dict[str, int]) -> None:
    verdict = judge(**counts, frames=ALL_ANALYSED)
    possible = counts["blasts"] + counts["uncertain"]
    if verdict.disposition == "negative":
        assert counts["nucleated"] >= 100
        assert clopper_pearson(possible, counts["nucleated"])[1] < 0.05
    if verdict.disposition == "positive":
        assert clopper_pearson(counts["blasts"], counts["nucleated"])[0] > 0.20


def test_counts_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="uncertain of 10 cells"):
        judge(blasts=6, uncertain=5, nucleated=10, frames=ALL_ANALYSED)


def test_levels_out_of_order_are_refused() -> None:
    with pytest.raises(ValidationError, match="negative_below must not be above"):
        SlideThresholds(negative_below=0.3)


class TestMoreCellsWanted:
    """What the operator is told while a slide is open."""

    @pytest.mark.parametrize(
        ("blasts", "uncertain", "nucleated", "wanted"),
        [
            (0, 0, 0, 100),  # nothing counted yet
            (0, 0, 60, 40),  # clearly negative, as soon as there are enough
            (0, 0, 200, 0),
            (60, 0, 100, 0),  # clearly positive
            (30, 0, 30, 70),
            (12, 0, 100, None),  # 12 % lies between the levels, however many are counted
        ],
    )
    def test_as_many_as_it_takes(self, blasts, uncertain, nucleated, wanted):
        found = more_cells_wanted(blasts=blasts, uncertain=uncertain, nucleated=nucleated)
        assert found == wanted

    def test_with_that_many_more_there_is_an_answer_and_with_one_less_there_is_none(self):
        found = more_cells_wanted(blasts=2, uncertain=1, nucleated=100)
        assert found
        for more, answered in ((found, True), (found - 1, False)):
            cells = 100 + more
            verdict = judge(
                blasts=round(0.02 * cells),
                uncertain=round(0.03 * cells) - round(0.02 * cells),
                nucleated=cells,
                frames=FrameCounts(captured=1, analysed=1),
            )
            assert (verdict.disposition == "negative") is answered

    @given(st.integers(0, 400), st.integers(0, 100), st.integers(0, 600))
    def test_nothing_more_is_wanted_exactly_when_the_counts_decide(self, blasts, uncertain, rest):
        nucleated = blasts + uncertain + rest
        wanted = more_cells_wanted(blasts=blasts, uncertain=uncertain, nucleated=nucleated)
        verdict = judge(
            blasts=blasts,
            uncertain=uncertain,
            nucleated=nucleated,
            frames=FrameCounts(captured=1, analysed=1),
        )
        assert (wanted == 0) == (verdict.disposition in ("positive", "negative"))
