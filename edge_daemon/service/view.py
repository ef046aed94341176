"""The seam between the daemon and whoever looks at it from outside: read-only, from any thread.

The HTTP interface knows a :class:`DeviceView` and nothing else of the daemon, so that it can be
tested without one, and so that no request can touch the frame loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.messages import Command, CommandReply, FrameResult, Health, SlideSummary
from edge_daemon.contract.shadow import ShadowReport
from edge_daemon.service.advice import Advice
from edge_daemon.vision.coverage import Coverage

Execute: TypeAlias = Callable[[Command], CommandReply]
"""Carries out a command, or says why not. Called in a thread of its own; raises a
:class:`edge_daemon.errors.LeukoError` for what the sender can do something about."""


@dataclass(frozen=True)
class Standing:
    """Yes or no, with the reasons for no; ``notes`` are worth knowing and change nothing."""

    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when nothing speaks against it."""
        return not self.reasons


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame that can be shown: its pixels and what was found in it."""

    number: int
    """Rises with each frame; the same number is the same picture."""
    result: FrameResult | None
    """None of a frame that belongs to no slide."""
    pixels: npt.NDArray[np.uint8]
    """RGB ``[h, w, 3]``; nobody writes into it."""
    since_s: float
    """When it became the newest, by the monotonic clock."""


class DeviceView(Protocol):
    """What can be seen of a running device. Every method returns at once."""

    def liveness(self) -> Standing:
        """Whether the pipeline gets on; if not, only a new start helps."""

    def readiness(self) -> Standing:
        """Whether a slide may be screened now and its result be trusted."""

    def health(self) -> Health | None:
        """The last health message; None before the first."""

    def slide(self) -> SlideSummary | None:
        """Where the current slide stands; None while there is none."""

    def shadow(self) -> ShadowReport | None:
        """How a candidate bundle stands on the current slide; None while none looks on."""

    def coverage(self) -> Coverage | None:
        """Which part of the slide was seen, a few seconds old at most; None while not known."""

    def newest(self) -> Shown | None:
        """The newest frame with a picture; None before the first."""

    def advice(self) -> Advice:
        """What the operator should do next."""
