"""What a frame must have: the settings ``[quality]`` of a device."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class QualityThresholds(BaseModel):
    """What a frame must have to be analysed. Looser values let more frames through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_side_px: int = Field(default=96, ge=16, description="a red cell and some room around it")
    min_focus: float = Field(default=8.5, ge=0, description="see Quality.focus")
    min_exposure: float = Field(default=0.40, ge=0, le=1, description="mean brightness")
    max_exposure: float = Field(default=0.92, ge=0, le=1, description="mean brightness")
    max_clipped_fraction: float = Field(default=0.05, ge=0, le=1, description="black or white")
    min_foreground_fraction: float = Field(default=0.01, ge=0, le=1, description="cells")
    min_evenness: float = Field(default=0.60, ge=0, le=1, description="see Quality.evenness")
    thin_foreground_fraction: float = Field(
        default=0.05, ge=0, le=1, description="cells; below it a hint: too thin for counting"
    )
    thick_foreground_fraction: float = Field(
        default=0.78, ge=0, le=1, description="cells; above it a hint: too dense for counting"
    )
    max_overlap_fraction: float = Field(
        default=0.50, ge=0, le=1, description="red cells on each other; above it a hint"
    )
    max_stain_shift: float = Field(
        default=1.0, ge=0, description="in tolerances of the reference; above it a hint"
    )
