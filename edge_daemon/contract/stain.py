"""What a stain looks like: the reference that colours of a frame are held against.

It comes with a bundle (the frames its networks were taught on) or from ``leuko-edge calibrate
stain`` (this microscope, this laboratory's stain).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge_daemon.contract.base import StrictModel


class StainColour(StrictModel):
    """The colour of one thing in many frames, in CIELAB (D65) of sRGB."""

    lab: tuple[
        Annotated[float, Field(ge=0.0, le=100.0)],
        Annotated[float, Field(ge=-128.0, le=128.0)],
        Annotated[float, Field(ge=-128.0, le=128.0)],
    ]
    """Mean over frames of the median of each."""
    spread: Annotated[float, Field(ge=0.0)]
    """Root mean square distance (delta E, CIE 1976) of the frames from that mean."""


class StainReference(StrictModel):
    """Colours of glass, red cells and nuclei."""

    glass: StainColour
    red_cells: StainColour
    nuclei: StainColour | None = None
    """None where too few frames showed any."""
    frames: Annotated[int, Field(ge=1)]
