"""What became of a control: known cells screened again, and held against what was accepted."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from edge_daemon.contract.base import Digest, Fraction, Name, StrictModel, UtcTime
from edge_daemon.contract.envelope import Count, FromDevice, Reason
from edge_daemon.contract.findings import BlastFraction, CellCounts, FrameCounts

ControlKind: TypeAlias = Literal["stored", "slide"]
"""Pictures kept on the device, or a slide under the microscope."""


class ControlFigures(StrictModel):
    """What a control came to; medians are over the frames that the quality gate measured."""

    frames: FrameCounts
    cells: CellCounts
    """Unique cells by kind."""
    nucleated_cells: Count
    blasts: Count
    uncertain: Count
    blast_fraction: BlastFraction | None
    """Null exactly when no nucleated cell was counted."""
    saturated_frames: Count = 0
    coverage_mm2: Annotated[float, Field(ge=0.0)] | None = None
    """Area that was analysed; null when the scale is unknown."""
    um_per_px: Annotated[float, Field(gt=0.0)] | None = None
    """Median over the analysed frames; null when it is unknown."""
    focus: Annotated[float, Field(ge=0.0)] | None = None
    exposure: Fraction | None = None
    stain_shift: Annotated[float, Field(ge=0.0)] | None = None
    decisions: Digest
    """SHA-256 over the outcome of every frame, and kind, label and number of every cell in it."""

    @model_validator(mode="after")
    def _adds_up(self) -> ControlFigures:
        if self.blasts + self.uncertain > self.nucleated_cells:
            raise ValueError("more blasts and uncertain cells than nucleated cells")
        if (self.blast_fraction is None) != (self.nucleated_cells == 0):
            raise ValueError("blast_fraction is null exactly when nucleated_cells is 0")
        return self


class ControlRun(FromDevice):
    """A control was run: what was expected of it, what was found, and whether that is the same.

    It speaks of the device and of no patient.
    """

    schema_id: Literal["leukoedge.control/1"] = Field(default="leukoedge.control/1", alias="schema")
    run: Annotated[int, Field(ge=1)]
    """Number of the run on this device."""
    kind: ControlKind
    source: Annotated[str, Field(min_length=1, max_length=1024)]
    """What was looked at."""
    slide: Name | None = None
    """Under which name a control slide was screened; null of a stored control."""
    began_at: UtcTime
    ended_at: UtcTime
    engines: str
    """Bundle and engines in words."""
    setup: Digest
    """Of everything else that decides a result: configuration, calibration, version."""
    pictures: Digest | None = None
    """SHA-256 over the pictures of a stored control, in order."""
    expectation: Digest | None = None
    """Of the expected result it was held against; null where there is none."""
    expected: ControlFigures | None = None
    found: ControlFigures | None = None
    """Null where it could not be run to its end."""
    verdict: Literal["passed", "failed"]
    reasons: Annotated[tuple[Reason, ...], Field(min_length=1)]
    """Why it failed, or how it was compared, in sentences for the operator."""

    @model_validator(mode="after")
    def _a_pass_was_compared(self) -> ControlRun:
        if (self.expectation is None) != (self.expected is None):
            raise ValueError("expected is null exactly when expectation is")
        if self.verdict == "passed" and (self.found is None or self.expected is None):
            raise ValueError("a control that passed has been compared with what is expected")
        return self
