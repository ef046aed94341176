"""One slide from its first frame to its summary: the ledger, the counts and what they say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone

from edge_daemon.contract.findings import (
    BlastFraction,
    CellCounts,
    FrameCounts,
    OpinionCounts,
)
from edge_daemon.contract.terms import COMPLETE, Completion, Disposition, Outcome
from edge_daemon.contract.worst import WorstCell, WorstField
from edge_daemon.pipeline import Findings
from edge_daemon.vision.slide import (
    SlideThresholds,
    Verdict,
    blast_fraction,
    judge,
    more_cells_wanted,
)
from edge_daemon.vision.slide_map import SlideMap


@dataclass(frozen=True)
class SlideSetup:
    """What is said of a slide when it begins, and holds to its end."""

    name: str
    operator: str | None = None
    """Pseudonym of who is at the microscope."""
    objective: str | None = None
    source: str | None = None
    """What the frames come from; a slide is not taken up again from another source."""
    control: bool = False
    """A control slide: known cells, and no patient's."""
    label: str | None = None
    """What its label reads, where it began by that."""


@dataclass
class Tally:
    """How the frames of a slide ended so far."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    saturated: int = 0
    um_per_px: float | None = None

    def enter(self, outcome: Outcome, *, saturated: bool, um_per_px: float | None) -> None:
        """Count one frame."""
        self.outcomes[outcome] += 1
        self.saturated += saturated
        if um_per_px is not None:
            self.um_per_px = um_per_px

    @property
    def captured(self) -> int:
        """Frames that have an outcome."""
        return sum(self.outcomes.values())


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
    more_cells_wanted: int | None
    started_at: datetime
    ended_at: datetime | None
    complete: bool
    completion: Completion | None
    paused: bool
    operator: str | None
    objective: str | None
    position_lost: int
    revisits: int
    control: bool
    worst_cells: tuple[WorstCell, ...] = ()
    worst_fields: tuple[WorstField, ...] = ()


class SlideSession:
    """Keeps the ledger of a slide: every captured frame in exactly one outcome."""

    def __init__(
        self,
        setup: SlideSetup,
        slide_map: SlideMap,
        thresholds: SlideThresholds | None = None,
        *,
        tally: Tally | None = None,
        started_at: datetime | None = None,
    ) -> None:
        """``tally`` and ``started_at`` are those of a slide that is taken up again."""
        self.setup = setup
        self.started_at = started_at or datetime.now(timezone.utc)
        self.tally = tally or Tally()
        self.paused = False
        self.began_at = datetime.now(timezone.utc)
        """Since when its frames count: since it began, or was gone on with."""
        self._map = slide_map
        self.thresholds = thresholds or SlideThresholds()

    @property
    def name(self) -> str:
        """Of the slide."""
        return self.setup.name

    def pause(self, paused: bool) -> None:
        """Stop counting frames, or go on with those that are captured from now on."""
        self.paused = paused
        if not paused:
            self.began_at = datetime.now(timezone.utc)

    def enter(self, findings: Findings) -> None:
        """Put one frame's outcome into the ledger."""
        self.tally.enter(
            findings.outcome, saturated=findings.saturated, um_per_px=findings.um_per_px
        )

    @property
    def frames(self) -> FrameCounts:
        """How the frames captured so far ended."""
        ended = self.tally.outcomes
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
        completion: Completion | None = None,
        second_opinions: OpinionCounts | None = None,
    ) -> Standing:
        """The counts so far and what they say.

        Args:
            second_opinions: how they stand, where there are any.
            completion: why the slide is over; None while it is not.
        """
        slide = self._map
        worst = slide.worst()
        nucleated = slide.count("wbc")
        blasts = slide.count("wbc", "blast")
        uncertain = slide.count("wbc", "uncertain")
        if completion == "aborted":
            verdict = _thrown_away()
        elif self.setup.control:
            verdict = _of_no_patient()
        else:
            verdict = judge(
                blasts=blasts,
                uncertain=uncertain,
                nucleated=nucleated,
                frames=self.frames,
                saturated_frames=self.tally.saturated,
                thresholds=self.thresholds,
            )
        return Standing(
            frames=self.frames,
            unique_cells=CellCounts(
                wbc=nucleated, rbc=slide.count("rbc"), platelet=slide.count("platelet")
            ),
            nucleated_cells=nucleated,
            blasts=blasts,
            uncertain=uncertain,
            blast_fraction=blast_fraction(blasts, nucleated, self.thresholds.confidence),
            saturated_frames=self.tally.saturated,
            second_opinions=second_opinions,
            coverage_mm2=self._coverage_mm2(),
            disposition=verdict.disposition,
            reasons=verdict.reasons,
            more_cells_wanted=more_cells_wanted(
                blasts=blasts,
                uncertain=uncertain,
                nucleated=nucleated,
                thresholds=self.thresholds,
            ),
            started_at=self.started_at,
            ended_at=datetime.now(timezone.utc) if completion else None,
            complete=completion in COMPLETE,
            completion=completion,
            paused=self.paused,
            operator=self.setup.operator,
            objective=self.setup.objective,
            position_lost=slide.lost,
            revisits=slide.revisits,
            control=self.setup.control,
            worst_cells=worst.cells,
            worst_fields=worst.fields,
        )

    def _coverage_mm2(self) -> float | None:
        if self.tally.um_per_px is None:
            return None
        return round(self._map.area_px * (self.tally.um_per_px / 1e3) ** 2, 6)


def _of_no_patient() -> Verdict:
    """So that whoever overlooks the mark of a control slide reads no finding out of it."""
    return Verdict("insufficient", ("This is a control slide: it says nothing of a patient.",))


def _thrown_away() -> Verdict:
    return Verdict("insufficient", ("The operator aborted this slide: it says nothing.",))
