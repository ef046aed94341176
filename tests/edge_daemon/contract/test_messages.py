"""Messages: what can be said, what cannot, and what is refused with which line."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_daemon.contract.messages import (
    MESSAGES,
    BlastFraction,
    CellCounts,
    CellResult,
    Desired,
    DesiredBundle,
    FrameCounts,
    FrameResult,
    Message,
    OpinionCounts,
    SlideSummary,
    Status,
    UpdateReport,
    parse_message,
)
from edge_daemon.contract.worst import SlidePlace, WorstCell, WorstField
from edge_daemon.errors import MessageError
from tests.edge_daemon.contract.samples import (
    ANALYSED,
    BLAST,
    ENVELOPE,
    FRAME,
    MOMENT,
    RED,
    SAMPLES,
    SUMMARY,
    WORST_CELLS,
    WORST_FIELDS,
)

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("message", SAMPLES, ids=lambda m: m.schema_id)
def test_a_message_survives_the_wire(message: Message) -> None:
    text = message.to_json()
    assert parse_message(text) == message
    assert b"\n" not in text
    assert text.startswith(b'{"schema":"leukoedge.')


def test_there_is_a_sample_of_every_kind() -> None:
    assert {type(message) for message in SAMPLES} == set(MESSAGES)


def test_a_frame_on_the_wire_is_what_the_documentation_promises() -> None:
    frame = json.loads(SAMPLES[0].to_json())
    assert frame["schema"] == "leukoedge.frame/1"
    assert frame["ts"] == "2026-05-04T03:02:01Z"
    assert frame["timings_ms"] == {"detect": 12.346}
    assert frame["cells"] == [
        {
            "id": 0,
            "box": [1.3, 2.0, 30.0, 40.0],
            "kind": "wbc",
            "score": 0.9,
            "p_blast": 0.97,
            "label": "blast",
            "unique_id": 3,
        },
        {"id": 1, "box": [50.0, 60.0, 20.0, 20.0], "kind": "rbc", "score": 0.8},
    ]


def edited(message: Message, **changes: Any) -> str:
    """The JSON of a message with some fields replaced, or with ``...`` removed."""
    fields = {**json.loads(message.to_json()), **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...})


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (SAMPLES[0].to_json()[:200], "not JSON, or cut short"),
        (b"\xff\xfe", "not JSON, or cut short"),
        (b"", "not JSON, or cut short"),
        (b"[" * 100_000, "not JSON, or cut short"),
        (b"[]", "not a JSON object"),
        (b"{}", "it does not name its schema"),
        (edited(SAMPLES[0], schema="leukoedge.frame/2"), "schema 'leukoedge.frame/2' is unknown"),
        (edited(SAMPLES[0], colour="red"), "leukoedge.frame/1: colour: field is unknown"),
        (edited(SAMPLES[0], cells=...), "counts differ from the cells listed"),
        (edited(SAMPLES[1], cells=...), "cells: field is missing"),
        (edited(SAMPLES[1], ts=...), "ts: field is missing"),
        (edited(SAMPLES[0], frame="4"), "frame: Input should be a valid integer"),
        (edited(SAMPLES[0], um_per_px=float("nan")), "um_per_px: Input should be a finite number"),
        (edited(SAMPLES[0], ts="2026-05-04T03:02:01"), "ts: Input should have timezone info"),
        (edited(SAMPLES[0], device="a/b"), "device: String should match pattern"),
        (edited(SAMPLES[0], slide="#"), "slide: String should match pattern"),
        (edited(SAMPLES[0], reason="dust"), "an analysed frame has no reason"),
    ],
)
def test_what_is_wrong_is_refused_with_one_line(payload: bytes | str, line: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse_message(payload)
    assert str(caught.value).startswith("message refused: ")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@given(position=st.integers(0, 10_000), junk=st.binary(max_size=4))
def test_a_damaged_message_is_refused_or_still_valid_and_nothing_else(
    position: int, junk: bytes
) -> None:
    whole = SAMPLES[2].to_json()
    position %= len(whole)
    try:
        message = parse_message(whole[:position] + junk + whole[position + len(junk) :])
    except MessageError:
        return
    assert isinstance(message, SlideSummary)


def test_time_is_utc_and_never_without_a_zone() -> None:
    east = datetime(2026, 5, 4, 5, 2, 1, tzinfo=timezone(timedelta(hours=2)))
    status = Status(**{**ENVELOPE, "ts": east}, state="online", version="0.1.0")
    assert status.ts == MOMENT
    assert status.ts.utcoffset() == timedelta(0)
    with pytest.raises(ValidationError, match="timezone"):
        Status(**{**ENVELOPE, "ts": MOMENT.replace(tzinfo=None)}, state="online", version="0.1.0")


def test_a_message_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SAMPLES[0].frame = 5  # type: ignore[union-attr, misc]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"kind": "wbc", "p_blast": 0.5}, "needs p_blast and label"),
        ({"kind": "wbc", "label": "blast"}, "needs p_blast and label"),
        ({"kind": "rbc", "p_blast": 0.5}, "belong to wbc"),
        ({"kind": "platelet", "label": "normal"}, "belong to wbc"),
        ({"kind": "rbc", "unique_id": 3}, "belong to wbc"),
        ({"kind": "rbc", "box": (0, 0, 0.04, 10)}, "box has no area"),
        ({"kind": "rbc", "score": 1.01}, "less than or equal to 1"),
        ({"kind": "neutrophil"}, "wbc"),
    ],
)
def test_impossible_cells_cannot_be_built(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        CellResult(**{"id": 0, "box": (0, 0, 10, 10), "score": 0.5, **fields})


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({**ANALYSED, "reason": "blurred"}, "an analysed frame has no reason"),
        ({**ANALYSED, "width": None}, "has a width and a height"),
        ({**ANALYSED, "counts": CellCounts(wbc=2)}, "counts differ"),
        ({**ANALYSED, "um_per_px": 0.1}, "um_per_px_from is unknown"),
        ({**ANALYSED, "um_per_px_from": "estimated"}, "um_per_px is null exactly"),
        ({**FRAME, "outcome": "rejected"}, "a rejected frame needs a reason"),
        ({**FRAME, "outcome": "dropped", "reason": ""}, "at least 1 character"),
        ({**ANALYSED, "outcome": "failed", "reason": "x"}, "a failed frame has no cells"),
        ({**FRAME, "outcome": "rejected", "reason": "x", "saturated": True}, "has no cells"),
        ({**FRAME, "outcome": "skipped", "reason": "x"}, "outcome"),
    ],
)
def test_impossible_frames_cannot_be_built(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        FrameResult(**fields)


def test_counts_follow_from_the_cells() -> None:
    assert CellCounts.of([BLAST, RED, RED]) == CellCounts(wbc=1, rbc=2, platelet=0)


def _cells(count: int) -> tuple[WorstCell, ...]:
    blast = WORST_CELLS[0]
    return tuple(blast.model_copy(update={"unique_id": one}) for one in range(count))


def _place(frame: int, **changes: int) -> WorstField:
    counts = {"blasts": 2, "uncertain": 1, "nucleated": 8, **changes}
    return WorstField(frame=frame, place=SlidePlace(field=0, piece=0, x=0, y=0), **counts)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"blasts": 39}, "more blasts and uncertain"),
        ({"nucleated_cells": 41}, "more nucleated cells"),
        ({"saturated_frames": 9}, "more saturated frames"),
        ({"blast_fraction": None}, "null exactly when nucleated_cells is 0"),
        ({"nucleated_cells": 0, "blasts": 0, "uncertain": 0}, "null exactly when"),
        ({"blasts": 11}, "blast_fraction is not blasts / nucleated_cells"),
        ({"ended_at": None}, "completion is null exactly when ended_at is"),
        ({"completion": "aborted"}, "complete is True of a slide that is aborted"),
        ({"ended_at": MOMENT - timedelta(seconds=1)}, "ended before it started"),
        ({"reasons": ()}, "at least 1 item"),
        ({"worst_cells": WORST_CELLS[::-1]}, "not sorted worst first"),
        ({"worst_cells": (WORST_CELLS[1], WORST_CELLS[0])}, "not sorted worst first"),
        ({"worst_cells": WORST_CELLS[:1] * 2}, "a cell is listed twice"),
        ({"worst_cells": _cells(21)}, "at most 20 items"),
        ({"worst_cells": _cells(11)}, "more blast cells than were counted"),
        ({"worst_fields": WORST_FIELDS[::-1]}, "not sorted worst first"),
        ({"worst_fields": (_place(4, nucleated=9), _place(7, nucleated=8))}, "not sorted"),
        ({"worst_fields": WORST_FIELDS[1:] * 2}, "a frame is listed twice"),
        ({"worst_fields": (_place(1, blasts=6), _place(2, blasts=5))}, "more blasts than"),
        ({"worst_fields": (_place(1, nucleated=41),)}, "more nucleated cells than"),
    ],
)
def test_impossible_summaries_cannot_be_built(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        SlideSummary(**{**SUMMARY, **changes})


def test_a_summary_of_before_there_were_lists_is_still_read_from_the_ledger() -> None:
    old = {name: value for name, value in SUMMARY.items() if not name.startswith("worst_")}
    text = SlideSummary(**old).model_dump_json(
        by_alias=True, exclude={"worst_cells", "worst_fields"}
    )
    summary = SlideSummary.model_validate_json(text)
    assert (summary.worst_cells, summary.worst_fields) == ((), ())


@pytest.mark.parametrize(
    "counts",
    [{"blasts": 0, "uncertain": 0}, {"blasts": 9, "uncertain": 0}, {"blasts": -1}],
)
def test_a_place_is_listed_for_what_was_found_there(counts: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        _place(4, **counts)


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ({"wanted": 2, "answered": 2, "skipped": 1}, "more cells answered and skipped"),
        ({"wanted": 2, "answered": 1, "agreed": 2}, "more answers agree"),
    ],
)
def test_impossible_counts_of_opinions_cannot_be_built(counts: dict[str, int], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        OpinionCounts(**counts)


@given(*[st.integers(0, 1000)] * 5)
def test_frames_by_outcome_add_up_or_cannot_be_said(
    captured: int, analysed: int, rejected: int, dropped: int, failed: int
) -> None:
    counts = {"analysed": analysed, "rejected": rejected, "dropped": dropped, "failed": failed}
    total = sum(counts.values())
    assert FrameCounts(captured=total, **counts).captured == total
    if captured != total:
        with pytest.raises(ValidationError, match="have an outcome"):
            FrameCounts(captured=captured, **counts)


def test_a_blast_fraction_lies_inside_its_interval() -> None:
    with pytest.raises(ValidationError, match="outside its own interval"):
        BlastFraction(estimate=0.5, low=0.1, high=0.4, confidence=0.95)


@pytest.mark.parametrize(
    "fields", [{"state": "online", "reason": "fine"}, {"state": "offline"}, {"state": "asleep"}]
)
def test_a_device_that_is_not_online_says_why(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Status(**ENVELOPE, version="0.1.0", **fields)


def test_an_order_without_a_daemon_is_what_devices_always_read() -> None:
    """One that does not know the field refuses it, so it is there only where it says something."""
    (order,) = (one for one in SAMPLES if isinstance(one, Desired))
    assert b'"daemon"' not in order.to_json()
    with_daemon = order.model_copy(
        update={"daemon": DesiredBundle(name="leukoedge", version="0.8.0")}
    )

    assert parse_message(with_daemon.to_json()) == with_daemon
    assert parse_message(order.to_json()) == order


def test_a_part_that_is_carried_over_keeps_the_order_that_it_is_of() -> None:
    (order,) = (one for one in SAMPLES if isinstance(one, Desired))
    assert b'"order"' not in order.to_json()
    carried = order.first(order.bundle)
    assert carried is not None
    assert carried.order == order.id
    later = order.model_copy(update={"id": "12" * 16, "bundle": carried})
    assert later.first(later.bundle) == carried, "however often"
    assert parse_message(later.to_json()) == later
    assert order.first(None) is None


def test_how_updates_stand_is_read_of_devices_that_say_nothing_of_the_daemon() -> None:
    (report,) = (one for one in SAMPLES if isinstance(one, UpdateReport))
    older = json.loads(report.to_json())
    assert older["standing"].pop("daemon")["step"] == "committed"
    read = parse_message(json.dumps(older))
    assert isinstance(read, UpdateReport)
    assert read.standing.daemon is None
    assert parse_message(read.to_json()) == read
