"""From all decisions about a cell to the one that stands; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

Label: TypeAlias = Literal["blast", "normal", "uncertain", "not_a_cell"]
"""What a person may say of a cell that was found."""
LABELS: tuple[Label, ...] = get_args(Label)

DECISIONS = ("confirm", "override")
"""Kinds of row that say what a cell is: as the model said, or something else."""


@dataclass(frozen=True)
class Decision:
    """One row about a cell."""

    number: int
    at: datetime
    user: str
    kind: str
    unique_id: int
    label: str | None
    was: str | None
    reason: str | None
    undoes: int | None

    @classmethod
    def of(cls, row: Any) -> Decision:
        """From a row of ``reviews``."""
        undoes = json.loads(row.document).get("undoes") if row.kind == "undo" else None
        return cls(
            row.id,
            row.at,
            row.user_name,
            row.kind,
            row.unique_id,
            row.label,
            row.was,
            row.reason,
            undoes,
        )


def standing(decisions: Iterable[Decision]) -> Decision | None:
    """The last decision about one cell that nobody took back; ``decisions`` in their order."""
    stack: list[Decision] = []
    for one in decisions:
        if one.kind in DECISIONS:
            stack.append(one)
        elif one.kind == "undo":
            stack = [other for other in stack if other.number != one.undoes]
    return stack[-1] if stack else None
