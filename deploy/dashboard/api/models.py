"""What the API says and hears; names here are the contract with other programs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from deploy.dashboard.access.roles import Role
from deploy.dashboard.exports.record import ReportStatus
from deploy.dashboard.review.decisions import LONGEST_REASON
from deploy.dashboard.review.standing import Label
from edge_daemon.contract.terms import Disposition

Item = TypeVar("Item")
_NO_NUL = r"^[^\x00]*$"
_LARGEST = 2**53
"""What JavaScript can count to."""

Number = Annotated[int, Path(ge=1, le=_LARGEST)]
CellNumber = Annotated[int, Path(ge=0, le=_LARGEST)]
Word = Annotated[str | None, Query(max_length=64, pattern=_NO_NUL)]
After = Annotated[
    str | None,
    Query(max_length=400, pattern=r"^[A-Za-z0-9_=-]+$", description="`next` of the page before"),
]
Limit = Annotated[int, Query(ge=1, le=500)]
Since = Annotated[AwareDatetime | None, Query()]
Comment = Annotated[str, Field(max_length=LONGEST_REASON, pattern=_NO_NUL)]


class Said(BaseModel):
    """Something the API says."""

    model_config = ConfigDict(from_attributes=True)


class Heard(BaseModel):
    """Something the API hears: nothing but what is named."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Page(Said, Generic[Item]):
    """Some of them, and where the next ones begin."""

    items: list[Item]
    next: str | None = Field(description="Give it as `after`; null: these were the last")


class Me(Said):
    """Who calls."""

    name: str
    full_name: str | None
    role: Role


class SlideItem(Said):
    """A slide in a list."""

    id: int
    site: str
    device: str
    name: str
    control: bool
    state: str
    disposition: str | None
    fraction: float | None
    low: float | None
    high: float | None
    nucleated: int
    blasts: int
    uncertain: int
    unreviewed: int
    review: str
    newest_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    bundle: str | None
    doubled: bool


class Counted(Said):
    """Nucleated cells by label; the fraction with its exact 95 % interval."""

    blast: int
    uncertain: int
    normal: int
    not_a_cell: int
    nucleated: int
    fraction: float | None
    low: float | None
    high: float | None


class Frames(Said):
    """Frames of a slide by outcome."""

    analysed: int
    rejected: int
    dropped: int
    failed: int
    saturated: int
    hinted: int
    missing: list[tuple[int, int]] = Field(description="First and last number of each hole")
    deleted_at: datetime | None = Field(description="When retention deleted frames")


class SignatureItem(Said):
    """Somebody signed, or took the slide up again."""

    number: int
    at: datetime
    user: str
    full_name: str | None
    kind: str
    conclusion: str | None
    comment: str | None
    bundle: str | None


class SeenState(Said):
    """The state of a slide; whoever signs says which one was looked at."""

    standing: str
    decisions: int


class SlideDetail(SlideItem):
    """One slide."""

    status: ReportStatus
    reasons: list[str]
    before: Counted = Field(description="As the models say")
    after: Counted = Field(description="With the word of people where there is one")
    decided: int
    cells_missing: int
    frames: Frames
    signatures: list[SignatureItem]
    seen: SeenState


class CellItem(Said):
    """A unique cell as its best view shows it; the box in pixels of that frame."""

    unique_id: int
    label: str
    p_blast: float
    score: float
    frame: int
    x: float
    y: float
    width: float
    height: float
    um_per_px: float | None
    views: int
    whole: bool
    reviewed_label: str | None
    reviewed_by: str | None
    reviewed_at: datetime | None
    second_label: str | None
    second_p_blast: float | None
    has_crop: bool


class DecisionItem(Said):
    """What somebody decided about a cell."""

    number: int
    at: datetime
    user: str
    kind: str
    unique_id: int
    label: str | None
    was: str | None
    reason: str | None
    undoes: int | None


class DeviceItem(Said):
    """A device as it stands now."""

    id: int
    site: str
    name: str
    standing: str
    reason: str | None
    seen_at: datetime | None
    version: str | None
    bundle: str | None
    skew_s: float | None
    fps: float | None
    p95_ms: float | None
    hottest_c: float | None
    disk_free_bytes: int | None
    waiting: int | None
    refused: int | None
    evicted: int | None
    control_due: str | None
    control_verdict: str | None
    missing: int
    missing_since: datetime | None


class HealthItem(Said):
    """A minute of a device."""

    at: datetime
    fps: float
    p50_ms: float | None
    p95_ms: float | None
    hottest_c: float | None
    disk_free_bytes: int | None
    memory_bytes: int | None
    waiting: int
    evicted: int
    dropped: int
    skew_s: float | None


class GapItem(Said):
    """Results that a device issued and that are not here."""

    boot_id: str
    first: int
    last: int
    records: int
    before_first: bool


class AlertItem(Said):
    """An alert, open or cleared."""

    id: int
    kind: str
    subject: str
    device_id: int | None
    slide_id: int | None
    level: str
    line: str
    raised_at: datetime
    cleared_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    note: str | None


class Decide(Heard):
    """What a cell is."""

    label: Label
    reason: Comment | None = None


class Undo(Heard):
    """Take back one's last decision, or the last about one cell."""

    unique_id: Annotated[int, Field(ge=0, le=_LARGEST)] | None = None


class Sign(Heard):
    """What a slide says, and the state of it that was looked at (``seen`` of the slide)."""

    conclusion: Disposition
    comment: Comment | None = None
    standing: Annotated[str, Field(max_length=80, pattern=_NO_NUL)]
    decisions: Annotated[int, Field(ge=0, le=_LARGEST)]


class Reopen(Heard):
    """Why a signed slide is taken up again."""

    reason: Comment
