"""The bodies of results: cells and quality of one frame, counts and verdict of one slide.

These are the values inside :mod:`edge_daemon.contract.messages`. Contradictions cannot be built:
a red cell has no blast probability, frames by outcome add up to the frames captured, a blast
fraction always stands beside the counts it was computed from.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from edge_daemon.contract.base import Fraction, StrictModel
from edge_daemon.contract.envelope import Count
from edge_daemon.contract.terms import CellKind, CellLabel, Tie

Pixel: TypeAlias = Annotated[float, AfterValidator(lambda value: round(value, 1))]
Probability: TypeAlias = Annotated[Fraction, AfterValidator(lambda value: round(value, 6))]
StageName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Milliseconds: TypeAlias = Annotated[
    float, Field(ge=0.0), AfterValidator(lambda value: round(value, 3))
]

ScaleOrigin: TypeAlias = Literal["configured", "estimated", "unknown"]
"""How um per pixel is known: from the configuration, from the red cells in view, or not at all."""


def _absent(value: object) -> bool:
    return value is None


def _nucleated_cells_only(schema: dict[str, Any]) -> None:
    """Say in the JSON Schema too which fields belong to which kind of cell."""
    schema["if"] = {"properties": {"kind": {"const": "wbc"}}}
    schema["then"] = {"required": ["p_blast", "label"]}
    schema["else"] = {"properties": {"p_blast": False, "label": False, "unique_id": False}}


class CellResult(StrictModel, json_schema_extra=_nucleated_cells_only):
    """One detection in one frame."""

    id: Count
    """Number of the detection within its frame."""
    box: tuple[Pixel, Pixel, Pixel, Pixel]
    """``[x, y, width, height]`` in pixels of the captured frame, rounded to 0.1."""
    kind: CellKind
    """Nucleated (white) cell, red cell or platelet."""
    score: Probability
    """Confidence of the detector, 0 to 1."""
    p_blast: Probability | None = Field(default=None, exclude_if=_absent)
    """Calibrated probability of a leukaemic blast; nucleated cells (``wbc``) only, always."""
    label: CellLabel | None = Field(default=None, exclude_if=_absent)
    """What that probability says under the bundle's thresholds; nucleated cells only, always."""
    unique_id: Count | None = Field(default=None, exclude_if=_absent)
    """Number of the cell on the slide, the same in every frame that shows it; ``wbc`` only."""

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> CellResult:
        if self.box[2] <= 0 or self.box[3] <= 0:
            raise ValueError("box has no area")
        if self.kind == "wbc":
            if self.p_blast is None or self.label is None:
                raise ValueError("a wbc needs p_blast and label")
        elif self.p_blast is not None or self.label is not None or self.unique_id is not None:
            raise ValueError(f"p_blast, label and unique_id belong to wbc, not to {self.kind}")
        return self


class CellCounts(StrictModel):
    """Number of cells of each kind."""

    wbc: Count = 0
    rbc: Count = 0
    platelet: Count = 0

    @classmethod
    def of(cls, cells: Iterable[CellResult]) -> CellCounts:
        """Count the cells of a frame by kind."""
        kinds = [cell.kind for cell in cells]
        count = kinds.count
        return cls(wbc=count("wbc"), rbc=count("rbc"), platelet=count("platelet"))


class Opinion(StrictModel):
    """What one network says of one nucleated cell."""

    p_blast: Probability
    """Calibrated probability of a leukaemic blast, 0 to 1."""
    label: CellLabel
    """What that probability says under the thresholds of this network."""


class OpinionCounts(StrictModel):
    """How the second opinion on a slide stands; a cell is asked about once."""

    wanted: Count = 0
    """Unique cells that the classifier called a blast or uncertain in a view of the whole cell; at
    the end also those that no view shows whole."""
    answered: Count = 0
    agreed: Count = 0
    """Answers with the label that the classifier gave."""
    skipped: Count = 0
    """Cells without a second opinion for good: no scale, never seen whole, too many at once, or a
    failure."""

    @model_validator(mode="after")
    def _adds_up(self) -> OpinionCounts:
        if self.answered + self.skipped > self.wanted:
            raise ValueError("more cells answered and skipped than wanted")
        if self.agreed > self.answered:
            raise ValueError("more answers agree than were given")
        return self


class FrameQuality(StrictModel):
    """What the quality gate measured; a value it did not get to is null."""

    focus: Annotated[float, Field(ge=0.0)] | None = None
    """Sharpness, higher is sharper; unit and threshold are those of the configured gate."""
    exposure: Fraction | None = None
    """Mean brightness of the frame, 0 black to 1 white."""
    clipped_fraction: Fraction | None = None
    """Share of pixels that are fully black or fully white."""
    foreground_fraction: Fraction | None = None
    """Share of the frame covered by cells rather than empty glass."""
    evenness: Fraction | None = None
    """Sharpness of the bluntest direction over that across it: 1 is even, motion lowers it."""
    stain_shift: Annotated[float, Field(ge=0.0)] | None = None
    """Distance of the colours from the reference, in tolerances of it: up to 1 is alike; null
    also where there is no reference."""
    overlap_fraction: Fraction | None = None
    """Share of red cells that lie on another one; null for too few to say."""
    hints: tuple[str, ...] = ()
    """Why counts from this frame are uncertain though it was analysed, a line each."""
    calibrated: bool = False
    """The frame was corrected by a calibration of this microscope before it was judged."""


class StagePoint(StrictModel):
    """Where the stage stood: top left corner of the field, in um."""

    x_um: float
    y_um: float
    z_um: float = 0.0


class FramePlace(StrictModel):
    """Where a frame lies on its slide, as far as that is known."""

    piece: Count
    """Frames of one piece are tied to each other; how pieces lie to each other is not known."""
    x: Pixel
    """Upper left corner, in pixels of the piece."""
    y: Pixel
    tie: Tie
    """How it is known: first of its field, by the stage alone, by the picture, or ``lost``: tied to
    nothing seen before, so it begins a piece of its own."""


class FrameCounts(StrictModel):
    """How the frames of a slide ended; every captured frame is in exactly one of the others."""

    captured: Count = 0
    analysed: Count = 0
    rejected: Count = 0
    dropped: Count = 0
    failed: Count = 0

    @model_validator(mode="after")
    def _adds_up(self) -> FrameCounts:
        ended = self.analysed + self.rejected + self.dropped + self.failed
        if self.captured != ended:
            raise ValueError(f"{self.captured} frames captured but {ended} have an outcome")
        return self


class BlastFraction(StrictModel):
    """Blasts per nucleated cell of a slide, with its exact interval (Clopper and Pearson 1934)."""

    estimate: Fraction
    low: Fraction
    high: Fraction
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Coverage of ``[low, high]``, for example 0.95."""

    @model_validator(mode="after")
    def _interval_holds_the_estimate(self) -> BlastFraction:
        if not self.low <= self.estimate <= self.high:
            raise ValueError("blast fraction lies outside its own interval")
        return self


class Latency(StrictModel):
    """Percentiles of the time one stage of the pipeline takes, in milliseconds."""

    p50_ms: Milliseconds
    p95_ms: Milliseconds
    p99_ms: Milliseconds


class OutboxDepth(StrictModel):
    """What waits on the device for the broker or the receipt, and what had to be given up."""

    messages: Count
    size_bytes: Count
    refused: Count = 0
    """Messages among them that the broker will not take: kept, and offered again."""
    evicted: Count = 0
    """Messages given up so far because the outbox was over its budget."""


class Clock(StrictModel):
    """How far the device's clock, which times every record, can be trusted."""

    synchronised: bool | None = None
    """Set by a time server; null when the system does not tell."""
    offset_ms: float | None = None
    """What the kernel is still correcting; null when it is not known."""
    max_error_ms: Annotated[float, Field(ge=0.0)] | None = None
    """The kernel's own bound on the error; grows while no time server is heard."""
    told_by: Literal["kernel", "timesyncd", "nobody"] = "nobody"
    """Where this was read."""
