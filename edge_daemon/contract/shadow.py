"""The shadow report: how a candidate bundle judges the cells that the active one judges.

A cell of the slide counts once. Every share stands beside the counts it was computed from, and the
frames that the candidate did not see are counted, so that agreement on a part of a slide cannot be
taken for agreement on the slide.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge_daemon.contract.base import Digest, Fraction, Name, StrictModel
from edge_daemon.contract.envelope import Count, FromDevice, Reason
from edge_daemon.contract.findings import BlastFraction, Opinion
from edge_daemon.contract.terms import CellLabel, Completion, Disposition

MOST_DISAGREEMENTS = 20
"""A report lists the worst of them; how many there are it says beside them."""


class ShadowFrames(StrictModel):
    """Which frames were compared; only frames that the active bundle analysed count here."""

    first: Count = 0
    """Number of the first frame that counts; above 0 where the slide was taken up again after the
    daemon had ended: what was compared before is not in this report."""
    analysed: Count = 0
    """Frames that the active bundle analysed from there on."""
    compared: Count = 0
    """Frames among them that the candidate judged as well."""
    skipped: Count = 0
    """Frames that it will never judge: it was busy with others, or was put aside."""

    @model_validator(mode="after")
    def _adds_up(self) -> ShadowFrames:
        if self.compared + self.skipped > self.analysed:
            raise ValueError("more frames compared and skipped than analysed")
        return self


class LabelCounts(StrictModel):
    """Unique nucleated cells by label."""

    blast: Count = 0
    normal: Count = 0
    uncertain: Count = 0

    @property
    def cells(self) -> int:
        """All of them."""
        return self.blast + self.normal + self.uncertain

    def of(self, label: CellLabel) -> int:
        """Those with one label."""
        count: int = getattr(self, label)
        return count


class LabelTable(StrictModel):
    """Cells that both found: what the active bundle says of them, and within it the candidate."""

    blast: LabelCounts = LabelCounts()
    normal: LabelCounts = LabelCounts()
    uncertain: LabelCounts = LabelCounts()

    @property
    def cells(self) -> int:
        """All of them."""
        return self.blast.cells + self.normal.cells + self.uncertain.cells

    @property
    def agreed(self) -> int:
        """Those of which both say the same."""
        return self.blast.blast + self.normal.normal + self.uncertain.uncertain


class Agreement(StrictModel):
    """Share of the cells that both found of which both say the same, with its exact interval."""

    agreed: Count
    cells: Annotated[int, Field(gt=0)]
    estimate: Fraction
    low: Fraction
    high: Fraction
    """Ends of the interval (Clopper and Pearson 1934), which takes each cell for a draw of its
    own."""
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)]

    @model_validator(mode="after")
    def _adds_up(self) -> Agreement:
        if self.agreed > self.cells:
            raise ValueError("more cells agreed on than compared")
        if abs(self.estimate - self.agreed / self.cells) > 1e-6:
            raise ValueError("estimate is not agreed / cells")
        if not self.low <= self.estimate <= self.high:
            raise ValueError("agreement lies outside its own interval")
        return self


class ProbabilityShift(StrictModel):
    """How ``p_blast`` differs on the cells that both found: candidate less active."""

    mean: Annotated[float, Field(ge=-1.0, le=1.0)]
    mean_absolute: Fraction


class ShadowSide(StrictModel):
    """What one of the two bundles says of the cells that it found in the frames compared."""

    nucleated_cells: Count = 0
    blasts: Count = 0
    uncertain: Count = 0
    blast_fraction: BlastFraction | None = None
    """Null exactly when it found no nucleated cell."""
    saturated_frames: Count = 0
    disposition: Disposition
    """What these counts would say, as if the frames compared were the whole slide."""

    @model_validator(mode="after")
    def _adds_up(self) -> ShadowSide:
        if self.blasts + self.uncertain > self.nucleated_cells:
            raise ValueError("more blasts and uncertain cells than nucleated cells")
        if (self.blast_fraction is None) != (self.nucleated_cells == 0):
            raise ValueError("blast_fraction is null exactly when nucleated_cells is 0")
        return self


class Disagreement(StrictModel):
    """One cell of which the two do not say the same, or that one of them does not find."""

    frame: Count
    """Shows the cell best: to the active bundle, or to the candidate where only that found it."""
    unique_id: Count | None
    """Number of the cell in that frame's result; null where the active bundle did not find it."""
    box: tuple[float, float, float, float]
    """``[x, y, width, height]`` in pixels of that frame."""
    active: Opinion | None
    """Null where it did not find the cell in any frame compared."""
    candidate: Opinion | None
    jpeg: str | None = None
    """The cell and its surroundings, JPEG in base64; only in a slide's last report, and null where
    there was no room for it."""

    @model_validator(mode="after")
    def _differs(self) -> Disagreement:
        if self.active is None and self.candidate is None:
            raise ValueError("neither of them found this cell")
        same = self.active is not None and self.candidate is not None
        if same and self.active.label == self.candidate.label:  # type: ignore[union-attr]
            raise ValueError("both say the same of this cell")
        return self


class Candidate(StrictModel):
    """The bundle that looks on."""

    bundle: Annotated[str, Field(min_length=1, max_length=160)]
    """Name and version."""
    digest: Digest
    """Of its manifest, as every message carries that of the active bundle."""


class ShadowReport(FromDevice):
    """How a candidate bundle judges the frames of a slide, beside the active one.

    It changes no result. ``bundle`` is the active one; a cell counts once, in the view that shows
    it best to the active bundle.
    """

    schema_id: Literal["leukoedge.shadow/1"] = Field(default="leukoedge.shadow/1", alias="schema")
    slide: Name
    candidate: Candidate
    frames: ShadowFrames
    table: LabelTable
    """Cells that both found."""
    only_active: LabelCounts
    """Cells that the candidate found in no frame compared."""
    only_candidate: LabelCounts
    """Cells that the active bundle found in no frame compared."""
    agreement: Agreement | None
    """Null exactly when there is no cell that both found."""
    p_blast_shift: ProbabilityShift | None
    """Likewise."""
    by_active: ShadowSide
    by_candidate: ShadowSide
    disagreements: Count
    """Cells judged otherwise, and cells that only one of them found."""
    worst: Annotated[tuple[Disagreement, ...], Field(max_length=MOST_DISAGREEMENTS)]
    """Worst first: a blast to one that is normal or nothing to the other, then an uncertain cell,
    then a normal cell that only one of them found."""
    fault: Reason | None = None
    """Why the candidate was put aside; null while it looks on."""
    completion: Completion | None = None
    """Why the slide ended; null while it runs."""

    @model_validator(mode="after")
    def _adds_up(self) -> ShadowReport:
        both, agreed = self.table.cells, self.table.agreed
        if (self.agreement is None) != (both == 0) or (self.p_blast_shift is None) != (both == 0):
            raise ValueError("agreement and shift are null exactly when no cell was found by both")
        share = self.agreement
        if share is not None and (share.agreed, share.cells) != (agreed, both):
            raise ValueError("agreement is not that of the table")
        if self.disagreements != both - agreed + self.only_active.cells + self.only_candidate.cells:
            raise ValueError("disagreements are not those of the counts")
        if self.by_active.nucleated_cells != both + self.only_active.cells:
            raise ValueError("by_active has other cells than the counts")
        if self.by_candidate.nucleated_cells != both + self.only_candidate.cells:
            raise ValueError("by_candidate has other cells than the counts")
        if len(self.worst) > self.disagreements:
            raise ValueError("more disagreements listed than counted")
        return self
