"""Folds on disk: which groups are in which, for exactly these cells."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from edge_daemon.contract.base import Digest, StrictModel
from edge_daemon.errors import DataError
from trainer.data.cnmc import CellRecord
from trainer.data.splits import Folds
from trainer.whole_files import write_json


class FoldGroups(StrictModel):
    """One fold."""

    groups: tuple[str, ...] = Field(min_length=1)
    cells: dict[str, int]
    """Cells of each class."""


class FoldFile(StrictModel):
    """Folds as they are written and read."""

    format: Literal[1] = 1
    seed: int
    cells: Digest
    """Of the cells, labels and groups that were divided."""
    folds: tuple[FoldGroups, ...] = Field(min_length=2)


def write_folds(folds: Folds, path: Path) -> FoldFile:
    """Write ``folds`` as JSON, whole or not at all, and give back what was written."""
    document = FoldFile(
        seed=folds.seed,
        cells=_digest([cell for part in folds.parts for cell in part]),
        folds=tuple(
            FoldGroups(
                groups=tuple(sorted({cell.group for cell in part})),
                cells=dict(sorted(Counter(cell.label for cell in part).items())),
            )
            for part in folds.parts
        ),
    )
    write_json(document.model_dump(mode="json"), path)
    return document


def read_folds(path: Path, records: Sequence[CellRecord]) -> Folds:
    """The folds of ``records`` as ``path`` has them.

    Raises :class:`DataError` when the file cannot be read, was made for other cells, labels or
    groups, or has a group in two folds.
    """
    try:
        document = FoldFile.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}): write it with data split") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{path}: {field}: {first['msg']}; write it with data split") from None
    if document.cells != _digest(records):
        raise DataError(f"{path}: was made for other cells or groups: write it with data split")
    parts = tuple(
        tuple(cell for cell in records if cell.group in set(fold.groups)) for fold in document.folds
    )
    if sum(map(len, parts)) < len(records):
        raise DataError(f"{path}: leaves out a group: write it with data split")
    return Folds(parts, document.seed)


def _digest(records: Sequence[CellRecord]) -> str:
    lines = sorted(f"{one.original_sha256} {one.group} {one.label}" for one in records)
    return f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"
