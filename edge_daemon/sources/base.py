"""The seam between the world and the pipeline: a source yields frames, and says what it is.

A source is a context manager and an iterator. It hands out every picture it captured, in order,
as a :class:`Frame`; a picture that could not be read is handed out too, as an
:class:`UnreadableFrame`, and one that a live view had to let go as a :class:`DroppedFrame`,
because a frame that vanishes without an outcome is the worst failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

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


@dataclass(frozen=True)
class DroppedFrame:
    """A frame that was captured but let go for a newer one; ``reason`` is one line.

    Only a camera with the back-pressure policy ``latest`` drops. The drop is handed out in its
    place in the order of capture, so that the ledger gives it the outcome ``dropped``.
    """

    index: int
    source: str
    captured_at: datetime
    reason: str
    field: int = 0


Captured: TypeAlias = Frame | UnreadableFrame | DroppedFrame
"""What a source hands out: for every index exactly one of these."""


class Source(Protocol):
    """Where frames come from. Iterating ends when the source is exhausted (a camera never is)."""

    @property
    def name(self) -> str:
        """What this source is, in one line for logs and messages."""

    @property
    def frame_count(self) -> int | None:
        """How many frames it will yield, or None when nobody can know (a camera)."""

    def __enter__(self) -> Self:
        """Open the device or file. Raises :class:`edge_daemon.errors.SourceError`."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Release the device or file."""

    def __iter__(self) -> Iterator[Captured]:
        """Frames in the order of capture, ``index`` counting from 0 without a gap.

        A source is used once: iterated outside ``with``, or a second time, it raises
        :class:`edge_daemon.errors.SourceError`, which also ends a source that stops too early
        (a camera that froze or was unplugged).
        """


EventKind: TypeAlias = Literal["opened", "lost", "back", "slow", "steady"]


@dataclass(frozen=True)
class SourceEvent:
    """Something that the operator must know of a source; ``line`` is one line that says it.

    ``opened`` tells what the camera took of its settings. ``lost`` and ``back`` come in turns, as
    do ``slow`` and ``steady``: one line when it happens, one when it is over.
    """

    at: datetime
    kind: EventKind
    line: str


OnEvent: TypeAlias = Callable[[SourceEvent], None]
"""Called from a thread of the source; it must not wait."""


@runtime_checkable
class LiveSource(Source, Protocol):
    """A source that goes on through trouble, until it is told to stop: a camera, a watched folder.

    Its iteration ends when the event that it was given as ``stop`` is set.
    """

    @property
    def trouble(self) -> str | None:
        """What is wrong with it at the moment, in one line, or None."""

    @property
    def description(self) -> str:
        """What it is and what it took of its settings, in one line."""


def description_of(source: Source) -> str:
    """What a source is, and its settings as it took them where it knows, in one line."""
    return str(getattr(source, "description", source.name))
