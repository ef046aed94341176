"""What MQTT 3.1.1 cannot carry beside a message, carried inside it.

MQTT 5 has user properties; 3.1.1 has a topic and bytes. So over 3.1.1 ``historical`` becomes a
field of the JSON, and the description of a picture becomes a comment of the JPEG (COM, ITU-T T.81,
B.2.4.5), which every viewer passes over. Without that a receiver could neither number nor
acknowledge a crop.
"""

from __future__ import annotations

from edge_daemon.delivery.parcel import JSON_TYPE, Parcel

_MARK = b',"historical":true}'
_START_OF_IMAGE = b"\xff\xd8"
_COMMENT = b"\xff\xfe"
_LENGTH_BYTES = 2  # of a segment's length, which counts itself


def payload_with_all(parcel: Parcel, *, historical: bool) -> bytes:
    """The payload of a parcel, with what MQTT 5 would carry beside it."""
    if parcel.about is not None:
        about = _marked(parcel.about.encode(), historical)
        length = (len(about) + _LENGTH_BYTES).to_bytes(_LENGTH_BYTES, "big")
        return _START_OF_IMAGE + _COMMENT + length + about + parcel.payload[2:]
    return _marked(parcel.payload, historical and parcel.content_type == JSON_TYPE)


def taken_apart(payload: bytes) -> tuple[str | None, bytes]:
    """The description inside a picture, or None where there is none, and the picture without it."""
    head = _START_OF_IMAGE + _COMMENT
    begin = len(head) + _LENGTH_BYTES
    end = len(head) + int.from_bytes(payload[len(head) : begin], "big")
    if not payload.startswith(head) or not begin <= end <= len(payload):
        return None, payload
    try:
        about = payload[begin:end].decode()
    except UnicodeDecodeError:
        return None, payload
    if not about.startswith('{"schema"'):  # a comment of whoever encoded the picture
        return None, payload
    return about, _START_OF_IMAGE + payload[end:]


def _marked(json: bytes, historical: bool) -> bytes:
    if not historical or not json.endswith(b"}"):
        return json
    return json[:-1] + _MARK
