"""The fixed vocabulary of results: kinds of cell, labels, outcomes, dispositions.

Every room, every message and every picture uses these words and no others. The order of
``KINDS`` is the order of the detector's class channels; the order of ``CLASSES`` is the order of
the classifier's logits.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

CellKind: TypeAlias = Literal["wbc", "rbc", "platelet"]
"""What the detector finds: a nucleated (white) cell, a red cell or a platelet."""

CellClass: TypeAlias = Literal["normal", "blast"]
"""What the classifier tells apart among the nucleated cells."""

CellLabel: TypeAlias = Literal["blast", "normal", "uncertain"]
"""What is said about a nucleated cell: its class, or ``uncertain`` inside the abstain band."""

Completion: TypeAlias = Literal[
    "finished",
    "source_ended",
    "aborted",
    "stopped",
    "interrupted",
    "bundle_changed",
    "source_failed",
    "device_lost",
]
"""Why a slide ended: the operator was done; the source had no more; the operator threw it away; the
daemon was stopped; it was cut off and could not be taken up again; the models are others than those
it began with; the source broke; the accelerator broke. The first two are complete."""
COMPLETE: tuple[Completion, ...] = ("finished", "source_ended")

Tie: TypeAlias = Literal["first", "stage", "image", "lost"]
"""How a frame was placed: first of its field, by the stage alone, by the picture, or not at all."""

Outcome: TypeAlias = Literal["analysed", "rejected", "dropped", "failed"]
"""How the way of a frame ended; every captured frame has exactly one."""

Disposition: TypeAlias = Literal["insufficient", "negative", "review", "positive"]
"""What a slide's counts say to a human reader, from the configured thresholds."""

KINDS: tuple[CellKind, ...] = get_args(CellKind)
CLASSES: tuple[CellClass, ...] = get_args(CellClass)
LABELS: tuple[CellLabel, ...] = get_args(CellLabel)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

RED_CELL_DIAMETER_UM = 7.5
"""Mean diameter of a normal red cell on a dried, stained film, in um: the ruler inside every
smear (7.2 um is the usual textbook mean; dried films and boxes drawn around cells measure
slightly more)."""
