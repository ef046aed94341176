"""Which slide is of which patient: a file of the site, read when something is exported.

Nothing of it goes into the database. It is CSV with the columns ``slide`` and ``patient``, and
``site`` and ``device`` where names of slides are not unique; ``patient`` is a FHIR reference
(``Patient/4711``, or a whole address) that the hospital's own system understands.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from deploy.dashboard.exports.errors import ExportError

_REFERENCE = re.compile(r"(https?://\S+/)?Patient/[A-Za-z0-9\-.]{1,64}")  # R4: type id
_LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True)
class Patients:
    """Patients by slide; empty where a site keeps none."""

    by_slide: dict[tuple[str, str, str], str]

    def of(self, site: str, device: str, slide: str) -> str | None:
        """The reference to a slide's patient; None: not told."""
        for key in ((site, device, slide), (site, "", slide), ("", "", slide)):
            if key in self.by_slide:
                return self.by_slide[key]
        return None


NOBODY = Patients({})


def read_patients(file: Path | None) -> Patients:
    """Read the mapping; without a file nobody is known.

    Raises:
        ExportError: it cannot be read, or tells two patients of one slide. The line names no
            patient.
    """
    if file is None:
        return NOBODY
    try:
        if file.stat().st_size > _LARGEST:
            raise ExportError(f"{file} is larger than 64 MB: give a table of slides and patients")
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            if not {"slide", "patient"} <= set(reader.fieldnames or ()):
                raise ExportError(f"{file}: the first line has to name slide and patient")
            return Patients(_read(file, reader))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise ExportError(f"{file} cannot be read as a table of slides and patients") from None


def _read(file: Path, reader: csv.DictReader[str]) -> dict[tuple[str, str, str], str]:
    found: dict[tuple[str, str, str], str] = {}
    for row in reader:
        where = f"{file}, line {reader.line_num}"
        site, device, slide, patient = (
            (row.get(name) or "").strip() for name in ("site", "device", "slide", "patient")
        )
        if not slide or not _REFERENCE.fullmatch(patient):
            raise ExportError(f"{where}: give a slide and a reference such as Patient/4711")
        if device and not site:
            raise ExportError(f"{where}: a device is named by its site and its name")
        if found.setdefault((site, device, slide), patient) != patient:
            raise ExportError(f"{where}: slide {slide} is of another patient further up")
    return found
