"""What the gate answers: a judgement a check, and the figures they rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Check: TypeAlias = Literal["size", "exposure", "cover", "motion", "focus", "stain", "overlap"]
"""What is looked at, in the order of looking."""

Decision: TypeAlias = Literal["pass", "hint", "reject", "unjudged"]
"""``hint``: analysed, but counts from here are uncertain. ``unjudged``: it could not be told."""


@dataclass(frozen=True)
class Judgement:
    """What one check says of a frame."""

    check: Check
    decision: Decision
    explanation: str = ""
    """One line for the operator: what is wrong, by how much, and what to do. Empty for a pass."""


@dataclass(frozen=True)
class Quality:
    """What was measured and decided; what was not got to is None, and not among the judgements."""

    judgements: tuple[Judgement, ...]
    focus: float | None = None
    """Slope that sharp edges lose by a further blur, in percent: 9 to 40 is in focus."""
    exposure: float | None = None
    """Mean brightness, 0 black to 1 white."""
    clipped_fraction: float | None = None
    """Share of pixels fully black or fully white, 0 to 1."""
    foreground_fraction: float | None = None
    """Share of the frame that is cells and not glass, 0 to 1."""
    evenness: float | None = None
    """Sharpness of the bluntest direction over that across it: 1 is even, motion lowers it."""
    stain_shift: float | None = None
    """Distance of the colours from the reference, in tolerances of it: up to 1 is alike."""

    @property
    def reason(self) -> str | None:
        """Why the frame is refused, one line for the operator; None if it is accepted."""
        for judgement in self.judgements:
            if judgement.decision == "reject":
                return judgement.explanation
        return None

    @property
    def accepted(self) -> bool:
        """Whether the frame goes on to the detector."""
        return self.reason is None

    @property
    def hints(self) -> tuple[str, ...]:
        """What makes counts from this frame uncertain, a line each."""
        return tuple(one.explanation for one in self.judgements if one.decision == "hint")
