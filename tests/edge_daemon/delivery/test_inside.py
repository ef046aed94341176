"""What MQTT 3.1.1 cannot carry beside a message, put into it and taken out again."""

from __future__ import annotations

import json
import uuid

import cv2
import numpy as np
import pytest

from edge_daemon.contract.messages import Crop, parse_message
from edge_daemon.delivery.inside import payload_with_all, taken_apart
from edge_daemon.delivery.parcel import Envelope, crop_parcel, parcel_of
from tests.edge_daemon.delivery.parcels import frame

ENVELOPE = Envelope(
    site="lab", device="scope-1", boot_id=uuid.uuid4().hex, bundle=None, seq=4, record=3
)


def picture() -> bytes:
    noise = np.random.default_rng(1).integers(0, 255, (40, 40, 3), np.uint8)
    return cv2.imencode(".jpg", noise)[1].tobytes()


@pytest.mark.parametrize("historical", [False, True])
def test_a_picture_carries_its_description_and_is_still_that_picture(historical: bool) -> None:
    jpeg = picture()
    crop = Crop(**ENVELOPE, slide="s1", frame=1, unique_id=2, p_blast=0.9, label="blast")
    payload = payload_with_all(crop_parcel(crop, jpeg), historical=historical)
    shown = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(shown, cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))
    about, left = taken_apart(payload)
    assert left == jpeg
    assert about is not None
    assert parse_message(about) == crop.model_copy(update={"historical": historical})


def test_a_message_that_waited_says_so_and_another_stays_as_it_was() -> None:
    parcel = parcel_of(frame(ENVELOPE, 7))
    assert payload_with_all(parcel, historical=False) == parcel.payload
    waited = payload_with_all(parcel, historical=True)
    assert json.loads(waited) == {**json.loads(parcel.payload), "historical": True}
    assert parse_message(waited).model_copy(update={"historical": False}) == parse_message(
        parcel.payload
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xfe",
        b"\xff\xd8\xff\xfe\x00",
        b"\xff\xd8\xff\xfe\x00\x01",
        b"\xff\xd8\xff\xfe\xff\xff and no more",
        b"\xff\xd8\xff\xfe\x00\x06GIMP\xff\xd9",
        b"\xff\xd8\xff\xfe\x00\x04\xff\xff",
        picture(),
    ],
)
def test_a_picture_that_says_nothing_stays_whole(payload: bytes) -> None:
    assert taken_apart(payload) == (None, payload)
