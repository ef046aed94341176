"""The picture formats and sizes of a V4L2 camera, asked of its driver.

Two requests of the kernel's V4L2 interface (VIDIOC_ENUM_FMT, VIDIOC_ENUM_FRAMESIZES); they work
beside a program that is using the camera.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

_VIDEO_CAPTURE = 1
# struct v4l2_fmtdesc: index, type, flags, description, pixelformat, mbus_code, reserved
_FORMAT = struct.Struct("=III32s4sI12x")
_ENUM_FORMAT = 0xC0000000 | _FORMAT.size << 16 | ord("V") << 8 | 2
# struct v4l2_frmsizeenum: index, pixel_format, type, a union of up to six numbers, reserved
_SIZE = struct.Struct("=I4sI6I8x")
_ENUM_SIZE = 0xC0000000 | _SIZE.size << 16 | ord("V") << 8 | 74
_DISCRETE = 1
_AT_MOST = 64
"""A broken driver must not list for ever."""

Ioctl: TypeAlias = Callable[[int, int, bytearray], object]
"""Asks the driver; the answer takes the place of the question. OSError ends a list."""


def formats_of(node: Path, ioctl: Ioctl | None = None) -> dict[str, list[str]]:
    """Format (``MJPG``) -> sizes (``1920x1080``); empty where the driver does not tell."""
    if ioctl is None:
        from fcntl import ioctl as system_ioctl

        ioctl = system_ioctl
    try:
        file = os.open(node, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return {}
    try:
        return {name: list(_sizes(file, code, ioctl)) for code, name in _formats(file, ioctl)}
    finally:
        os.close(file)


def _formats(file: int, ioctl: Ioctl) -> Iterator[tuple[bytes, str]]:
    for index in range(_AT_MOST):
        asked = bytearray(_FORMAT.pack(index, _VIDEO_CAPTURE, 0, b"", b"", 0))
        try:
            ioctl(file, _ENUM_FORMAT, asked)
        except OSError:
            return
        code = _FORMAT.unpack(asked)[4]
        yield code, code.decode("ascii", "replace").strip()


def _sizes(file: int, code: bytes, ioctl: Ioctl) -> Iterator[str]:
    for index in range(_AT_MOST):
        asked = bytearray(_SIZE.pack(index, code, 0, *(0,) * 6))
        try:
            ioctl(file, _ENUM_SIZE, asked)
        except OSError:
            return
        _, _, kind, *numbers = _SIZE.unpack(asked)
        if kind != _DISCRETE:  # least, most and step of the width, then of the height
            yield f"{numbers[0]}x{numbers[3]} to {numbers[1]}x{numbers[4]}"
            return
        yield f"{numbers[0]}x{numbers[1]}"
