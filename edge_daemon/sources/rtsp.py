"""Network cameras (RTSP) through OpenCV's FFmpeg.

``rtsp://user:password@host:554/path?channel=1#transport=tcp``: what stands behind ``?`` belongs to
the camera, and LeukoEdge's settings stand behind ``#``, which no server sees. User and password,
and the camera's own query, are in no name, log or message.
"""

from __future__ import annotations

import os
import threading
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

import cv2
from pydantic import Field

from edge_daemon.errors import AbsentSourceError, SourceError
from edge_daemon.sources.address import Off, settings_from
from edge_daemon.sources.base import Source
from edge_daemon.sources.capture import (
    Capture,
    OpenCapture,
    OpenCvDevice,
    fourcc,
    size_and_rate,
)
from edge_daemon.sources.device import Device, LiveSettings
from edge_daemon.sources.live import LiveCamera
from edge_daemon.sources.quiet_opencv import quiet_opencv
from edge_daemon.sources.request import SourceRequest

_MS_PER_S = 1000
_LONGER_S = 1.0
"""FFmpeg waits longer than the watch does: when it gives up, OpenCV hands out the pictures that the
decoder has kept back, one after each wait, and a silent camera would seem to live (4.5 s)."""
_FRAME_TYPE = 69
"""cv2.CAP_PROP_FRAME_TYPE: OpenCV before 4.11 has no name for it, and answers 0."""
_TYPES = frozenset(map(ord, "IPB"))
_ALWAYS_WHOLE = frozenset(("MJPG", "JPEG"))
_environment = threading.Lock()
"""FFmpeg's options reach OpenCV through the environment, which all threads share."""


class RtspSettings(LiveSettings):
    """How to read a network camera."""

    transport: Literal["tcp", "udp"] = Field(default="tcp", description="udp tears pictures")
    open_timeout_s: float = Field(default=5.0, gt=0)
    # Of a compressed stream only whole pictures are evidence, commonly one a second: two that are
    # equal must be enough, to tell within two.
    frozen_after_s: Annotated[float | None, Off] = Field(default=0.9, gt=0)


def open_rtsp(request: SourceRequest, open_capture: OpenCapture | None = None) -> Source:
    """The source of ``rtsp://...#settings``.

    Raises:
        SourceError: there is no host, or a setting is unknown.
    """
    address, _, query = request.address.partition("#")
    name, secrets = without_secrets(address)
    settings = settings_from(RtspSettings, query, name)
    return LiveCamera(
        name,
        lambda: _open(name, address, settings, open_capture),
        settings,
        um_per_px=request.um_per_px,
        stop=request.stop,
        on_event=request.on_event,
        hidden=(*((address,) if address != name else ()), *secrets),
        may_come_later=request.may_come_later,
    )


def without_secrets(address: str) -> tuple[str, tuple[str, ...]]:
    """The address as it may be shown, and the words of it that may not.

    Raises:
        SourceError: it names no host.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host:
        raise SourceError(
            "rtsp://...: the address names no host, or not as one does: write "
            "rtsp://user:password@host:554/path, signs such as @ or / in a password as %40 or %2F"
        )
    place = f"[{host}]" if ":" in host else host
    shown = urlunsplit(
        (parts.scheme, place if port is None else f"{place}:{port}", parts.path, "", "")
    )
    secrets = {word for word in (parts.password, parts.query) if word}
    # A word of three letters is found in any line, and what is starred in them all is no secret.
    secrets = {word for word in secrets | set(map(unquote, secrets)) if len(word) > 3}
    # The longest first: a part of a word must not be hidden and the rest shown.
    return shown, tuple(sorted(secrets, key=len, reverse=True))


def _open(
    name: str, address: str, settings: RtspSettings, open_capture: OpenCapture | None
) -> Device:
    quiet_opencv()
    capture = open_capture(address) if open_capture else _open_ffmpeg(address, settings)
    if not capture.isOpened():
        capture.release()
        raise AbsentSourceError(
            f"{name}: the camera does not answer, or refuses: check address, user, password and "
            f"network (it was asked over {settings.transport})"
        )
    told_fps = capture.get(cv2.CAP_PROP_FPS)
    return OpenCvDevice(
        capture,
        ", ".join([*size_and_rate(capture), settings.transport]),
        fps=told_fps if 0 < told_fps < 1000 else None,
        is_predicted=is_predicted,
    )


def is_predicted(capture: Capture) -> bool:
    """Whether the last picture was coded as a change of others (types P and B of the codecs)."""
    kind = int(capture.get(_FRAME_TYPE))
    if kind in _TYPES:
        return kind != ord("I")
    return fourcc(capture).upper() not in _ALWAYS_WHOLE


def _open_ffmpeg(address: str, settings: RtspSettings) -> Capture:
    options = f"rtsp_transport;{settings.transport}|fflags;nobuffer|flags;low_delay"
    with _environment:
        before = os.environ.get("OPENCV_FFMPEG_CAPTURE_OPTIONS")
        if before is None:
            os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = options
        try:
            return cv2.VideoCapture(
                address,
                cv2.CAP_FFMPEG,
                [
                    cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                    round(settings.open_timeout_s * _MS_PER_S),
                    cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                    round((settings.frame_timeout_s + _LONGER_S) * _MS_PER_S),
                ],
            )
        finally:
            if before is None:
                del os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"]
