"""What is said of a slide: its frames, where it stands, and its suspicious cells."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edge_daemon.contract.base import Name, UtcTime
from edge_daemon.contract.envelope import Count, FromDevice, Reason
from edge_daemon.contract.findings import (
    BlastFraction,
    CellCounts,
    CellResult,
    FrameCounts,
    FramePlace,
    FrameQuality,
    Milliseconds,
    Opinion,
    OpinionCounts,
    Probability,
    ScaleOrigin,
    StageName,
    StagePoint,
)
from edge_daemon.contract.terms import COMPLETE, CellLabel, Completion, Disposition, Outcome
from edge_daemon.contract.worst import WorstCells, WorstFields


def _outcome_decides(schema: dict[str, Any]) -> None:
    """Say in the JSON Schema too what an outcome allows."""
    schema["if"] = {"properties": {"outcome": {"const": "analysed"}}}
    schema["then"] = {
        "properties": {
            "reason": {"type": "null"},
            "width": {"type": "integer"},
            "height": {"type": "integer"},
        }
    }
    schema["else"] = {
        "properties": {
            "reason": {"type": "string"},
            "saturated": {"const": False},
            "cells": {"maxItems": 0},
        }
    }


class FrameResult(FromDevice, json_schema_extra=_outcome_decides):
    """What became of one captured frame, and the cells in it."""

    schema_id: Literal["leukoedge.frame/1"] = Field(default="leukoedge.frame/1", alias="schema")
    slide: Name
    frame: Count
    """Number of the captured frame on its slide, from 0."""
    field: Count = 0
    """Frames of one field show the same place; fields never overlap."""
    source: Annotated[str, Field(min_length=1, max_length=1024)]
    """Where the picture came from: file name, camera, ``sim://...``."""
    captured_at: UtcTime
    """When the camera took it, or the file was read."""
    outcome: Outcome
    reason: Reason | None = None
    """One line for the operator; present exactly when the frame was not analysed."""
    quality: FrameQuality | None = None
    """What the quality gate measured; null when it did not come to that."""
    stage: StagePoint | None = None
    """Where the stage stood; null without a stage."""
    timings_ms: dict[StageName, Milliseconds] = Field(default_factory=dict)
    """Time each stage of the pipeline took, in milliseconds."""
    width: Annotated[int, Field(gt=0)] | None = None
    """Width of the captured frame in pixels; null when it could not be read."""
    height: Annotated[int, Field(gt=0)] | None = None
    um_per_px: Annotated[float, Field(gt=0.0)] | None = None
    """Size of a pixel in the smear, in um; null when it is unknown."""
    um_per_px_from: ScaleOrigin = "unknown"
    """Given by the configuration, estimated from the red cells in view, or unknown."""
    place: FramePlace | None = None
    """Where it lies on the slide; null when it was not analysed."""
    saturated: bool = False
    """True when more cells were found than are reported: the counts are then lower bounds."""
    counts: CellCounts = CellCounts()
    cells: tuple[CellResult, ...] = ()
    control: bool = False
    """True on a control slide: it shows no patient's cells."""

    @model_validator(mode="after")
    def _agrees_with_its_outcome(self) -> FrameResult:
        if (self.um_per_px is None) != (self.um_per_px_from == "unknown"):
            raise ValueError("um_per_px is null exactly when um_per_px_from is unknown")
        if self.counts != CellCounts.of(self.cells):
            raise ValueError("counts differ from the cells listed")
        if self.outcome == "analysed":
            if self.reason is not None:
                raise ValueError("an analysed frame has no reason")
            if self.width is None or self.height is None:
                raise ValueError("an analysed frame has a width and a height")
        elif self.reason is None:
            raise ValueError(f"a {self.outcome} frame needs a reason")
        elif self.cells or self.saturated or self.place is not None:
            raise ValueError(f"a {self.outcome} frame has no cells")
        return self


class SlideSummary(FromDevice):
    """Where a slide stands: what was looked at, what was counted, and what that says."""

    schema_id: Literal["leukoedge.summary/1"] = Field(default="leukoedge.summary/1", alias="schema")
    slide: Name
    frames: FrameCounts
    unique_cells: CellCounts
    """Cells on the slide, each counted once however many frames show it."""
    nucleated_cells: Count
    """Unique nucleated cells that were classified: the denominator of the blast fraction."""
    blasts: Count
    uncertain: Count
    """Cells inside the abstain band: neither blast nor normal."""
    blast_fraction: BlastFraction | None
    """Null exactly when no nucleated cell was counted."""
    saturated_frames: Count = 0
    """Frames with more cells than were reported; above zero, the counts are lower bounds."""
    second_opinions: OpinionCounts | None = None
    """How the second opinion stands; null where the bundle has none or it is switched off."""
    coverage_mm2: Annotated[float, Field(ge=0.0)] | None = None
    """Area of the smear that was analysed, overlap counted once; null when the scale is unknown."""
    disposition: Disposition
    reasons: Annotated[tuple[Reason, ...], Field(min_length=1)]
    """Why this disposition, in sentences for the operator."""
    more_cells_wanted: Count | None = None
    """Further nucleated cells until there is an answer, if the shares stay the same; 0 when there
    is one; null when counting more will not give one: a reader decides."""
    started_at: UtcTime
    ended_at: UtcTime | None = None
    complete: bool = False
    """True when the operator was done or the source came to its end; false while it runs, and when
    it was cut short."""
    completion: Completion | None = None
    """Why it ended; present exactly when it has."""
    paused: bool = False
    operator: Name | None = None
    """Pseudonym of who is at the microscope."""
    objective: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    camera: Reason | None = Field(default=None, exclude_if=lambda value: value is None)
    """What takes the frames, and how it is set, as it read back: size, exposure, gain, white
    balance. Left out where nobody said it."""
    position_lost: Count = 0
    """Frames that could be tied to nothing seen before: cells there may be counted twice."""
    revisits: Count = 0
    """Times that the view came back to a place it had left; cells there are counted once."""
    control: bool = False
    """True of a control slide: it says something of the device and nothing of a patient."""
    worst_cells: WorstCells = ()
    """Where to look first: unique cells that were not cleared, at most 20. Blasts before uncertain
    ones, then ``p_blast`` falling, then by number."""
    worst_fields: WorstFields = ()
    """Places that hold most of such cells, at most 20, each cell in the one place where it is seen
    best. Most blasts first, then most uncertain, then the larger share of the nucleated cells."""

    @model_validator(mode="after")
    def _adds_up(self) -> SlideSummary:
        if self.blasts + self.uncertain > self.nucleated_cells:
            raise ValueError("more blasts and uncertain cells than nucleated cells")
        if self.nucleated_cells > self.unique_cells.wbc:
            raise ValueError("more nucleated cells classified than unique wbc counted")
        if self.saturated_frames > self.frames.analysed:
            raise ValueError("more saturated frames than analysed frames")
        if (self.blast_fraction is None) != (self.nucleated_cells == 0):
            raise ValueError("blast_fraction is null exactly when nucleated_cells is 0")
        if self.blast_fraction is not None:
            fraction = self.blasts / self.nucleated_cells
            if abs(self.blast_fraction.estimate - fraction) > 1e-3:
                raise ValueError(f"blast_fraction is not blasts / nucleated_cells ({fraction:.4f})")
        for label, counted in (("blast", self.blasts), ("uncertain", self.uncertain)):
            if sum(cell.label == label for cell in self.worst_cells) > counted:
                raise ValueError(f"worst_cells lists more {label} cells than were counted")
        if sum(one.blasts for one in self.worst_fields) > self.blasts:
            raise ValueError("worst_fields lists more blasts than were counted")
        if sum(one.nucleated for one in self.worst_fields) > self.nucleated_cells:
            raise ValueError("worst_fields lists more nucleated cells than were counted")
        if (self.completion is None) != (self.ended_at is None):
            raise ValueError("completion is null exactly when ended_at is")
        if self.complete != (self.completion in COMPLETE):
            raise ValueError(f"complete is {self.complete} of a slide that is {self.completion}")
        if self.ended_at is not None and self.ended_at < self.started_at:
            raise ValueError("the slide ended before it started")
        return self


class Crop(FromDevice):
    """What a picture of a suspicious cell shows.

    The payload on MQTT is the JPEG itself; this model travels beside it as the MQTT 5 user
    property ``about``. MQTT 3.1.1 has no user properties: there it is the JPEG's first comment.
    """

    schema_id: Literal["leukoedge.crop/1"] = Field(default="leukoedge.crop/1", alias="schema")
    slide: Name
    frame: Count
    unique_id: Count
    p_blast: Probability
    label: CellLabel
    um_per_px: Annotated[float, Field(gt=0.0)] | None = None


class SecondOpinion(FromDevice):
    """What a larger network says of a cell that the classifier did not clear, beside its own word.

    It comes after the frame's result, which does not wait for it, and changes no count: where the
    two differ, a reader looks.
    """

    schema_id: Literal["leukoedge.opinion/1"] = Field(default="leukoedge.opinion/1", alias="schema")
    slide: Name
    frame: Count
    """The frame that shows the cell as it was asked about."""
    unique_id: Count
    first: Opinion
    """The classifier's, as in the frame's result."""
    second: Opinion
