"""The seam between the world and the pipeline: a source yields frames, and says what it is.

A source is a context manager and an iterator. It hands out every picture it captured, in order,
as a :class:`Frame`; a picture that could not be read is handed out too, as an
:class:`UnreadableFrame`, because a frame that vanishes without an outcome is the worst failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""RGB picture, uint8 ``[height, width, 3]``."""


@dataclass(frozen=True)
class StagePosition:
    """Where the stage stood when the frame was taken: top left corner of the field, in um."""

    x_um: float
    y_um: float
    z_um: float = 0.0


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture from the camera.

    ``index`` counts captured frames of the source from 0, readable or not. ``source`` names where
    the picture came from (file name, camera, ``sim://...``). ``field`` names the field of view:
    frames of one field show the same place and are never stitched to another field's.
    """

    index: int
    source: str
    captured_at: datetime
    pixels: Pixels
    field: int = 0
    um_per_px: float | None = None
    stage: StagePosition | None = None


@dataclass(frozen=True)
class UnreadableFrame:
    """A frame that was announced but could not be read; ``reason`` is one line for the operator."""

    index: int
    source: str
    captured_at: datetime
    reason: str
    field: int = 0


class Source(Protocol):
    """Where frames come from. Iterating ends when the source is exhausted (a camera never is)."""

    @property
    def name(self) -> str:
        """What this source is, in one line for logs and messages."""

    @property
    def frame_count(self) -> int | None:
        """How many frames it will yield, or None when nobody can know (a camera)."""

    def __enter__(self) -> Source:
        """Open the device or file. Raises :class:`edge_daemon.errors.SourceError`."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the device or file."""

    def __iter__(self) -> Iterator[Frame | UnreadableFrame]:
        """Frames in the order of capture."""
