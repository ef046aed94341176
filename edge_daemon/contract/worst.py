"""Where a reader looks first: the cells and the places of a slide, worst first.

Both lists are bounded; how many cells there are says the summary beside them. What a frame shows
is found by its number in the slide's FrameResults, the cell by its ``unique_id``.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from edge_daemon.contract.base import StrictModel
from edge_daemon.contract.envelope import Count
from edge_daemon.contract.findings import Pixel, Probability, StagePoint

MOST_WORST = 20
"""A summary lists so many cells, and so many places."""

Suspicious: TypeAlias = Literal["blast", "uncertain"]
"""What is said of a nucleated cell that was not cleared."""


class WorstCell(StrictModel):
    """A unique cell that was not cleared, and the frame that shows it best."""

    unique_id: Count
    label: Suspicious
    p_blast: Probability
    """Calibrated probability of a leukaemic blast, 0 to 1."""
    frame: Count | None
    """Number of the frame that shows it best; null where that was not written down."""
    box: tuple[Pixel, Pixel, Pixel, Pixel]
    """``[x, y, width, height]`` in pixels of that frame, rounded to 0.1."""
    stage: StagePoint | None = None
    """Where the stage stood then; null without a stage."""

    @property
    def order(self) -> tuple[bool, float, int]:
        """Blasts before uncertain, then ``p_blast`` falling, then by number."""
        return self.label != "blast", -self.p_blast, self.unique_id


class SlidePlace(StrictModel):
    """Where a frame lies on its slide, as far as that is known by now."""

    field: Count
    """As in the FrameResult: fields never overlap."""
    piece: Count
    """Of the field; how pieces lie to each other is not known. Pieces may join later, so this can
    be another than in the FrameResult, and so can the corner."""
    x: Pixel
    """Upper left corner, in pixels of the piece."""
    y: Pixel


class WorstField(StrictModel):
    """A place on the slide, and the cells of it: each where it is seen best, so in one place only.

    Frames that share most of their area show one place; then the one with most of its cells is
    named.
    """

    frame: Count | None
    """Number of a frame that shows it; null where that was not written down."""
    blasts: Count
    uncertain: Count
    nucleated: Count
    """All nucleated cells of this place, normal ones too."""
    place: SlidePlace
    """Of that frame."""
    stage: StagePoint | None = None
    """Where the stage stood then; null without a stage."""

    @model_validator(mode="after")
    def _has_a_reason_to_be_listed(self) -> WorstField:
        if not 0 < self.blasts + self.uncertain <= self.nucleated:
            raise ValueError("lists no cell that was not cleared, or more of them than cells")
        return self

    @property
    def order(self) -> tuple[int, int, int, float]:
        """Rises from the worst on: see :func:`field_order`."""
        return field_order(self.blasts, self.uncertain, self.nucleated, self.frame)


def field_order(
    blasts: int, uncertain: int, nucleated: int, frame: int | None
) -> tuple[int, int, int, float]:
    """Most blasts first, then most uncertain, then the larger share of the cells, then by frame.

    With blasts and uncertain alike, fewer nucleated cells are the larger share.
    """
    return -blasts, -uncertain, nucleated, float("inf") if frame is None else frame


def _cells_in_order(cells: tuple[WorstCell, ...]) -> tuple[WorstCell, ...]:
    orders = [cell.order for cell in cells]
    if orders != sorted(orders):
        raise ValueError("not sorted worst first: blasts, then uncertain; p_blast falling")
    if len({cell.unique_id for cell in cells}) < len(cells):
        raise ValueError("a cell is listed twice")
    return cells


def _fields_in_order(fields: tuple[WorstField, ...]) -> tuple[WorstField, ...]:
    orders = [one.order for one in fields]
    if orders != sorted(orders):
        raise ValueError("not sorted worst first: by blasts, then uncertain, then share")
    frames = [one.frame for one in fields if one.frame is not None]
    if len(set(frames)) < len(frames):
        raise ValueError("a frame is listed twice")
    return fields


WorstCells: TypeAlias = Annotated[
    tuple[WorstCell, ...], Field(max_length=MOST_WORST), AfterValidator(_cells_in_order)
]
WorstFields: TypeAlias = Annotated[
    tuple[WorstField, ...], Field(max_length=MOST_WORST), AfterValidator(_fields_in_order)
]
