"""Cells that people decided about, as a labelled data set that ``leuko-train data import`` takes.

The folder has the compact layout of C-NMC: ``manifest.csv`` and pictures in ``all`` and ``hem``. A
**group** is a patient, where the site's own table names one, and a slide elsewhere; it lies on one
side of the split as a whole, by a digest that never changes, so that a later export moves nobody
from one side to the other and no model is tested on a group that it learnt from.

Patients are told under a pseudonym: an HMAC with a key that was drawn at random and never leaves
the database. ``provenance.csv`` says of each cell who decided, when, and against which model.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sqlalchemy import Connection, Row, insert, select

from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import cells, devices, meta, reviews, slides
from deploy.dashboard.exports.cutting import foreground_fraction, on_black
from deploy.dashboard.exports.errors import ExportError
from deploy.dashboard.exports.patients import NOBODY, Patients
from deploy.dashboard.queries.cells import crop
from deploy.dashboard.review.chain import head, identity_of
from deploy.dashboard.review.records import record
from edge_daemon import __version__

SCHEMA = "leukoedge.reviewed-cells/1"
_LABELS = {"blast": "ALL", "normal": "HEM"}
_KEY = "dataset_key"
_VALIDATION = 5
"""One group of so many is for validation."""
_COLUMNS = (
    "file", "label", "subject", "group", "fold", "frame", "cell", "width", "height",
    "fg_frac", "bmp_sha256", "split",
)  # fmt: skip
_ABOUT = (
    "file", "slide_id", "cell", "label", "decided_by", "decided_at", "review", "review_hash",
    "model_label", "p_blast", "bundle", "um_per_px",
)  # fmt: skip


@dataclass(frozen=True)
class Written:
    """What was exported."""

    cells: int
    blasts: int
    groups: int
    slides: int
    left_out: Mapping[str, int]
    """Cells with a word of a person that are not in it, by why."""
    bundles: tuple[str, ...]
    sha256: str
    """Of ``manifest.csv``, which holds the digest of every picture."""


def export_dataset(
    database: Database,
    out: Path,
    by: str,
    now: datetime,
    *,
    since: datetime | None = None,
    patients: Patients = NOBODY,
) -> Written:
    """Write the new folder ``out``, whole or not at all.

    Args:
        database: of the dashboard.
        out: must not be there yet.
        by: who takes it away, for the audit and for whoever is handed the folder.
        now: by our clock.
        since: only cells that were decided about since then.
        patients: which slide is of whom; without it every slide is a group.

    Raises:
        ExportError: ``out`` is there, cannot be written, or there is no such cell.
    """
    with database.writing() as connection:
        key = _key(connection)
    with _new_folder(out) as folder, database.reading() as connection:
        rows, about, left = _pictures(connection, folder, key, since, patients)
        if not rows:
            why = ", ".join(f"{count} {line}" for line, count in left.items())
            raise ExportError(f"there is no cell to export{f': {why}' if why else ''}")
        _write_table(folder / "manifest.csv", _COLUMNS, rows)
        _write_table(folder / "provenance.csv", _ABOUT, about)
        written = Written(
            cells=len(rows),
            blasts=sum(one["label"] == "ALL" for one in rows),
            groups=len({one["group"] for one in rows}),
            slides=len({one["slide_id"] for one in about}),
            left_out=dict(left),
            bundles=tuple(sorted({one["bundle"] for one in about if one["bundle"]})),
            sha256=hashlib.sha256((folder / "manifest.csv").read_bytes()).hexdigest(),
        )
        end = head(connection, reviews)
        said = {
            "schema": SCHEMA,
            "database": identity_of(connection),
            "made_at": now.isoformat(timespec="seconds"),
            "made_by": by,
            "program": __version__,
            "since": None if since is None else since.isoformat(timespec="seconds"),
            "groups_are": "slides" if patients is NOBODY else "patients where known, else slides",
            "reviews": {"rows": end.rows, "hash": end.hash},
            **asdict(written),
        }
        text = json.dumps(said, indent=2, ensure_ascii=False) + "\n"
        (folder / "provenance.json").write_text(text, "utf-8")
    with database.writing() as connection:
        record(connection, by, "export", "data set of reviewed cells", **asdict(written))
    return written


def _pictures(
    connection: Connection, folder: Path, key: bytes, since: datetime | None, patients: Patients
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Counter[str]]:
    """Write every picture; rows of the two tables, and what was left out."""
    rows: list[dict[str, Any]] = []
    about: list[dict[str, Any]] = []
    left: Counter[str] = Counter()
    for cell in connection.execute(_decided(since)).all():
        label = _LABELS.get(cell.reviewed_label)
        if label is None:
            left[f"called {cell.reviewed_label.replace('_', ' ')}"] += 1
            continue
        picture = _cut(connection, cell)
        if isinstance(picture, str):
            left[picture] += 1
            continue
        subject = _subject(cell, key, patients)
        name = f"UID_{subject}_{cell.slide_id}_{cell.unique_id}_{label.lower()}.png"
        file = f"{label.lower()}/{name}"
        content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(content)
        rows.append(
            {
                "file": file,
                "label": label,
                "subject": subject,
                "group": subject,
                "fold": "",
                "frame": cell.frame,
                "cell": cell.unique_id,
                "width": picture.shape[1],
                "height": picture.shape[0],
                "fg_frac": round(foreground_fraction(picture), 4),
                "bmp_sha256": hashlib.sha256(content).hexdigest(),
                "split": _side(subject),
            }
        )
        about.append(_provenance(connection, cell, file))
    return rows, about, left


def _decided(since: datetime | None) -> Any:
    query = (
        select(cells, slides.c.site, slides.c.name.label("slide"), devices.c.name.label("device"))
        .join(slides, slides.c.id == cells.c.slide_id)
        .join(devices, devices.c.id == slides.c.device_id)
        .where(cells.c.reviewed_label.is_not(None), slides.c.control.is_(False))
        .order_by(cells.c.slide_id, cells.c.unique_id)
    )
    return query if since is None else query.where(cells.c.reviewed_at >= since)


def _cut(connection: Connection, cell: Row[Any]) -> np.ndarray | str:
    """The cell on black; or why not."""
    found = crop(connection, cell.slide_id, cell.unique_id)
    if found is None:
        return "without a picture"
    if found.um_per_px is None:
        return "without a scale"
    if not cell.whole:
        return "cut by the edge of every frame"
    read = cv2.imdecode(np.frombuffer(found.jpeg, np.uint8), cv2.IMREAD_COLOR)
    if read is None:
        return "with a picture that cannot be read"
    pixels = np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)
    cut = on_black(pixels, found.um_per_px)
    return "that could not be cut out" if cut is None else cut


def _provenance(connection: Connection, cell: Row[Any], file: str) -> dict[str, Any]:
    """Who decided, by the last row of the chain that says what stands now."""
    row = connection.execute(
        select(reviews)
        .where(
            reviews.c.slide_id == cell.slide_id,
            reviews.c.unique_id == cell.unique_id,
            reviews.c.kind.in_(("confirm", "override")),
            reviews.c.label == cell.reviewed_label,
            reviews.c.user_name == cell.reviewed_by,
        )
        .order_by(reviews.c.id.desc())
        .limit(1)
    ).one()
    said = json.loads(row.document)
    return {
        "file": file,
        "slide_id": cell.slide_id,
        "cell": cell.unique_id,
        "label": cell.reviewed_label,
        "decided_by": row.user_name,
        "decided_at": row.at.isoformat(timespec="seconds"),
        "review": row.id,
        "review_hash": row.hash,
        "model_label": said["model_label"],
        "p_blast": said["p_blast"],
        "bundle": said["bundle"],
        "um_per_px": cell.um_per_px,
    }


def _subject(cell: Row[Any], key: bytes, patients: Patients) -> str:
    patient = patients.of(cell.site, cell.device, cell.slide)
    if patient is None:
        return f"S{cell.slide_id}"
    digest = hmac.new(key, patient.encode(), hashlib.sha256).digest()
    return f"P{int.from_bytes(digest[:8], 'big')}"


def _side(group: str) -> str:
    digest = hashlib.sha256(group.encode()).digest()
    return "val" if int.from_bytes(digest[:8], "big") % _VALIDATION == 0 else "train"


def _key(connection: Connection) -> bytes:
    """The key of pseudonyms: drawn once, so that a patient has one name in all exports."""
    found = connection.scalar(select(meta.c.value).where(meta.c.key == _KEY))
    if found is None:
        found = secrets.token_hex(32)
        connection.execute(insert(meta).values(key=_KEY, value=found))
    return bytes.fromhex(str(found))


def _write_table(file: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder under another name, renamed to ``out`` when it is complete."""
    if out.exists():
        raise ExportError(f"{out} is there already: name a new folder")
    partial = out.with_name(f"{out.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(out)
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
