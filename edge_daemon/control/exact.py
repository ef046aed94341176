"""Are two proportions the same? Fisher's exact test, for cells counted on the same slide twice."""

from __future__ import annotations

import math

_TIE = 1e-7
"""Tables that are as likely as the one seen but for rounding belong to its tail."""


def fisher_exact(hits: int, trials: int, other_hits: int, other_trials: int) -> float:
    """Probability of two proportions at least as far apart, were they samples of one population.

    With the sums of rows and columns given, the hits of the first sample are hypergeometric; the
    probabilities of all tables that are no more likely than the one seen are added up (Fisher 1935,
    J. R. Stat. Soc. 98:39; two-sided as in Agresti 1992, Statistical Science 7:131). Exact for
    samples of any size; it errs on the side of calling them the same.

    Raises:
        ValueError: for counts that contradict each other.
    """
    if not (0 <= hits <= trials and 0 <= other_hits <= other_trials):
        raise ValueError(f"{hits} of {trials}, {other_hits} of {other_trials}")
    both = hits + other_hits
    whole = _log_choose(trials + other_trials, both)

    def likely(first: int) -> float:
        log = _log_choose(trials, first) + _log_choose(other_trials, both - first) - whole
        return math.exp(log)

    seen = likely(hits) * (1.0 + _TIE)
    possible = range(max(0, both - other_trials), min(trials, both) + 1)
    return min(1.0, sum(one for one in map(likely, possible) if one <= seen))


def _log_choose(of: int, taken: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(taken + 1) - math.lgamma(of - taken + 1)
