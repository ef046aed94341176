"""One look for each model throughout the report: a colour, a line and a mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.area_baseline import NAME
from trainer.report.svg import GREY, OKABE_ITO

_LINES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
_MARKS = ("o", "s", "D", "^", "v", "P")


@dataclass(frozen=True)
class Look:
    """How a model is drawn; no two models differ by colour alone."""

    colour: str
    line: str | tuple[int, tuple[int, ...]]
    mark: str


def looks_of(models: Sequence[str]) -> dict[str, Look]:
    """A look for each of ``models``; the area of the cell is grey, whatever stands beside it."""
    looks = {}
    for n, name in enumerate(model for model in models if model != NAME):
        # With more models than colours, the second round of colours has the lines shifted by one.
        shifted = n + n // len(OKABE_ITO)
        looks[name] = Look(
            OKABE_ITO[n % len(OKABE_ITO)],
            _LINES[shifted % len(_LINES)],
            _MARKS[shifted % len(_MARKS)],
        )
    if NAME in models:
        looks[NAME] = Look(GREY, (0, (2, 2)), "x")
    return looks
