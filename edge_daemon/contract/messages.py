"""Every message that leaves or reaches the device, as one typed model each.

A message is JSON and starts with its ``schema``, for example ``leukoedge.frame/1``. Reading is
strict: another version, an unknown field or a truncated text is refused with one line
(:class:`edge_daemon.errors.MessageError`), because a receiver that guesses reports wrong counts.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import Field, JsonValue, TypeAdapter, ValidationError, model_validator

from edge_daemon.contract.base import Name, UtcTime, UuidHex
from edge_daemon.contract.envelope import Addressed, Count, FromDevice, Reason
from edge_daemon.contract.findings import (
    BlastFraction,
    CellCounts,
    CellResult,
    Clock,
    FrameCounts,
    FramePlace,
    FrameQuality,
    Latency,
    Milliseconds,
    Opinion,
    OpinionCounts,
    OutboxDepth,
    Probability,
    ScaleOrigin,
    StagePoint,
)
from edge_daemon.contract.terms import COMPLETE, CellLabel, Completion, Disposition, Outcome
from edge_daemon.errors import MessageError

__all__ = [
    "BlastFraction",
    "CellCounts",
    "CellResult",
    "Clock",
    "Command",
    "CommandReply",
    "Crop",
    "FrameCounts",
    "FrameQuality",
    "FrameResult",
    "Health",
    "Latency",
    "Message",
    "Opinion",
    "OpinionCounts",
    "OutboxDepth",
    "Receipt",
    "ScaleOrigin",
    "SecondOpinion",
    "SlideSummary",
    "StagePoint",
    "Status",
    "parse_message",
]

StageName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
CommandName: TypeAlias = Literal[
    "slide-start",
    "slide-pause",
    "slide-resume",
    "slide-finish",
    "slide-abort",
    "bundle-stage",
    "bundle-activate",
    "config-reload",
    "status",
]


def _outcome_decides(schema: dict[str, Any]) -> None:
    """Say in the JSON Schema too what an outcome allows."""
    schema["if"] = {"properties": {"outcome": {"const": "analysed"}}}
    schema["then"] = {
        "properties": {
            "reason": {"type": "null"},
            "width": {"type": "integer"},
            "height": {"type": "integer"},
        }
    }
    schema["else"] = {
        "properties": {
            "reason": {"type": "string"},
            "saturated": {"const": False},
            "cells": {"maxItems": 0},
        }
    }


class FrameResult(FromDevice, json_schema_extra=_outcome_decides):
    """What became of one captured frame, and the cells in it."""

    schema_id: Literal["leukoedge.frame/1"] = Field(default="leukoedge.frame/1", alias="schema")
    slide: Name
    frame: Count
    """Number of the captured frame on its slide, from 0."""
    field: Count = 0
    """Frames of one field show the same place; fields never overlap."""
    source: Annotated[str, Field(min_length=1, max_length=1024)]
    """Where the picture came from: file name, camera, ``sim://...``."""
    captured_at: UtcTime
    """When the camera took it, or the file was read."""
    outcome: Outcome
    reason: Reason | None = None
    """One line for the operator; present exactly when the frame was not analysed."""
    quality: FrameQuality | None = None
    """What the quality gate measured; null when it did not come to that."""
    stage: StagePoint | None = None
    """Where the stage stood; null without a stage."""
    timings_ms: dict[StageName, Milliseconds] = Field(default_factory=dict)
    """Time each stage of the pipeline took, in milliseconds."""
    width: Annotated[int, Field(gt=0)] | None = None
    """Width of the captured frame in pixels; null when it could not be read."""
    height: Annotated[int, Field(gt=0)] | None = None
    um_per_px: Annotated[float, Field(gt=0.0)] | None = None
    """Size of a pixel in the smear, in um; null when it is unknown."""
    um_per_px_from: ScaleOrigin = "unknown"
    """Given by the configuration, estimated from the red cells in view, or unknown."""
    place: FramePlace | None = None
    """Where it lies on the slide; null when it was not analysed."""
    saturated: bool = False
    """True when more cells were found than are reported: the counts are then lower bounds."""
    counts: CellCounts = CellCounts()
    cells: tuple[CellResult, ...] = ()

    @model_validator(mode="after")
    def _agrees_with_its_outcome(self) -> FrameResult:
        if (self.um_per_px is None) != (self.um_per_px_from == "unknown"):
            raise ValueError("um_per_px is null exactly when um_per_px_from is unknown")
        if self.counts != CellCounts.of(self.cells):
            raise ValueError("counts differ from the cells listed")
        if self.outcome == "analysed":
            if self.reason is not None:
                raise ValueError("an analysed frame has no reason")
            if self.width is None or self.height is None:
                raise ValueError("an analysed frame has a width and a height")
        elif self.reason is None:
            raise ValueError(f"a {self.outcome} frame needs a reason")
        elif self.cells or self.saturated or self.place is not None:
            raise ValueError(f"a {self.outcome} frame has no cells")
        return self


class SlideSummary(FromDevice):
    """Where a slide stands: what was looked at, what was counted, and what that says."""

    schema_id: Literal["leukoedge.summary/1"] = Field(default="leukoedge.summary/1", alias="schema")
    slide: Name
    frames: FrameCounts
    unique_cells: CellCounts
    """Cells on the slide, each counted once however many frames show it."""
    nucleated_cells: Count
    """Unique nucleated cells that were classified: the denominator of the blast fraction."""
    blasts: Count
    uncertain: Count
    """Cells inside the abstain band: neither blast nor normal."""
    blast_fraction: BlastFraction | None
    """Null exactly when no nucleated cell was counted."""
    saturated_frames: Count = 0
    """Frames with more cells than were reported; above zero, the counts are lower bounds."""
    second_opinions: OpinionCounts | None = None
    """How the second opinion stands; null where the bundle has none or it is switched off."""
    coverage_mm2: Annotated[float, Field(ge=0.0)] | None = None
    """Area of the smear that was analysed, overlap counted once; null when the scale is unknown."""
    disposition: Disposition
    reasons: Annotated[tuple[Reason, ...], Field(min_length=1)]
    """Why this disposition, in sentences for the operator."""
    more_cells_wanted: Count | None = None
    """Further nucleated cells until there is an answer, if the shares stay the same; 0 when there
    is one; null when counting more will not give one: a reader decides."""
    started_at: UtcTime
    ended_at: UtcTime | None = None
    complete: bool = False
    """True when the operator was done or the source came to its end; false while it runs, and when
    it was cut short."""
    completion: Completion | None = None
    """Why it ended; present exactly when it has."""
    paused: bool = False
    operator: Name | None = None
    """Pseudonym of who is at the microscope."""
    objective: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    position_lost: Count = 0
    """Frames that could be tied to nothing seen before: cells there may be counted twice."""
    revisits: Count = 0
    """Times that the view came back to a place it had left; cells there are counted once."""

    @model_validator(mode="after")
    def _adds_up(self) -> SlideSummary:
        if self.blasts + self.uncertain > self.nucleated_cells:
            raise ValueError("more blasts and uncertain cells than nucleated cells")
        if self.nucleated_cells > self.unique_cells.wbc:
            raise ValueError("more nucleated cells classified than unique wbc counted")
        if self.saturated_frames > self.frames.analysed:
            raise ValueError("more saturated frames than analysed frames")
        if (self.blast_fraction is None) != (self.nucleated_cells == 0):
            raise ValueError("blast_fraction is null exactly when nucleated_cells is 0")
        if self.blast_fraction is not None:
            fraction = self.blasts / self.nucleated_cells
            if abs(self.blast_fraction.estimate - fraction) > 1e-3:
                raise ValueError(f"blast_fraction is not blasts / nucleated_cells ({fraction:.4f})")
        if (self.completion is None) != (self.ended_at is None):
            raise ValueError("completion is null exactly when ended_at is")
        if self.complete != (self.completion in COMPLETE):
            raise ValueError(f"complete is {self.complete} of a slide that is {self.completion}")
        if self.ended_at is not None and self.ended_at < self.started_at:
            raise ValueError("the slide ended before it started")
        return self


class Crop(FromDevice):
    """What a picture of a suspicious cell shows.

    The payload on MQTT is the JPEG itself; this model travels beside it as the MQTT 5 user
    property ``about``. MQTT 3.1.1 has no user properties: there the topic alone says which slide
    and cell it is.
    """

    schema_id: Literal["leukoedge.crop/1"] = Field(default="leukoedge.crop/1", alias="schema")
    slide: Name
    frame: Count
    unique_id: Count
    p_blast: Probability
    label: CellLabel
    um_per_px: Annotated[float, Field(gt=0.0)] | None = None


class SecondOpinion(FromDevice):
    """What a larger network says of a cell that the classifier did not clear, beside its own word.

    It comes after the frame's result, which does not wait for it, and changes no count: where the
    two differ, a reader looks.
    """

    schema_id: Literal["leukoedge.opinion/1"] = Field(default="leukoedge.opinion/1", alias="schema")
    slide: Name
    frame: Count
    """The frame that shows the cell as it was asked about."""
    unique_id: Count
    first: Opinion
    """The classifier's, as in the frame's result."""
    second: Opinion


class Status(FromDevice):
    """Whether the device works: its birth message, and the will the broker keeps for it."""

    schema_id: Literal["leukoedge.status/1"] = Field(default="leukoedge.status/1", alias="schema")
    state: Literal["online", "degraded", "offline"]
    reason: Reason | None = None
    """What is wrong, in one line; present exactly when the device is not ``online``."""
    version: str
    """Version of the daemon."""

    @model_validator(mode="after")
    def _reason_given(self) -> Status:
        if (self.reason is None) != (self.state == "online"):
            raise ValueError("reason is null exactly when the state is online")
        return self


class Health(FromDevice):
    """How the device fares: speed, queues, losses. Sent at intervals; one may be missed."""

    schema_id: Literal["leukoedge.health/1"] = Field(default="leukoedge.health/1", alias="schema")
    uptime_s: Annotated[float, Field(ge=0.0)]
    fps: Annotated[float, Field(ge=0.0)]
    """Frames per second that reached an outcome since the last health message."""
    frames: FrameCounts
    """How the frames of the slide in work ended so far."""
    latency: dict[StageName, Latency]
    """Time per frame, by stage of the pipeline."""
    queues: dict[StageName, Count]
    """Frames waiting before each stage."""
    drops: dict[Reason, Count]
    """Frames dropped so far, by cause."""
    temperatures_c: dict[str, float] = Field(default_factory=dict)
    """Temperatures in degrees Celsius, by the name of the sensor."""
    disk_free_bytes: Count | None = None
    memory_bytes: Count | None = None
    """Resident memory of the daemon."""
    outbox: OutboxDepth
    power_w: dict[str, float] = Field(default_factory=dict)
    """Power in watts, by the name of the supply rail; empty where nothing measures it."""
    throttled: tuple[Reason, ...] = ()
    """What holds processor or GPU back now, a sentence each; empty when nothing is known to."""
    clock: Clock = Clock()


class Command(Addressed):
    """Something the central side asks of a device; never retained, void after ``expires_at``."""

    schema_id: Literal["leukoedge.command/1"] = Field(default="leukoedge.command/1", alias="schema")
    id: UuidHex
    """A random UUID; a repeat of it is answered again but not carried out again."""
    name: CommandName
    expires_at: UtcTime
    args: dict[str, JsonValue] = Field(default_factory=dict)


class CommandReply(FromDevice):
    """What became of a command."""

    schema_id: Literal["leukoedge.reply/1"] = Field(default="leukoedge.reply/1", alias="schema")
    id: UuidHex
    name: CommandName
    ok: bool
    reason: Reason | None = None
    """Why not; present exactly when it was not carried out."""
    result: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _reason_given(self) -> CommandReply:
        if (self.reason is None) != self.ok:
            raise ValueError("reason is null exactly when ok")
        return self


class Receipt(Addressed):
    """The central side has committed every record of ``boot_id`` up to ``up_to_seq``."""

    schema_id: Literal["leukoedge.receipt/1"] = Field(default="leukoedge.receipt/1", alias="schema")
    boot_id: UuidHex
    up_to_seq: Count


Message: TypeAlias = (
    FrameResult
    | SlideSummary
    | Crop
    | SecondOpinion
    | Status
    | Health
    | Command
    | CommandReply
    | Receipt
)
MESSAGES: tuple[type[Message], ...] = get_args(Message)


_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="schema_id")])
_KNOWN = tuple(str(model.model_fields["schema_id"].default) for model in MESSAGES)


def parse_message(payload: bytes | str) -> Message:
    """Read one JSON message.

    Fields that have a default here must still be present there: a result without its list of
    cells is not a result with none.

    Raises:
        MessageError: one line naming the schema and the first field that is wrong.
    """
    try:
        message = _MESSAGE.validate_json(payload, strict=True)
    except ValidationError as error:
        raise MessageError(f"message refused: {_first_fault(error)}") from None
    absent = sorted(set(type(message).model_fields) - message.model_fields_set)
    if absent:
        raise MessageError(f"message refused: {message.schema_id}: {absent[0]}: field is missing")
    return message


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    if fault["type"] == "json_invalid":
        return f"not JSON, or cut short ({fault['ctx']['error']})"
    if fault["type"] in ("union_tag_invalid", "union_tag_not_found"):
        found = fault.get("ctx", {}).get("tag")
        if found is None:
            return "it does not name its schema"
        return f"schema {found[:64]!r} is unknown here; known are {', '.join(_KNOWN)}"
    if not fault["loc"]:
        return "not a JSON object"
    schema, *path = fault["loc"]
    where = ".".join(str(step) for step in path)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    what = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        what = "field is unknown"
    return f"{schema}: {where + ': ' if where else ''}{what}{more}"
