"""What a control came to, gathered frame by frame."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections import Counter

from edge_daemon.contract.control import ControlFigures
from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.pipeline import Findings
from edge_daemon.slide_session import Standing


class ControlTally:
    """The frames of one control, as far as the summary of a slide does not hold them."""

    def __init__(self) -> None:
        self._focus: list[float] = []
        self._exposure: list[float] = []
        self._stain_shift: list[float] = []
        self._um_per_px: list[float] = []
        self._unseen: Counter[str] = Counter()
        self._decisions = hashlib.sha256()

    def enter(self, frame: FrameResult | Findings) -> None:
        """Take one frame, in order."""
        quality = frame.quality
        if quality is not None:
            for values, value in (
                (self._focus, quality.focus),
                (self._exposure, quality.exposure),
                (self._stain_shift, quality.stain_shift),
            ):
                if value is not None:
                    values.append(value)
        if frame.um_per_px is not None:
            self._um_per_px.append(frame.um_per_px)
        if frame.outcome != "analysed":
            what = (frame.reason or "unknown").partition(":")[0]
            self._unseen[f"{frame.outcome} ({what})"] += 1
        cells = [(cell.kind, cell.label, cell.unique_id) for cell in frame.cells]
        self._decisions.update(json.dumps([frame.outcome, cells]).encode())

    @property
    def most_unseen(self) -> str | None:
        """How most of the frames ended that were not analysed, in words."""
        if not self._unseen:
            return None
        ((what, count),) = self._unseen.most_common(1)
        return f"{count} frame{' was' if count == 1 else 's were'} {what}"

    def figures(self, slide: SlideSummary | Standing) -> ControlFigures:
        """The whole, with the counts of the slide."""
        return ControlFigures(
            frames=slide.frames,
            cells=slide.unique_cells,
            nucleated_cells=slide.nucleated_cells,
            blasts=slide.blasts,
            uncertain=slide.uncertain,
            blast_fraction=slide.blast_fraction,
            saturated_frames=slide.saturated_frames,
            coverage_mm2=slide.coverage_mm2,
            um_per_px=_median(self._um_per_px),
            focus=_median(self._focus),
            exposure=_median(self._exposure),
            stain_shift=_median(self._stain_shift),
            decisions=f"sha256:{self._decisions.hexdigest()}",
        )


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 6) if values else None
