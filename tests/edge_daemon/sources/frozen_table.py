"""A still scene through real encoders: ``python -m tests.edge_daemon.sources.frozen_table``.

Its argument is a program FFmpeg with libx264 and libx265 (default: ``ffmpeg``), which is no part of
LeukoEdge. A real frame with a sensor's noise is coded for 8 s, then the same noisy frame again and
again for 8 s, as a sensor gives it that has stopped; 640 x 480, 15 pictures a second, decoded by
OpenCV as the daemon does. Told are, of the living part, the longest run of equal pictures, and how
many pictures the watch would call frozen or torn with every picture for evidence and as it is; of
the frozen part, how long until it is noticed as it is. Needs the real data (``LEUKO_DATA``).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.sources.base import Pixels
from edge_daemon.sources.images import list_pictures
from edge_daemon.sources.liveness import LivenessWatch
from edge_daemon.sources.reading import read_picture
from edge_daemon.sources.rtsp import RtspSettings, is_predicted
from edge_daemon.sources.torn import TornWatch, row_prints

FPS, LIVE_S, FROZEN_S = 15, 8, 8
_X264 = ("-c:v", "libx264", "-tune", "zerolatency", "-bf", "0", "-sc_threshold", "0", "-preset")
_X265 = ("-c:v", "libx265", "-x265-params", "log-level=none:scenecut=0:bframes=0", "-preset")
_MJPEG = ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v")
CASES: dict[str, tuple[str, ...]] = {
    "JPEG, fine": (*_MJPEG, "3"),
    "JPEG, coarse": (*_MJPEG, "15"),
    "JPEG, as coarse as it goes": (*_MJPEG, "31"),
    **{
        f"{name}, {rate}, whole every {every:g} s": (
            *coder, "ultrafast", "-g", str(round(every * FPS)), "-pix_fmt", "yuv420p", *how,
        )
        for name, coder in (("H.264", _X264), ("H.265", _X265))
        for rate, how in (
            ("fine", ("-crf", "23")),
            ("coarse", ("-crf", "32")),
            ("very coarse", ("-crf", "42")),
            ("500 kbit/s", ("-b:v", "500k", "-maxrate", "500k", "-bufsize", "500k")),
        )
        for every in (1, 4)
    },
}  # fmt: skip
NOISES = (0.5, 2.0)
"""Standard deviation in grey levels: of a camera that takes its noise out, and of one that does
not."""


def scene() -> Pixels:
    """A frame of BCCD."""
    data = Path(os.environ.get("LEUKO_DATA", "../shared/data"))
    return cv2.resize(read_picture(list_pictures(data / "bccd" / "val")[0]), (640, 480))


def coded(ffmpeg: str, how: tuple[str, ...], noise: float, file: Path) -> None:
    """The scene, living and then frozen, as a file."""
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "640x480", "-r", str(FPS), "-i", "-")
    command = [ffmpeg, "-loglevel", "error", "-y", *raw, *how, str(file)]
    still, chance = scene().astype(np.float32), np.random.default_rng(1)
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        picture = b""
        for place in range(FPS * (LIVE_S + FROZEN_S)):
            if place < FPS * LIVE_S:
                noisy = still + chance.normal(0, noise, still.shape).astype(np.float32)
                picture = np.clip(noisy, 0, 255).astype(np.uint8).tobytes()
            encoder.stdin.write(picture)
        encoder.stdin.close()
    assert encoder.returncode == 0


def watched(file: Path) -> str:
    """What the watches say of it."""
    capture = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
    after_s = RtspSettings().frozen_after_s
    watches = {whole: (LivenessWatch(after_s), TornWatch()) for whole in (False, True)}
    frozen, torn, told_s = {False: 0, True: 0}, {False: 0, True: 0}, None
    equal, before = [], None
    for place in range(FPS * (LIVE_S + FROZEN_S)):
        ok, bgr = capture.read()
        assert ok
        picture = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        prints, now_s = row_prints(picture), place / FPS
        predicted = is_predicted(capture)
        lives = place < FPS * LIVE_S
        if lives:
            equal.append(before is not None and np.array_equal(before, prints))
        before = prints
        for whole, (alive, of_one_piece) in watches.items():
            alive.look(prints, 1.0 + place, now_s, predicted and whole)
            if lives:
                frozen[whole] += alive.frozen_for_s(now_s) is not None
                torn[whole] += of_one_piece.look(picture, prints, predicted and whole) is not None
        if not lives and told_s is None and watches[True][0].frozen_for_s(now_s) is not None:
            told_s = now_s - LIVE_S
    longest = max((len(list(run)) for same, run in groupby(equal) if same), default=0)
    told = "not within 8 s" if told_s is None else f"{told_s:4.2f} s"
    return (
        f"equal for {longest / FPS:4.2f} s | frozen {frozen[False]:3d} -> {frozen[True]} | "
        f"torn {torn[False]:3d} -> {torn[True]} | told after {told}"
    )


def main() -> None:
    """Print a line for each encoder and noise."""
    ffmpeg = sys.argv[1] if len(sys.argv) > 1 else "ffmpeg"
    with tempfile.TemporaryDirectory() as folder:
        for name, how in CASES.items():
            for noise in NOISES:
                file = Path(folder) / ("a.avi" if "mjpeg" in how else "a.mp4")
                coded(ffmpeg, how, noise, file)
                print(f"{name:<38} noise {noise:3.1f} | {watched(file)}", flush=True)


if __name__ == "__main__":
    main()
