"""A still scene as a network camera sends it that compresses strongly: MPEG-4, coded by FFmpeg.

Only every twelfth picture is whole and shows the sensor's noise. Between two of these the encoder
finds nothing worth sending, and the pictures come out equal to the byte.
"""

from __future__ import annotations

import tempfile
from functools import cache
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

WHOLE_EVERY = 12
"""As FFmpeg's encoder has it when OpenCV asks for it."""
_GROUPS = 8


@cache
def groups(width: int, height: int) -> tuple[tuple[bytes, ...], ...]:
    """Coded pictures, in groups of a whole one and those predicted from it.

    Each group has a noise of its own. One that is sent again and again is what a camera sends whose
    sensor has stopped.
    """
    chance = np.random.default_rng(1)
    coarse = chance.integers(80, 200, (height // 8, width // 8, 3), dtype=np.uint8)
    scene = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "still.avi")
        code = cv2.VideoWriter.fourcc(*"XVID")
        writer = cv2.VideoWriter(file, cv2.CAP_FFMPEG, code, 24, (width, height))
        for _ in range(_GROUPS):
            noisy = np.clip(scene + chance.normal(0, 6, scene.shape), 0, 255).astype(np.uint8)
            for _ in range(WHOLE_EVERY):
                writer.write(noisy)
        writer.release()
        raw = cv2.VideoCapture(file, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        coded = (raw.read()[1].tobytes() for _ in range(_GROUPS * WHOLE_EVERY))
        return tuple(tuple(islice(coded, WHOLE_EVERY)) for _ in range(_GROUPS))
