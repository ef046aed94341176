"""Parcels for the tests of delivery: small frames of one device, numbered by its outbox."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone

from edge_daemon.contract.messages import (
    CellCounts,
    CellResult,
    Crop,
    FrameResult,
    Receipt,
    SlideSummary,
)
from edge_daemon.contract.terms import CellLabel
from edge_daemon.delivery.outbox import Batch, Outbox
from edge_daemon.delivery.parcel import Envelope, Origin, Parcel, Worth, crop_parcel, parcel_of

MOMENT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=timezone.utc)


def origin(device: str = "scope-1") -> Origin:
    return Origin(site="lab", device=device, boot_id=uuid.uuid4().hex)


def frame(envelope: Envelope, index: int, label: CellLabel = "normal") -> FrameResult:
    cell = CellResult(
        id=0, box=(10, 20, 30, 40), kind="wbc", score=0.9, p_blast=0.5, label=label, unique_id=index
    )
    return FrameResult(
        **envelope,
        slide="slide-7",
        frame=index,
        source=f"field-{index:04}.jpg",
        captured_at=MOMENT,
        outcome="analysed",
        width=640,
        height=480,
        cells=(cell,),
        counts=CellCounts(wbc=1),
    )


def put_frames(outbox: Outbox, sender: Origin, count: int, first: int = 0) -> None:
    """Put ``count`` frames in batches of ten, the way the pipeline does."""
    for start in range(first, first + count, 10):
        with outbox.transaction() as batch:
            for index in range(start, min(start + 10, first + count)):
                batch.put(parcel_of(frame(batch.envelope(sender), index)))


def put_crop(outbox: Outbox, sender: Origin, jpeg: bytes) -> Crop:
    """Put the picture of a cell, and say what was put beside it."""
    with outbox.transaction() as batch:
        crop = Crop(
            **batch.envelope(sender),
            slide="slide-7",
            frame=4,
            unique_id=12,
            p_blast=0.93,
            label="blast",
        )
        batch.put(crop_parcel(crop, jpeg))
    return crop


def put_plain(batch: Batch, sender: Origin, worth: Worth, size_bytes: int = 100) -> Parcel:
    """Put a parcel of a given worth and size, whose content does not matter."""
    numbers = batch.envelope(sender)
    parcel = Parcel(
        topic="leukoedge/v1/lab/scope-1/slide/slide-7/frame",
        payload=b"x" * size_bytes,
        boot_id=sender.boot_id,
        seq=numbers["seq"],
        worth=worth,
    )
    batch.put(parcel)
    return parcel


def summary(envelope: Envelope, captured: int) -> SlideSummary:
    return SlideSummary.model_validate(
        {
            **envelope,
            "slide": "slide-7",
            "frames": {"captured": captured, "analysed": captured},
            "unique_cells": {"wbc": 0},
            "nucleated_cells": 0,
            "blasts": 0,
            "uncertain": 0,
            "blast_fraction": None,
            "disposition": "insufficient",
            "reasons": ["no nucleated cell was counted"],
            "started_at": MOMENT,
            "ended_at": MOMENT,
            "complete": True,
            "completion": "finished",
        }
    )


def receipt(boot_id: str, up_to_seq: int, *beyond: tuple[int, int]) -> Receipt:
    return Receipt(
        site="lab", device="scope-1", boot_id=boot_id, up_to_seq=up_to_seq, beyond=beyond
    )
