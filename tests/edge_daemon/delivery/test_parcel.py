"""How each message travels: what is retained, what expires, what may be given up."""

from __future__ import annotations

import pytest

from edge_daemon.contract.messages import (
    CommandReply,
    Crop,
    FrameResult,
    Health,
    ShadowReport,
    SlideSummary,
    Status,
    parse_message,
)
from edge_daemon.contract.terms import CellLabel, Completion
from edge_daemon.delivery.parcel import Envelope, Worth, crop_parcel, parcel_of
from edge_daemon.errors import MessageError
from tests.edge_daemon.contract.samples import ENVELOPE, SAMPLES, SHADOW
from tests.edge_daemon.delivery.parcels import frame

NUMBERS = Envelope(site="lab", device="scope-1", boot_id="0" * 32, bundle=None, seq=1, record=1)
CROP = Crop(**ENVELOPE, slide="slide-7", frame=4, unique_id=3, p_blast=0.97, label="blast")


@pytest.mark.parametrize(
    ("kind", "qos", "retain", "expires_s"),
    [
        (FrameResult, 1, False, None),
        (SlideSummary, 1, True, None),
        (ShadowReport, 1, True, None),
        (Status, 1, True, None),
        (Health, 0, False, 60),
        (CommandReply, 1, False, None),
    ],
)
def test_each_kind_travels_as_the_contract_says(
    kind: type, qos: int, retain: bool, expires_s: int | None
) -> None:
    message = next(sample for sample in SAMPLES if type(sample) is kind)
    parcel = parcel_of(message)
    assert (parcel.qos, parcel.retain, parcel.expires_s) == (qos, retain, expires_s)
    assert parcel.content_type == "application/json"
    assert parse_message(parcel.payload) == message


@pytest.mark.parametrize(
    ("label", "worth"),
    [("normal", Worth.RESULT), ("uncertain", Worth.VITAL), ("blast", Worth.VITAL)],
)
def test_a_frame_with_a_suspicious_cell_is_never_given_up(label: CellLabel, worth: Worth) -> None:
    assert parcel_of(frame(NUMBERS, 0, label)).worth is worth


@pytest.mark.parametrize(("completion", "worth"), [(None, Worth.RESULT), ("finished", Worth.VITAL)])
def test_the_last_word_on_a_candidate_is_never_given_up(
    completion: Completion | None, worth: Worth
) -> None:
    report = ShadowReport(**{**SHADOW, "completion": completion})
    assert parcel_of(report).worth is worth


def test_a_picture_travels_with_its_description_and_is_given_up_first() -> None:
    parcel = crop_parcel(CROP, b"\xff\xd8\xff")
    assert parcel.content_type == "image/jpeg"
    assert parcel.worth is Worth.PREVIEW
    assert parcel.about is not None
    assert parse_message(parcel.about) == CROP


@pytest.mark.parametrize(
    ("picture", "line"),
    [(b"\xff\xd8" + bytes(65_536), "at most 65536 may be sent"), (b"\x89PNG", "is no JPEG")],
)
def test_a_picture_too_large_or_of_another_kind_is_refused(picture: bytes, line: str) -> None:
    with pytest.raises(MessageError, match=line):
        crop_parcel(CROP, picture)
