"""Every message that leaves or reaches the device, as one typed model each.

A message is JSON and starts with its ``schema``, for example ``leukoedge.frame/1``. Reading is
strict: another version, an unknown field or a truncated text is refused with one line
(:class:`edge_daemon.errors.MessageError`), because a receiver that guesses reports wrong counts.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, TypeAlias, get_args

from pydantic import Field, TypeAdapter, ValidationError

from edge_daemon.contract.control import ControlRun
from edge_daemon.contract.device_messages import (
    MOST_STRETCHES,
    Command,
    CommandName,
    CommandReply,
    Desired,
    DesiredBundle,
    EngineInUse,
    Health,
    Receipt,
    Status,
)
from edge_daemon.contract.findings import (
    BlastFraction,
    CellCounts,
    CellResult,
    Clock,
    FrameCounts,
    FrameQuality,
    Latency,
    Opinion,
    OpinionCounts,
    OutboxDepth,
    ScaleOrigin,
    StagePoint,
)
from edge_daemon.contract.shadow import ShadowReport
from edge_daemon.contract.slide_messages import Crop, FrameResult, SecondOpinion, SlideSummary
from edge_daemon.contract.update import ReleaseStanding, UpdateReport, UpdateStanding
from edge_daemon.errors import MessageError

__all__ = [
    "MOST_STRETCHES",
    "BlastFraction",
    "CellCounts",
    "CellResult",
    "Clock",
    "Command",
    "CommandName",
    "CommandReply",
    "ControlRun",
    "Crop",
    "Desired",
    "DesiredBundle",
    "EngineInUse",
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
    "ReleaseStanding",
    "ScaleOrigin",
    "SecondOpinion",
    "ShadowReport",
    "SlideSummary",
    "StagePoint",
    "Status",
    "UpdateReport",
    "UpdateStanding",
    "optional_fields",
    "parse_message",
]

Message: TypeAlias = (
    FrameResult
    | SlideSummary
    | Crop
    | SecondOpinion
    | ShadowReport
    | Status
    | Health
    | UpdateReport
    | Command
    | CommandReply
    | ControlRun
    | Receipt
    | Desired
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
    absent = sorted(_required_fields(type(message)) - message.model_fields_set)
    if absent:
        raise MessageError(f"message refused: {message.schema_id}: {absent[0]}: field is missing")
    return message


@cache
def _required_fields(model: type[Message]) -> frozenset[str]:
    return frozenset(set(model.model_fields) - optional_fields(model))


def optional_fields(model: type[Message]) -> set[str]:
    """Fields that are left out where they would say nothing."""
    return {name for name, field in model.model_fields.items() if field.exclude_if is not None}


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
