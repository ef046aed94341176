"""Labels drawn onto frames as a camera would see them: turned, out of focus, with noise.

QR codes come from OpenCV's encoder. It has none for linear barcodes, so these are drawn from their
tables: EAN-13 (GS1 General Specifications, section 5.2), Code 128 B (ISO/IEC 15417).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

_MODULE_PX = 12
_LEFT = (
    *("0001101", "0011001", "0010011", "0111101", "0100011"),
    *("0110001", "0101111", "0111011", "0110111", "0001011"),
)
_RIGHT = [code.translate(str.maketrans("01", "10")) for code in _LEFT]
_LEFT_EVEN = [code[::-1] for code in _RIGHT]
_PARITIES = (
    *("LLLLLL", "LLGLGG", "LLGGLG", "LLGGGL", "LGLLGG"),
    *("LGGLLG", "LGGGLL", "LGLGLG", "LGLGGL", "LGGLGL"),
)
_WIDTHS = (
    "212222 222122 222221 121223 121322 131222 122213 122312 132212 221213 221312 231212 112232 "
    "122132 122231 113222 123122 123221 223211 221132 221231 213212 223112 312131 311222 321122 "
    "321221 312212 322112 322211 212123 212321 232121 111323 131123 131321 112313 132113 132311 "
    "211313 231113 231311 112133 112331 132131 113123 113321 133121 313121 211331 231131 213113 "
    "213311 213131 311123 311321 331121 312113 312311 332111 314111 221411 431111 111224 111422 "
    "121124 121421 141122 141221 112214 112412 122114 122411 142112 142211 241211 221114 413111 "
    "241112 134111 111242 121142 121241 114212 124112 124211 411212 421112 421211 212141 214121 "
    "412121 111143 111341 131141 114113 114311 411113 411311 113141 114131 311141 411131 211412 "
    "211214 211232 2331112"
)
_CODE_128 = _WIDTHS.split()


def qr(text: str) -> Pixels:
    """A QR code with its white border, grey levels ``[n, n]``."""
    modules = cv2.QRCodeEncoder.create().encode(text)
    modules = cv2.copyMakeBorder(modules, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=255)
    return np.kron(modules, np.ones((_MODULE_PX, _MODULE_PX), np.uint8))


def ean13(twelve: str) -> tuple[Pixels, str]:
    """An EAN-13 barcode and what it reads: twelve digits and their check digit."""
    odd, even = sum(map(int, twelve[::2])), sum(map(int, twelve[1::2]))
    digits = f"{twelve}{-(odd + 3 * even) % 10}"
    parity = _PARITIES[int(digits[0])]
    left = "".join(
        (_LEFT if kind == "L" else _LEFT_EVEN)[int(digit)]
        for kind, digit in zip(parity, digits[1:7], strict=True)
    )
    right = "".join(_RIGHT[int(digit)] for digit in digits[7:])
    return _bars(f"101{left}01010{right}101"), digits


def code128(text: str) -> Pixels:
    """A Code 128 barcode, which OpenCV does not know."""
    values = [104, *(ord(letter) - 32 for letter in text)]
    check = (values[0] + sum(place * value for place, value in enumerate(values[1:], 1))) % 103
    bits = ""
    for value in (*values, check, 106):
        for place, width in enumerate(_CODE_128[value]):
            bits += str((place + 1) % 2) * int(width)
    return _bars(bits)


def shown(
    code: Pixels,
    frame: Pixels,
    *,
    width_px: float,
    angle: float = 0.0,
    blur: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Pixels:
    """A copy of an RGB ``frame`` with a code in its middle, ``width_px`` wide.

    ``angle`` in degrees; ``blur`` and ``noise`` are the sigmas of the lens, in pixels, and of the
    sensor, in grey levels.
    """
    height, width = frame.shape[:2]
    turn = cv2.getRotationMatrix2D(
        (code.shape[1] / 2, code.shape[0] / 2), angle, width_px / code.shape[1]
    )
    turn[:, 2] += (width - code.shape[1]) / 2, (height - code.shape[0]) / 2
    # Enlarged first and then made smaller: warpAffine alone would leave modules out.
    fine = cv2.GaussianBlur(code, (0, 0), 0.3 * code.shape[1] / width_px)
    drawn = cv2.warpAffine(fine, turn, (width, height), flags=cv2.INTER_LINEAR)
    there = cv2.warpAffine(np.full_like(code, 255), turn, (width, height))
    picture = frame.copy()
    picture[there > 127] = drawn[there > 127][:, None]
    if blur:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    if noise:
        spread = np.random.default_rng(seed).normal(0, noise, picture.shape)
        picture = (picture + spread).clip(0, 255)
    return picture.astype(np.uint8)


def _bars(bits: str) -> Pixels:
    row = np.array([0 if bit == "1" else 255 for bit in f"{'0' * 10}{bits}{'0' * 10}"], np.uint8)
    row = np.repeat(row, _MODULE_PX)
    return np.tile(row, (40 * _MODULE_PX, 1))
