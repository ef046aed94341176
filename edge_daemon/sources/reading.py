"""One picture file into one RGB frame, or one line that says why not.

What is decided here, for every picture that enters from disk:

* **Size** is read from the header; more than ``max_pixels`` is refused before any decoding.
* **Grey** is replicated to three channels.
* **16 bit** is scaled by the range of the container (65,535 becomes 255), not by the brightest
  pixel found: the same light must give the same pixel in every frame of a slide. A 12-bit camera
  that writes into 16-bit files is told by ``white_16bit=4095``.
* **Alpha** is composited on white, which is what empty glass looks like. The unused fourth byte of
  a 32-bit BMP is ignored.
* **EXIF orientation** is ignored: a stage has no up, and a frame that turns against the stage
  breaks its registration.
* CMYK, float, several pictures in one file, animation: refused, with what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.errors import FrameReadError
from edge_daemon.sources.base import Pixels
from edge_daemon.sources.picture_file import (
    BadPictureError,
    PictureHeader,
    read_header,
    require_complete,
)
from edge_daemon.sources.quiet_opencv import quiet_opencv

_WHITE_8BIT = 255
_JPEG_FILL = 128
_BYTES_PER_PIXEL_AT_MOST = 8  # 16-bit RGBA: a file cannot need more than this and its header


@dataclass(frozen=True)
class ReadingRules:
    """Limits and conversions; ``max_pixels`` is width times height."""

    max_pixels: int = 64_000_000
    white_16bit: int = 65_535


def read_picture(path: Path, rules: ReadingRules | None = None) -> Pixels:
    """The picture in the file as RGB uint8 ``[height, width, 3]``, contiguous.

    Raises:
        FrameReadError: one line with the path, what is wrong with it, and what to do.
    """
    rules = rules or ReadingRules()
    return decode_picture(read_file(path, rules), str(path), rules)


def read_file(path: Path, rules: ReadingRules) -> bytes:
    """The bytes of a file that may be a picture.

    Raises:
        FrameReadError: it is no file, is larger than any picture may be, or cannot be read.
    """
    limit_bytes = rules.max_pixels * _BYTES_PER_PIXEL_AT_MOST
    try:
        if not path.is_file():  # also: a pipe or device, on which a read would wait for ever
            what = "this is not a file" if path.exists() else "there is no such file"
            raise FrameReadError(f"{path}: {what}: check the path")
        size_bytes = path.stat().st_size
        if size_bytes > limit_bytes:
            raise FrameReadError(
                f"{path}: the file has {size_bytes / 1e6:.0f} MB, more than any picture of "
                f"{rules.max_pixels / 1e6:g} megapixels needs: cut it into fields"
            )
        return path.read_bytes()
    except OSError as error:
        raise FrameReadError(
            f"{path}: cannot be read ({error.strerror or error}): check its permissions and disk"
        ) from None


def decode_picture(data: bytes, name: str, rules: ReadingRules | None = None) -> Pixels:
    """The picture in the bytes of a file as RGB uint8 ``[height, width, 3]``, contiguous.

    ``name`` says in the error which picture it was.

    Raises:
        FrameReadError: one line with the name, what is wrong with it, and what to do.
    """
    rules = rules or ReadingRules()
    try:
        header = read_header(data)
        if header.width * header.height > rules.max_pixels:
            raise BadPictureError(
                f"{header.width} x {header.height} pixels are more than the limit of "
                f"{rules.max_pixels / 1e6:g} megapixels: cut it into fields"
            )
        require_complete(data)
        return _decode(data, header, rules)
    except BadPictureError as error:
        raise FrameReadError(f"{name}: {error}") from None


def _decode(data: bytes, header: PictureHeader, rules: ReadingRules) -> Pixels:
    quiet_opencv()
    plain = header.bits == 8 and not header.may_have_alpha
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION if plain else cv2.IMREAD_UNCHANGED
    try:
        decoded = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except (cv2.error, MemoryError):
        decoded = None
    if decoded is None or decoded.shape[:2] != (header.height, header.width):
        raise BadPictureError(
            f"the {header.format} cannot be decoded, its data are damaged: "
            "copy it again from where it came"
        )
    if header.format == "JPEG" and _ends_in_decoder_grey(decoded):
        raise BadPictureError(
            "part of the JPEG is missing and was filled with grey: copy it again from where it came"
        )
    return _to_rgb(decoded, rules)


def _ends_in_decoder_grey(decoded: npt.NDArray[Any]) -> bool:
    """Did libjpeg run out of data before the end marker?

    It then fills what is left, always including the last block, with exactly mid-grey (and only
    prints a warning). The camera's noise never gives 64 such pixels in a corner.
    """
    grey = _JPEG_FILL
    return bool(np.all(decoded[-8:, -8:] == grey)) and not bool(np.all(decoded == grey))


def _to_rgb(decoded: npt.NDArray[Any], rules: ReadingRules) -> Pixels:
    if decoded.dtype == np.uint16:
        decoded = cv2.convertScaleAbs(decoded, alpha=_WHITE_8BIT / rules.white_16bit)
    if decoded.dtype != np.uint8:
        raise BadPictureError(f"samples of type {decoded.dtype}: save it as 8 or 16 bit")
    if decoded.ndim == 2:
        return _pixels(cv2.cvtColor(decoded, cv2.COLOR_GRAY2RGB))
    if decoded.shape[2] == 3:
        return _pixels(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB, dst=decoded))
    if decoded.shape[2] == 4:
        return _pixels(_on_white(cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA)))
    raise BadPictureError(f"{decoded.shape[2]} channels: save it as grey or RGB")


def _on_white(rgba: npt.NDArray[Any]) -> npt.NDArray[Any]:
    colour = rgba[..., :3].astype(np.uint32)
    alpha = rgba[..., 3:].astype(np.uint32)
    blended = colour * alpha + _WHITE_8BIT * (_WHITE_8BIT - alpha)
    return ((blended + _WHITE_8BIT // 2) // _WHITE_8BIT).astype(np.uint8)


def _pixels(rgb: npt.NDArray[Any]) -> Pixels:
    return np.ascontiguousarray(rgb, dtype=np.uint8)
