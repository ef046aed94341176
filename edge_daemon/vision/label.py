"""The label of a slide, where the camera sees it: QR codes, and EAN-13 where labels have these.

A QR code corrects its own errors and is read as it was printed or not at all. A linear barcode has
one check digit, and OpenCV's detector knows EAN and UPC only: of one in six Code 128 labels it
makes such a number. So barcodes are read on request, as EAN-13 only, never as EAN-8 or UPC-A, and
are right only where no other linear code is on the labels. DataMatrix is not read by OpenCV at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.contract.base import NAME_PATTERN

LONGEST_SIDE = 960
"""Larger pictures are made smaller: looking takes time by their area (25 ms at 640 x 480)."""
_BARCODE_BLUR = 0.8
"""The detector overlooks edges that are sharper than a lens makes them."""
_BARCODE = "EAN_13"

_NAME = re.compile(NAME_PATTERN)


class LabelReader:
    """OpenCV's detectors, which belong to one thread at a time."""

    def __init__(self, *, barcodes: bool = False) -> None:
        """Read QR codes, and ``barcodes`` where it is set."""
        self._qr = cv2.QRCodeDetector()
        self._barcodes = cv2.barcode.BarcodeDetector() if barcodes else None

    def read(self, pixels: npt.NDArray[np.uint8]) -> tuple[str, ...]:
        """What the labels in a picture say, each once, in the order of the alphabet.

        Args:
            pixels: RGB ``[h, w, 3]``.
        """
        grey: npt.NDArray[Any] = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        scale = LONGEST_SIDE / max(grey.shape)
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        texts = self._read_qr(grey)
        if self._barcodes is not None:
            texts |= self._read_barcodes(grey)
        return tuple(sorted(texts))

    def _read_qr(self, grey: npt.NDArray[Any]) -> set[str]:
        try:
            _, texts, *_ = self._qr.detectAndDecodeMulti(grey)
        except (cv2.error, UnicodeDecodeError, SystemError):  # what it found is none
            return set()
        return _said(texts)

    def _read_barcodes(self, grey: npt.NDArray[Any]) -> set[str]:
        assert self._barcodes is not None  # noqa: S101 - as the caller has made sure
        soft = cv2.GaussianBlur(grey, (0, 0), _BARCODE_BLUR)
        try:
            _, texts, kinds, *_ = self._barcodes.detectAndDecodeWithType(soft)
        except (cv2.error, UnicodeDecodeError, SystemError):
            return set()
        return _said(text for text, kind in zip(texts, kinds, strict=False) if kind == _BARCODE)


def slide_name(text: str) -> str | None:
    """The name of a slide that a label gives; None when it gives none.

    Space around it goes; inside, each run of what no name may have becomes ``-``. Two labels can
    give one name by this (``S26/17`` and ``S26 17``), so labels are to be compared as they are.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text.strip()).strip("-")
    return name if _NAME.fullmatch(name) else None


def _said(texts: Iterable[str]) -> set[str]:
    return {text for text in (one.strip() for one in texts) if text}
