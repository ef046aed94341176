"""How a classifier's answers are read, fitted to what it says of held-out cells.

One rule for whoever fits: the trainer for a finished training, and the exporter for a precision
whose answers are no longer quite those of float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.roles import Calibration
from trainer.statistics.calibration import fit_temperature, p_blast_of
from trainer.statistics.operating import abstain_band

BLAST_THRESHOLD = 0.5
"""Of the calibrated probability, where the abstain band allows it."""
BAND_RATE = 0.90
"""Of blasts let through by the band's lower end and of normal cells kept out by its upper end. At
0.95 nearly three cells in four of C-NMC were uncertain, at 0.90 a good half; at 0.80 one in four,
but of what was then decided only 73 % was right (77 % at 0.90)."""
FAMILIAR_RATE = 0.97
"""Of each kind of validation crop, cells on black, on fields and of normal blood, that stays within
the limit of novelty. At 0.99 of all together one in eleven cells of normal blood was outside."""
RULE = (
    "temperature by likelihood on both kinds of crop; low lets "
    f"{BAND_RATE:.0%} of blasts through, high keeps {BAND_RATE:.0%} of normal cells out; "
    f"at least {FAMILIAR_RATE:.0%} of each kind of crop within the limit of novelty"
)


def calibrated(
    logits: NDArray[np.floating],
    is_blast: NDArray[np.bool_],
    familiar: Sequence[NDArray[np.floating]] = (),
) -> Calibration:
    """Temperature, abstain band and limit of novelty by :data:`RULE`.

    Args:
        logits: ``[N, 2]``, of cells of either class.
        is_blast: ``[N]``, what they are.
        familiar: the novelty of each kind of crop that the classifier should know, ``[K]`` each;
            none where it tells no novelty.
    """
    temperature = fit_temperature(logits, is_blast)
    p_blast = p_blast_of(logits, temperature)
    low, high = abstain_band(is_blast, p_blast, sensitivity=BAND_RATE, specificity=BAND_RATE)
    outer = [float(np.quantile(novelty, FAMILIAR_RATE)) for novelty in familiar if len(novelty)]
    return Calibration(
        temperature=temperature,
        blast_threshold=float(np.clip(BLAST_THRESHOLD, low, high)),
        abstain_band=(low, high),
        novelty_limit=max(outer, default=None),
    )
