"""One slide from its first frame to its summary: the ledger, the counts and what they say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone

from edge_daemon.contract.findings import (
    BlastFraction,
    CellCounts,
    FrameCounts,
    OpinionCounts,
)
from edge_daemon.contract.terms import Disposition, Outcome
from edge_daemon.pipeline import Findings
from edge_daemon.vision.slide import SlideThresholds, blast_fraction, judge
from edge_daemon.vision.slide_map import SlideMap


@dataclass(frozen=True)
class Standing:
    """Where a slide stands: the body of a SlideSummary, before it is addressed."""

    frames: FrameCounts
    unique_cells: CellCounts
    nucleated_cells: int
    blasts: int
    uncertain: int
    blast_fraction: BlastFraction | None
    saturated_frames: int
    second_opinions: OpinionCounts | None
    coverage_mm2: float | None
    disposition: Disposition
    reasons: tuple[str, ...]
    started_at: datetime
    ended_at: datetime | None
    complete: bool


class SlideSession:
    """Keeps the ledger of a slide: every captured frame in exactly one outcome."""

    def __init__(
        self, name: str, slide_map: SlideMap, thresholds: SlideThresholds | None = None
    ) -> None:
        self.name = name
        self._map = slide_map
        self._thresholds = thresholds or SlideThresholds()
        self._outcomes: Counter[Outcome] = Counter()
        self._saturated = 0
        self._um_per_px: float | None = None
        self._started_at = datetime.now(timezone.utc)

    def enter(self, findings: Findings) -> None:
        """Put one frame's outcome into the ledger."""
        self._outcomes[findings.outcome] += 1
        self._saturated += findings.saturated
        if findings.um_per_px is not None:
            self._um_per_px = findings.um_per_px

    @property
    def frames(self) -> FrameCounts:
        """How the frames captured so far ended."""
        ended = self._outcomes
        return FrameCounts(
            captured=sum(ended.values()),
            analysed=ended["analysed"],
            rejected=ended["rejected"],
            dropped=ended["dropped"],
            failed=ended["failed"],
        )

    def standing(
        self,
        *,
        ended: bool = False,
        complete: bool = False,
        second_opinions: OpinionCounts | None = None,
    ) -> Standing:
        """The counts so far and what they say.

        Args:
            second_opinions: how they stand, where there are any.
            ended: the slide is over.
            complete: and its source came to its end, rather than being cut short.
        """
        slide = self._map
        nucleated = slide.count("wbc")
        blasts = slide.count("wbc", "blast")
        uncertain = slide.count("wbc", "uncertain")
        verdict = judge(
            blasts=blasts,
            uncertain=uncertain,
            nucleated=nucleated,
            frames=self.frames,
            saturated_frames=self._saturated,
            thresholds=self._thresholds,
        )
        return Standing(
            frames=self.frames,
            unique_cells=CellCounts(
                wbc=nucleated, rbc=slide.count("rbc"), platelet=slide.count("platelet")
            ),
            nucleated_cells=nucleated,
            blasts=blasts,
            uncertain=uncertain,
            blast_fraction=blast_fraction(blasts, nucleated, self._thresholds.confidence),
            saturated_frames=self._saturated,
            second_opinions=second_opinions,
            coverage_mm2=self._coverage_mm2(),
            disposition=verdict.disposition,
            reasons=verdict.reasons,
            started_at=self._started_at,
            ended_at=datetime.now(timezone.utc) if ended else None,
            complete=complete,
        )

    def _coverage_mm2(self) -> float | None:
        if self._um_per_px is None:
            return None
        return round(self._map.area_px * (self._um_per_px / 1e3) ** 2, 6)
