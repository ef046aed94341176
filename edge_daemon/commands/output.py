"""What commands write for people and for programs: a summary in words, a file of JSON lines."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TextIO

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console

from edge_daemon.contract.messages import SlideSummary
from edge_daemon.contract.worst import WorstCell
from edge_daemon.errors import ConfigError


def open_lines(path: Path) -> AbstractContextManager[TextIO]:
    """Open a file for JSON lines; ``-`` is standard output.

    Raises:
        ConfigError: it cannot be written.
    """
    if str(path) == "-":
        return nullcontext(sys.stdout)  # not ours to close
    try:
        return path.open("w", encoding="utf-8", buffering=1)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}; choose another --out") from error


def write_picture(folder: Path, pixels: npt.NDArray[np.uint8], index: int) -> None:
    """Write an annotated frame as ``folder/frame-<index>.jpg``.

    Raises:
        ConfigError: it cannot be written.
    """
    path = folder / f"frame-{index:05d}.jpg"
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}; choose another --pictures"
        ) from error


def print_summary(summary: SlideSummary, spent_s: float, console: Console) -> None:
    """Print a slide's summary as a person reads it."""
    frames, cells = summary.frames, summary.unique_cells
    fraction = summary.blast_fraction
    console.print(
        f"frames      {frames.captured} captured: {frames.analysed} analysed, "
        f"{frames.rejected} rejected, {frames.dropped} dropped, {frames.failed} failed "
        f"({frames.captured / max(spent_s, 1e-6):.1f} frames/s)",
        highlight=False,
    )
    console.print(
        f"cells       {cells.wbc} white, {cells.rbc} red, {cells.platelet} platelets, each once"
        + (f"; {summary.saturated_frames} frames held more" if summary.saturated_frames else ""),
        highlight=False,
    )
    blasts = f"{summary.blasts} of {summary.nucleated_cells} white cells"
    if fraction is not None:
        blasts += (
            f" = {100 * fraction.estimate:.1f} % "
            f"({100 * fraction.confidence:.0f} % interval {100 * fraction.low:.1f} to "
            f"{100 * fraction.high:.1f} %)"
        )
    console.print(f"blasts      {blasts}, {summary.uncertain} uncertain", highlight=False)
    if summary.worst_cells:
        first = (_where(cell) for cell in summary.worst_cells[:3])
        console.print(f"look first  {'; '.join(first)}", highlight=False)
    second = summary.second_opinions
    if second is not None:
        console.print(
            f"opinions    {second.answered} of {second.wanted} suspicious cells have a second one, "
            f"{second.agreed} agree, {second.skipped} skipped",
            highlight=False,
        )
    console.print(
        f"disposition {summary.disposition}: {' '.join(summary.reasons)}", highlight=False
    )


def _where(cell: WorstCell) -> str:
    x, y, width, height = cell.box
    place = "a frame that was not noted" if cell.frame is None else f"frame {cell.frame}"
    at = f"{x + width / 2:.0f}, {y + height / 2:.0f} px"
    return f"{cell.label} {cell.p_blast:.2f} in {place} at {at}"
