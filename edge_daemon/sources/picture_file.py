"""What a picture file says about itself, read before a decoder touches it.

A decoder trusts its input: it allocates whatever size the header asks for, and fills with grey
whatever a cut-off file lacks. A microscope's daemon must do neither. So the size is read from the
header first, and the container is walked to its end: a JPEG or PNG that was cut short is known by
what is missing, not by how the picture looks.

Formats: JPEG (ITU-T T.81 Annex B), PNG (W3C PNG 3, chunk layout), BMP, TIFF 6.0, WebP (RFC 9649).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

READABLE = "JPEG, PNG, BMP, TIFF or WebP"

_CUT_SHORT = "the file is cut short or damaged: copy it again from where it came"
_SAVE_AS = "save it as PNG or JPEG"


class BadPictureError(ValueError):
    """Why a file cannot be read as a picture, and what to do: one line without the file's name."""


@dataclass(frozen=True)
class PictureHeader:
    """Size in pixels, bits of one sample, and whether there may be an alpha channel."""

    format: str
    width: int
    height: int
    bits: int = 8
    may_have_alpha: bool = False


def read_header(data: bytes) -> PictureHeader:
    """Format and size of the picture in ``data``, without decoding it.

    Raises:
        BadPictureError: not a picture, a format or variant that is not read, or no whole header.
    """
    reader, _ = _container(data)
    try:
        header = reader(data)
    except (struct.error, IndexError):
        raise BadPictureError(f"the header is incomplete: {_CUT_SHORT}") from None
    if header.width < 1 or header.height < 1:
        raise BadPictureError(
            f"the {header.format} states {header.width} x {header.height} pixels: {_CUT_SHORT}"
        )
    return header


def require_complete(data: bytes) -> None:
    """Walk the container to its end.

    Raises:
        BadPictureError: the file ends too early, or a checksum or marker is wrong.
    """
    _, walk = _container(data)
    try:
        walk(data)
    except (struct.error, IndexError):
        raise BadPictureError(_CUT_SHORT) from None


def _container(data: bytes) -> tuple[Callable[[bytes], PictureHeader], Callable[[bytes], None]]:
    if not data:
        raise BadPictureError("the file is empty (0 bytes): copy it again from where it came")
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg_header, _walk_jpeg
    if data.startswith(_PNG_SIGNATURE):
        return _png_header, _walk_png
    if data.startswith(b"BM"):
        return _bmp_header, _walk_bmp
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_header, _walk_tiff
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp_header, _walk_webp
    raise BadPictureError(_what_it_is_instead(data))


def _what_it_is_instead(data: bytes) -> str:
    if not any(data[:512]):
        return f"the file holds only zeros: {_CUT_SHORT}"
    others = {
        b"GIF8": "GIF",
        b"%PDF": "PDF",
        b"\0\0\0\x0cjP  ": "JPEG 2000",
        b"II+\0": "BigTIFF",
        b"MM\0+": "BigTIFF",
    }
    name = next((name for magic, name in others.items() if data.startswith(magic)), None)
    if data[4:8] == b"ftyp":
        name = "AVIF, HEIC or MP4"
    what = f"this is {name}" if name else "this is not a picture"
    return f"{what}, and only {READABLE} is read: {_SAVE_AS}"


# JPEG: 0xFF, marker, and for most markers a length and so many bytes.

_SOF_READ = {0xC0, 0xC1, 0xC2}  # baseline, extended sequential, progressive; Huffman coded
_SOF_ALL = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_SOS, _EOI = 0xDA, 0xD9
# In entropy-coded data 0xFF is followed by 0 (stuffing) or a restart marker; anything else ends it.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_AFTER_SCAN = {0xC4, 0xDB, 0xDA, 0xD9, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)}


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """(marker, offset of the bytes after marker and length) up to and including EOI."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise BadPictureError(f"JPEG with a broken segment at byte {at}: {_CUT_SHORT}")
        while data[at] == 0xFF:  # any number of fill bytes
            at += 1
        marker = data[at]
        if marker == _EOI:
            yield marker, at + 1
            return
        (length,) = struct.unpack_from(">H", data, at + 1)
        yield marker, at + 3
        at += 1 + length
        if marker == _SOS:
            end = _END_OF_SCAN.search(data, at)
            if end is None:
                raise BadPictureError(f"JPEG without its end marker: {_CUT_SHORT}")
            at = end.start()
            if data[at + 1] not in _AFTER_SCAN:
                raise BadPictureError(f"JPEG with a stray marker at byte {at}: {_CUT_SHORT}")


def _jpeg_header(data: bytes) -> PictureHeader:
    for marker, at in _jpeg_segments(data):
        if marker in _SOF_ALL:
            bits, height, width, components = struct.unpack_from(">BHHB", data, at)
            if marker not in _SOF_READ or bits != 8:
                raise BadPictureError(f"a {bits}-bit, lossless or arithmetic JPEG: {_SAVE_AS}")
            if components not in (1, 3):
                raise BadPictureError(
                    f"a JPEG with {components} colour components (CMYK?), not grey or RGB: "
                    "save it as RGB"
                )
            return PictureHeader("JPEG", width, height)
        if marker in (_SOS, _EOI):
            break
    raise BadPictureError(f"JPEG without a frame header: {_CUT_SHORT}")


def _walk_jpeg(data: bytes) -> None:
    scans = sum(marker == _SOS for marker, _ in _jpeg_segments(data))
    if scans == 0:
        raise BadPictureError(f"JPEG without picture data: {_CUT_SHORT}")


# PNG: chunks of length, type, data, CRC.

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = len(_PNG_SIGNATURE)
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, length
        at += 12 + length


def _png_header(data: bytes) -> PictureHeader:
    kind, at, length = next(_png_chunks(data))
    if kind != b"IHDR" or length != 13:
        raise BadPictureError(f"PNG without its header chunk: {_CUT_SHORT}")
    width, height, bits, colour_type = struct.unpack_from(">IIBB", data, at)
    return PictureHeader(
        "PNG",
        width,
        height,
        bits=16 if bits == 16 else 8,
        # Grey with alpha, RGB with alpha, or a transparent colour (tRNS) in any other type.
        may_have_alpha=colour_type in (4, 6) or b"tRNS" in data,
    )


def _walk_png(data: bytes) -> None:
    view = memoryview(data)
    pixels_seen = False
    for kind, at, length in _png_chunks(data):
        (stated,) = struct.unpack_from(">I", data, at + length)
        if zlib.crc32(view[at - 4 : at + length]) != stated:
            raise BadPictureError(f"PNG with a wrong checksum at byte {at}: {_CUT_SHORT}")
        if kind == b"acTL":
            raise BadPictureError(f"an animated PNG, not one picture: {_SAVE_AS}")
        pixels_seen = pixels_seen or kind == b"IDAT"
        if kind == b"IEND":
            break
    if not pixels_seen:
        raise BadPictureError(f"PNG without picture data: {_CUT_SHORT}")


# BMP: file header, then one of several information headers, then rows padded to 4 bytes.


def _bmp_fields(data: bytes) -> tuple[int, int, int, int, int]:
    """Offset of the pixels, width, height, bits per pixel, compression."""
    offset, header_size = struct.unpack_from("<II", data, 10)
    if header_size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        return offset, width, height, bits, 0
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    return offset, width, abs(height), bits, compression  # negative height: top row first


def _bmp_header(data: bytes) -> PictureHeader:
    _, width, height, _, _ = _bmp_fields(data)
    # The fourth byte of a 32-bit BMP is unused by most writers (0), so it is no alpha here.
    return PictureHeader("BMP", width, height)


def _walk_bmp(data: bytes) -> None:
    offset, width, height, bits, compression = _bmp_fields(data)
    row_bytes = (width * bits + 31) // 32 * 4
    run_length_coded = compression in (1, 2)
    if not run_length_coded and len(data) < offset + row_bytes * height:
        raise BadPictureError(_CUT_SHORT)


# WebP: RIFF chunks; the first says lossy, lossless or extended.


def _webp_header(data: bytes) -> PictureHeader:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return PictureHeader("WebP", width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", data, 21)
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        return PictureHeader("WebP", width, height, may_have_alpha=True)
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        if data[20] & 0x02:
            raise BadPictureError(f"an animated WebP, not one picture: {_SAVE_AS}")
        if len(data) < 30:
            raise BadPictureError(_CUT_SHORT)
        return PictureHeader("WebP", width, height, may_have_alpha=True)
    raise BadPictureError(f"WebP with an unknown first chunk: {_CUT_SHORT}")


def _walk_webp(data: bytes) -> None:
    (stated,) = struct.unpack_from("<I", data, 4)
    if len(data) < stated + 8:
        raise BadPictureError(f"WebP that ends before its stated size: {_CUT_SHORT}")


# TIFF: a directory of tags; the pixels lie in strips or tiles wherever their offsets say.

_TIFF_TYPES = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG: all that the tags below may use
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT = 256, 257, 258, 262, 277, 339
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
_PHOTOMETRIC_READ = {1, 2, 3, 6}  # black is zero, RGB, palette, YCbCr


def _tiff_tags(data: bytes) -> tuple[dict[int, tuple[int, ...]], int]:
    """Whole-number tags of the first picture, and the offset of the next picture (0: none)."""
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, at)
    tags: dict[int, tuple[int, ...]] = {}
    for entry in range(at + 2, at + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", data, entry)
        letter = _TIFF_TYPES.get(kind)
        if letter is None:
            continue
        layout = f"{order}{count}{letter}"
        if count > len(data):
            raise BadPictureError(f"TIFF with a broken directory: {_CUT_SHORT}")
        inside = struct.calcsize(layout) <= 4  # small values stand in the entry itself
        where = entry + 8 if inside else struct.unpack_from(order + "I", data, entry + 8)[0]
        tags[tag] = struct.unpack_from(layout, data, where)
    (following,) = struct.unpack_from(order + "I", data, at + 2 + 12 * entries)
    return tags, following


def _tiff_header(data: bytes) -> PictureHeader:
    tags, following = _tiff_tags(data)
    if not (tags.get(_WIDTH) and tags.get(_HEIGHT)):
        raise BadPictureError(f"TIFF without a size: {_CUT_SHORT}")
    if following:
        raise BadPictureError("a TIFF of several pictures: save each as a file of its own")
    bits = max(tags.get(_BITS, (1,)))
    if bits not in (1, 4, 8, 16) or set(tags.get(_SAMPLE_FORMAT, (1,))) != {1}:
        raise BadPictureError(f"a TIFF of {bits}-bit float or signed samples: save it as 8 bit")
    photometric = tags.get(_PHOTOMETRIC, (1,))[0]
    if photometric not in _PHOTOMETRIC_READ:
        raise BadPictureError("a TIFF that is neither grey nor RGB (CMYK?): save it as RGB")
    return PictureHeader(
        "TIFF",
        tags[_WIDTH][0],
        tags[_HEIGHT][0],
        bits=16 if bits == 16 else 8,
        may_have_alpha=tags.get(_SAMPLES, (1,))[0] in (2, 4),
    )


def _walk_tiff(data: bytes) -> None:
    tags, _ = _tiff_tags(data)
    offsets = tags.get(_STRIPS) or tags.get(_TILES) or ()
    sizes = tags.get(_STRIP_BYTES) or tags.get(_TILE_BYTES) or ()
    if not offsets or len(offsets) != len(sizes):
        raise BadPictureError(f"TIFF without picture data: {_CUT_SHORT}")
    if max(map(sum, zip(offsets, sizes, strict=True))) > len(data):
        raise BadPictureError(f"TIFF that ends before its picture data: {_CUT_SHORT}")
