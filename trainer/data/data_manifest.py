"""What a network was trained on, by name, count and digest: a run and a bundle carry it.

The same data give the same manifest on every machine and in every folder; a picture, a label, a
box, a group or a split that changes, changes a digest. Counts are what was found, never what a
publication says there should be.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from edge_daemon.contract.base import Digest, StrictModel
from edge_daemon.errors import DataError
from trainer.data.all_idb import BlastFrame
from trainer.data.cnmc import CellRecord, digest_of
from trainer.data.fields import FieldRecord, FieldSet

DATA_JSON = "data.json"
"""Its name in an imported set, a run and a bundle."""

Layout = Literal["cnmc", "cnmc-compact", "voc", "yolo", "coco", "all-idb1"]
FieldLayout = Literal["voc", "yolo", "coco"]
Count = Annotated[int, Field(ge=0)]


class SetManifest(StrictModel):
    """One set, or one split of one."""

    name: str = Field(min_length=1)
    layout: Layout
    counts: dict[str, Count]
    """How many of what was found: pictures, groups, cells by class or boxes by kind."""
    digest: Digest
    """Over the sorted digests of all pictures with what is said about each."""


class DataManifest(StrictModel):
    """All sets of one training or one import."""

    format: Literal[1] = 1
    sets: tuple[SetManifest, ...]

    @property
    def digest(self) -> str:
        """Names these very data, whatever the order of the sets."""
        return _digest(f"{one.name} {one.layout} {one.digest}" for one in self.sets)

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        from trainer.whole_files import write_json

        write_json(self.model_dump(mode="json"), path)

    @classmethod
    def read(cls, path: Path) -> DataManifest:
        """What :meth:`write` wrote. Raises :class:`DataError` naming file and field."""
        from pydantic import ValidationError

        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read ({error}): import the set again") from None
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the file"
            raise DataError(f"{path}: {field}: {first['msg']}; import the set again") from None


def manifest_of_cells(
    name: str,
    records: Sequence[CellRecord],
    layout: Literal["cnmc", "cnmc-compact"] = "cnmc-compact",
) -> SetManifest:
    """Single cells, counted by split, or by fold as published; the digest is the classifier's."""
    counts = Counter({"pictures": len(records), "groups": len({one.group for one in records})})
    counts.update(
        f"{one.split if layout == 'cnmc-compact' else one.fold} {one.label}" for one in records
    )
    return SetManifest(
        name=name, layout=layout, counts=dict(counts), digest=f"sha256:{digest_of(records)}"
    )


def manifest_of_fields(field_set: FieldSet, layout: FieldLayout) -> SetManifest:
    """One split of a whole-field set; reads every picture's bytes."""
    return SetManifest(
        name=field_set.name,
        layout=layout,
        counts={
            "pictures": len(field_set.records),
            **{str(kind): count for kind, count in field_set.boxes_per_kind.items()},
            "unsound boxes": len(field_set.unsound),
        },
        digest=_digest(_line_of_field(record) for record in field_set.records),
    )


def manifest_of_blast_frames(name: str, frames: Sequence[BlastFrame]) -> SetManifest:
    """Frames with the centres of their blasts; reads every picture's bytes."""
    of_patients = sum(one.leukaemia for one in frames)
    return SetManifest(
        name=name,
        layout="all-idb1",
        counts={
            "pictures": len(frames),
            "pictures of patients": of_patients,
            "pictures of healthy donors": len(frames) - of_patients,
            "blasts": sum(len(one.blasts) for one in frames),
        },
        digest=_digest(
            f"{_file_digest(one.image)} {int(one.leukaemia)} {_array_digest(one.blasts)}"
            for one in frames
        ),
    )


def _line_of_field(record: FieldRecord) -> str:
    marks = np.column_stack([record.kinds.astype(np.float32), record.boxes])
    marks = marks[np.lexsort(marks.T[::-1])]  # the order of the boxes says nothing
    return f"{_file_digest(record.image)} {_array_digest(marks)}"


def _array_digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, dtype="<f4").tobytes()).hexdigest()


def _file_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _digest(lines: Iterable[str]) -> str:
    return f"sha256:{hashlib.sha256(chr(10).join(sorted(lines)).encode()).hexdigest()}"
