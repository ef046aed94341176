"""The control of a device: the ``[control]`` part of the configuration."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from edge_daemon.contract.base import Fraction, Name, StrictModel

_ENDLESS = frozenset({"camera", "csi", "genicam", "gst", "rtsp", "rtsps", "watch"})


class ControlTolerances(StrictModel):
    """How far a control may be off what is expected.

    Written into the expected result when a run is accepted; when they change here, a run has to be
    accepted again.
    """

    min_cells: int = Field(default=200, ge=1)
    """Fewer unique nucleated cells than this prove nothing. 200 is a manual differential count
    (CLSI H20-A2)."""
    count: Fraction = 0.10
    """Of a stored control: nucleated cells more or less, as a share of those expected."""
    density: float = Field(default=2.0, gt=1.0)
    """Of a control slide: nucleated cells in a mm2, at most so many times more or less."""
    blast_fraction: Fraction = 0.05
    """Difference of the blast fraction, 0.05 is 5 points."""
    uncertain_fraction: Fraction = 0.10
    """Difference of the share of uncertain cells."""
    significance: float = Field(default=0.003, gt=0.0, lt=0.5)
    """Of a control slide: a larger difference counts when chance alone would make it this rarely
    (Fisher's exact test); 0.003 is that of three standard deviations."""
    um_per_px: Fraction = 0.03
    """Difference of the scale, as a share of the one expected."""
    focus: Fraction = 0.30
    """The measure of focus may be so much lower, as a share of the one expected."""
    exposure: Fraction = 0.10
    """Difference of the mean brightness, of 1."""
    stain_shift: float = Field(default=0.5, ge=0.0)
    """The colours may be so much further from the reference, in tolerances of it."""


class ControlSettings(StrictModel):
    """Known cells that are screened again, to show that this device still sees what it saw."""

    source: str | None = Field(default=None, min_length=1)
    """A stored control: a recording, a folder of pictures, a video or ``sim://...``, read with
    ``um_per_px`` and ``scan`` of ``[source]``. The daemon runs it by itself, between slides."""
    slide: Name | None = None
    """A control slide: what it is called when it is begun under the microscope, as a slide of this
    name or with ``control = true``."""
    every_h: float = Field(default=24.0, gt=0.0, le=24.0 * 366)
    """How long a control that passed counts."""
    required: bool = False
    """No slide may begin until every control that is configured here has passed."""
    expected: Path = Path("control")
    """Folder of the expected results, ``stored.json`` and ``slide.json``: ``leuko-edge control
    accept`` writes them."""
    within_s: float = Field(default=600.0, gt=0.0, le=6 * 3600.0)
    """Longest that a stored control may take."""
    tolerances: ControlTolerances = ControlTolerances()

    @model_validator(mode="after")
    def _there_is_one(self) -> ControlSettings:
        if self.required and self.source is None and self.slide is None:
            raise ValueError("required needs a control: give source, slide or both")
        if self.source is not None and self.source.partition("://")[0] in _ENDLESS:
            raise ValueError(
                f"source {self.source[:80]!r} has no end: name stored pictures; for a control "
                "slide under the microscope give slide a name"
            )
        return self
