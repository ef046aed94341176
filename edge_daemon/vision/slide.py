"""What the counts of a slide say: the blast fraction with its exact interval, and a disposition.

A fraction from 100 cells is not a fraction from 1,000: 5 blasts in 100 leave anything from 1.6 to
11.3 % possible. So nothing is claimed from the point estimate. Each claim must hold at the end of
the interval that speaks against it, and whatever the device could not decide (uncertain cells,
frames it did not analyse, cells beyond the detector's cap) speaks against ``negative``, because a
wrong silence is the worst thing this device can do. What is left over is for a human reader:
``review``.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

from pydantic import Field, model_validator

from edge_daemon.contract.base import Fraction, StrictModel
from edge_daemon.contract.findings import BlastFraction, FrameCounts
from edge_daemon.contract.terms import Disposition


class SlideThresholds(StrictModel):
    """From which counts which disposition follows. Configuration of the site."""

    min_nucleated_cells: int = Field(default=100, ge=1)
    """Fewer unique nucleated cells than this are ``insufficient``. 100 is the smallest manual
    differential count in use; 200 (CLSI H20-A2) narrows the interval."""
    negative_below: Fraction = 0.05
    """``negative`` needs the whole interval below this, uncertain cells counted as blasts. 5 % is
    the level that a normal marrow stays under."""
    positive_above: Fraction = 0.20
    """``positive`` needs the whole interval above this, uncertain cells counted as normal. 20 % of
    blasts is the WHO's level for an acute leukaemia (Arber et al. 2016)."""
    max_unseen_fraction: Fraction = 0.20
    """``negative`` needs at least the rest of the captured frames to have been analysed."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Coverage of the interval."""

    @model_validator(mode="after")
    def _levels_are_ordered(self) -> SlideThresholds:
        if self.negative_below > self.positive_above:
            raise ValueError("negative_below must not be above positive_above")
        return self


class Verdict(NamedTuple):
    """A disposition, and why, in sentences for the operator."""

    disposition: Disposition
    reasons: tuple[str, ...]


def judge(
    *,
    blasts: int,
    uncertain: int,
    nucleated: int,
    frames: FrameCounts,
    saturated_frames: int = 0,
    thresholds: SlideThresholds | None = None,
) -> Verdict:
    """Say what the counts of a slide, so far, mean to a reader.

    * ``insufficient``: too few cells for an answer;
    * ``positive``: even the lower end of the interval is above ``positive_above``. With too few
      cells the same finding is ``review``, so that it is not mistaken for an empty slide;
    * ``negative``: even the upper end is below ``negative_below`` with every uncertain cell taken
      for a blast, no frame was saturated and few enough frames were lost;
    * ``review``: everything else.

    Args:
        blasts: unique nucleated cells labelled ``blast``.
        uncertain: unique nucleated cells inside the abstain band.
        nucleated: all unique nucleated cells, the denominator.
        frames: how the captured frames ended.
        saturated_frames: analysed frames with more cells than the detector reports.
        thresholds: the defaults when None.

    Raises:
        ValueError: for counts that contradict each other.
    """
    limits = thresholds or SlideThresholds()
    if min(blasts, uncertain, saturated_frames) < 0 or blasts + uncertain > nucleated:
        raise ValueError(f"{blasts} blasts and {uncertain} uncertain of {nucleated} cells")
    caveats = _caveats(frames, saturated_frames, limits)
    low, _ = clopper_pearson(blasts, nucleated, limits.confidence)
    clearly_positive = low > limits.positive_above

    if nucleated < limits.min_nucleated_cells:
        too_few = (
            f"{_cells(nucleated)} counted, {limits.min_nucleated_cells} are needed for an answer: "
            "scan more fields."
        )
        if clearly_positive:
            warning = (
                f"Already {_finding(blasts, nucleated, limits)}: have it read before scanning on."
            )
            return Verdict("review", (warning, too_few, *caveats))
        return Verdict("insufficient", (too_few, *caveats))
    finding = _finding(blasts, nucleated, limits)
    if clearly_positive:
        above = f"The whole interval is above {_percent(limits.positive_above)}."
        return Verdict("positive", (f"{finding}. {above}", *caveats))
    against = _against_negative(blasts, uncertain, nucleated, limits)
    if against or caveats:
        return Verdict("review", (f"{finding}.", *against, *caveats))
    below = f"The whole interval is below {_percent(limits.negative_below)}."
    return Verdict("negative", (f"{finding}. {below}",))


MOST_MORE_CELLS = 5_000
"""Where more than that would have to be counted, counting does not answer: a reader does."""


def more_cells_wanted(
    *, blasts: int, uncertain: int, nucleated: int, thresholds: SlideThresholds | None = None
) -> int | None:
    """How many more nucleated cells until these counts give an answer, if the shares stay.

    Returns:
        0 when they give one, or would but for frames that were not seen; the least number of
        further cells with which the same shares of blasts and uncertain cells would be ``positive``
        or ``negative``; None when no number below :data:`MOST_MORE_CELLS` would: then a reader
        decides, not more counting.
    """
    limits = thresholds or SlideThresholds()
    if not nucleated:
        return limits.min_nucleated_cells

    def decides(more: int) -> bool:
        cells = nucleated + more
        if cells < limits.min_nucleated_cells:
            return False
        of_blasts = round(blasts * cells / nucleated)
        of_both = min(cells, round((blasts + uncertain) * cells / nucleated))
        low, _ = clopper_pearson(of_blasts, cells, limits.confidence)
        _, high = clopper_pearson(of_both, cells, limits.confidence)
        return low > limits.positive_above or high < limits.negative_below

    if decides(0):
        return 0
    if not decides(MOST_MORE_CELLS):
        return None
    short, enough = 0, MOST_MORE_CELLS
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if decides(middle) else (middle, enough)
    return enough


def blast_fraction(blasts: int, nucleated: int, confidence: float = 0.95) -> BlastFraction | None:
    """Blasts per nucleated cell with its exact interval; None when no cell was counted."""
    if nucleated == 0:
        return None
    low, high = clopper_pearson(blasts, nucleated, confidence)
    return BlastFraction(estimate=blasts / nucleated, low=low, high=high, confidence=confidence)


@lru_cache(maxsize=256)  # a judgement asks for the same interval more than once
def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a binomial proportion.

    The lower end is the proportion at which ``successes`` or more would be seen with probability
    ``(1 - confidence) / 2``, the upper end the one at which ``successes`` or fewer would (Clopper
    and Pearson 1934, Biometrika 26:404), found through the regularised incomplete beta function,
    ``P(X >= k) = I_p(k, n - k + 1)``. It never covers less than it says, at the price of being
    wide for few trials. No trials say nothing: ``(0, 1)``.

    Accurate to 1e-9 for up to a million trials.

    Raises:
        ValueError: for counts that contradict each other, or a confidence outside (0, 1).
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    tail = (1.0 - confidence) / 2.0
    low, high = 0.0, 1.0
    if successes > 0:
        low = _beta_quantile(tail, successes, trials - successes + 1)
    if successes < trials:
        # By symmetry of the failures, so that both ends are sought in a lower tail, where the
        # small probability is held to full relative precision.
        high = 1.0 - _beta_quantile(tail, trials - successes, successes + 1)
    estimate = successes / trials if trials else 0.5
    return min(low, estimate), max(high, estimate)


def _finding(blasts: int, nucleated: int, limits: SlideThresholds) -> str:
    low, high = clopper_pearson(blasts, nucleated, limits.confidence)
    are = "is a blast" if blasts == 1 else "are blasts"
    return (
        f"{blasts} of {_cells(nucleated)} {are} ({_percent(blasts / nucleated)}, "
        f"{_percent(limits.confidence)} interval {_percent(low)} to {_percent(high)})"
    )


def _against_negative(
    blasts: int, uncertain: int, nucleated: int, limits: SlideThresholds
) -> tuple[str, ...]:
    """Why the counts alone do not make the slide negative; empty when they do."""
    level = _percent(limits.negative_below)
    _, high = clopper_pearson(blasts, nucleated, limits.confidence)
    if high >= limits.negative_below:
        open_question = (
            f"A fraction of {level} or more cannot be ruled out, and one of "
            f"{_percent(limits.positive_above)} is not certain."
        )
        return (open_question,)
    _, worst = clopper_pearson(blasts + uncertain, nucleated, limits.confidence)
    if worst >= limits.negative_below:
        cells_are = "cell is" if uncertain == 1 else "cells are"
        undecided = (
            f"{uncertain} more {cells_are} uncertain: were they blasts, the fraction could reach "
            f"{_percent(worst)}, which is not below {level}."
        )
        return (undecided,)
    return ()


def _caveats(
    frames: FrameCounts, saturated_frames: int, limits: SlideThresholds
) -> tuple[str, ...]:
    """What was not seen, so far as it forbids ``negative``."""
    said = []
    unseen = frames.captured - frames.analysed
    if unseen > limits.max_unseen_fraction * frames.captured:
        said.append(
            f"{unseen} of {frames.captured} frames were not analysed ({frames.rejected} rejected, "
            f"{frames.dropped} dropped, {frames.failed} failed): blasts may lie there unseen."
        )
    if saturated_frames:
        said.append(
            f"{saturated_frames} frames held more cells than are reported: the counts are too low."
        )
    return tuple(said)


def _cells(count: int) -> str:
    return f"{count} nucleated cell{'' if count == 1 else 's'}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def _beta_quantile(probability: float, a: float, b: float) -> float:
    """The x at which ``I_x(a, b)`` is ``probability``, by bisection (60 halvings of [0, 1])."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if _incomplete_beta(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function ``I_x(a, b)``, DLMF 8.17.22 (continued fraction)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):  # the fraction converges fast on the other side only
        return 1.0 - _incomplete_beta(1.0 - x, b, a)
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if log_front < -700.0:  # below what a float holds, and below every probability asked for
        return 0.0
    return math.exp(log_front) / (a * _beta_fraction(x, a, b))


def _beta_fraction(x: float, a: float, b: float) -> float:
    """The continued fraction ``1 + d1/(1 + d2/(1 + ...))``, by the modified Lentz method.

    Thompson and Barnett 1986. It takes about ``sqrt(max(a, b))`` terms.
    """
    tiny = 1e-300
    value, c, d = 1.0, 1.0, 0.0
    for m in range(1, 100_000):
        odd = -(a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1))
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        for term in (odd, even):
            d = 1.0 / ((1.0 + term * d) or tiny)
            c = (1.0 + term / c) or tiny
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value
