"""From a published picture to the attribution that a page shows: picture, figures, words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploy.dashboard.attribution.drawing import drawn
from deploy.dashboard.attribution.errors import AttributionError
from deploy.dashboard.attribution.occlusion import Effects, effects
from deploy.dashboard.attribution.published import Seen, seen
from deploy.dashboard.queries.pictured import Pictured
from edge_daemon.errors import LeukoError
from edge_daemon.inference import Models

TOLERANCE = 0.1
"""By how much the probability computed here may differ from the one that the device told and still
be called the same. JPEG moves it: of the pictures of real cells 93 in 100 lie within it
(docs/results.md), so what lies beyond has mostly another reason, and is told."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Of one picture, by one bundle."""

    jpeg: bytes
    told: float
    """The probability of a blast as the device told it of this picture's frame."""
    here: float
    """The same, computed here from the published picture."""
    lowest: float
    highest: float
    """Under any one patch."""
    unfamiliar: bool
    """The classifier does not know what it sees."""
    share_shown: float
    """Of the square that the classifier is given, as far as the picture shows it."""
    placed: bool
    frame: int
    by: str
    """Bundle and engine in words."""

    @property
    def reproduced(self) -> bool:
        """Whether what is computed here is the verdict that the device told."""
        return abs(self.here - self.told) <= TOLERANCE

    @property
    def strongest(self) -> float:
        """The largest move of the probability by one patch."""
        return max(self.here - self.lowest, self.highest - self.here)


def attribution(models: Models, told: Pictured) -> Attribution:
    """Compute it, in the thread that owns ``models``.

    Raises:
        AttributionError: the picture cannot be read or does not fit, or the network failed.
    """
    what = seen(told, models.classifier_role)
    unfamiliar = False

    def judge(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        nonlocal unfamiliar
        verdicts = models.classify(crops)
        unfamiliar = bool(verdicts.unfamiliar[0])
        return verdicts.p_blast

    try:
        found = effects(judge, what.crop, what.shown)
    except LeukoError as error:
        raise AttributionError(f"the classifier failed on this server: {error}") from None
    return _put_together(models, told, what, found, unfamiliar)


def _put_together(
    models: Models, told: Pictured, what: Seen, found: Effects, unfamiliar: bool
) -> Attribution:
    return Attribution(
        jpeg=drawn(what, found),
        told=told.p_blast,
        here=found.p_blast,
        lowest=found.lowest,
        highest=found.highest,
        unfamiliar=unfamiliar,
        share_shown=what.share_shown,
        placed=what.placed,
        frame=told.frame,
        by=models.description,
    )
