"""What the gate said, as one HTML file: figures beside float32, and the cells that were lost.

The pictures are of held-out cells of third parties, so the page stays where the runs are and never
goes into a bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon import __version__
from exporter.errors import ExportError
from exporter.gate.examples import Examples
from exporter.gate.verdict import LIMITS, Verdict, kind_of_figure
from trainer.report.pictures import png_picture
from trainer.report.template import render_template

_HERE = Path(__file__).parent
MOST_SHOWN = 60
"""Lost cells with a picture; what is more is counted."""
_SIDE_PX = 112


@dataclass(frozen=True)
class JudgedRole:
    """A verdict and the examples it was reached on."""

    verdict: Verdict
    examples: Examples


def write_gate_page(label: str, judged: Sequence[JudgedRole], file: Path) -> None:
    """Write the page of the bundle ``label`` to ``file``.

    Raises:
        ExportError: it cannot be written there.
        DataError: a picture of a lost cell is gone.
    """
    page = render_gate_page(label, judged)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ExportError(f"the page cannot be written to {file}: {error.strerror}") from error


def render_gate_page(label: str, judged: Sequence[JudgedRole]) -> str:
    """The whole page."""
    return render_template(
        _HERE,
        version=__version__,
        label=label,
        verdicts=[
            {
                "it": one.verdict,
                "rows": _rows(one.verdict),
                "shown": [
                    (name, png_picture(_small(one.examples.picture(name))))
                    for name in one.verdict.lost[:MOST_SHOWN]
                ],
            }
            for one in judged
        ],
    )


def _rows(verdict: Verdict) -> list[dict[str, object]]:
    limits = LIMITS[verdict.precision]
    return [
        {
            "name": name,
            "before": before,
            "after": after,
            "lost": before - after,
            "limit": (limit := limits.get(kind_of_figure(name))),
            "refused": limit is not None and not before - after <= limit,
        }
        for name, before, after in verdict.rows
    ]


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = _SIDE_PX / max(picture.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how), np.uint8)
