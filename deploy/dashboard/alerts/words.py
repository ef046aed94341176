"""What an alert is: its kinds, its levels, and from where on something is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal[
    "positive",  # a slide is positive and nobody has signed it
    "device",  # silent, offline or degraded
    "gaps",  # results that were issued have not arrived
    "control",  # a control failed, or is due
    "scores",  # a device calls more cells, or fewer, blasts or uncertain than it used to
    "stain",  # the stain is another one than it used to be
    "disk",  # of a device, or of the central side
    "ingest",  # nobody takes in messages: everything else is of then
    "channel",  # alerts do not reach a webhook or the broker
]
KINDS: tuple[Kind, ...] = get_args(Kind)

Level: TypeAlias = Literal["info", "warning", "urgent"]
LEVELS: tuple[Level, ...] = get_args(Level)

Event: TypeAlias = Literal["raised", "worse", "better", "acknowledged", "cleared"]


@dataclass(frozen=True)
class Finding:
    """Something that is so now. ``kind`` and ``subject`` say which alert it is.

    ``line`` holds figures, names of devices and slides, and nothing that a device wrote for people:
    it leaves the laboratory by webhook, and a device's sentence may name a patient's file
    (decisions 30 and 36).
    """

    kind: Kind
    subject: str
    level: Level
    line: str
    device_id: int | None = None
    slide_id: int | None = None


@dataclass(frozen=True)
class Limits:
    """From where on something is told."""

    positive_days: float = 30.0
    """Slides that were heard of before that raise nothing; what was raised stays."""
    gap_after_s: float = 120.0
    """Results may be on their way for so long."""
    disk_low_bytes: int = 2_000_000_000
    disk_full_bytes: int = 500_000_000
    disk_enough: float = 1.2
    """It is over when so many times the limit are free again: figures at a limit come and go."""
    settle_s: float = 20.0
    """A device that came back has to stay for so long, or each flicker is another alert."""
    channel_tries: int = 5
    recent_slides: int = 12
    """The newest slides of a device, which are held against those before them."""
    past_slides: int = 120
    least_past: int = 24
    least_cells: int = 50
    """Nucleated cells of a slide whose share says something."""
    drift_p: float = 0.001
    scores_by: float = 0.05
    """And the medians have to differ by so much: of a share of cells, 0 to 1."""
    stain_by: float = 0.3
    """Of the distance from the reference, where 1 is another stain."""


DEFAULT = Limits()
