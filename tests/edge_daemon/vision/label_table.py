"""How labels are read: ``python -m tests.edge_daemon.vision.label_table``.

Draws labels onto rendered frames, turned, out of focus and noisy, and prints how many are read and
how many are read wrong, what is read in frames of smears (``LEUKO_DATA``), and what looking costs
in processor time.
"""

from __future__ import annotations

import os
import random
import time
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from edge_daemon.sources.images import list_pictures
from edge_daemon.sources.reading import read_picture
from edge_daemon.sources.simulated import open_simulated
from edge_daemon.vision.label import LabelReader
from tests.edge_daemon.vision.drawn_labels import Pixels, code128, ean13, qr, shown

ANGLES = (0, 7, 30, 45, 90, 160, 270)
BLURS = (0.0, 1.0, 2.0)
NOISES = (0.0, 12.0)
QR_WIDTHS = (100, 150, 220, 300)
EAN_WIDTHS = (200, 280, 360, 440)


def rendered(count: int = 2) -> list[Pixels]:
    """Frames of the simulated microscope, 640 x 480."""
    with open_simulated(f"sim://?seed=5&fields={count}") as source:
        return [captured.pixels for captured in source]


def main() -> None:
    """Print the tables."""
    cv2.setNumThreads(1)
    chance, frames = random.Random(1), rendered()
    reader = LabelReader(barcodes=True)
    print("kind, width in px, blur | read | wrong")
    for kind, widths in (("QR", QR_WIDTHS), ("EAN-13", EAN_WIDTHS)):
        for width, blur in product(widths, BLURS):
            read = wrong = 0
            trials = list(product(ANGLES, NOISES))
            for angle, noise in trials:
                code, text = _drawn(kind, chance)
                frame, look = chance.choice(frames), {"angle": angle, "blur": blur, "noise": noise}
                said = reader.read(shown(code, frame, width_px=width, **look))
                read += said == (text,)
                wrong += any(one != text for one in said)
            print(f"{kind}, {width}, {blur} | {read} of {len(trials)} | {wrong}")
    _foreign(reader, chance, frames)
    _smears(reader)
    for barcodes in (False, True):
        one = LabelReader(barcodes=barcodes)
        for size in ((640, 480), (1920, 1200)):
            print(f"looking, barcodes {barcodes}, {size}: {_cost_ms(one, frames[0], size):.0f} ms")


def _drawn(kind: str, chance: random.Random) -> tuple[Pixels, str]:
    if kind == "QR":
        text = f"S26-{chance.randrange(100_000):05d}"
        return qr(text), text
    return ean13("".join(str(chance.randrange(10)) for _ in range(12)))


def _foreign(reader: LabelReader, chance: random.Random, frames: list[Pixels]) -> None:
    any_kind = cv2.barcode.BarcodeDetector()
    wrong = looks = numbers = 0
    for angle, blur, width in product(range(0, 360, 15), (0.5, 1.0), (360, 460, 560)):
        code = code128(f"S26-{chance.randrange(100_000):05d}")
        frame = cv2.resize(chance.choice(frames), (960, 720))
        looks += 1
        seen = shown(code, frame, width_px=width, angle=angle, blur=blur)
        wrong += bool(reader.read(seen))
        grey = cv2.GaussianBlur(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), (0, 0), 0.8)
        numbers += any(any_kind.detectAndDecodeWithType(grey)[1])
    print(f"Code 128 taken for EAN-13: {wrong} of {looks}; for EAN or UPC of any kind: {numbers}")


def _smears(reader: LabelReader) -> None:
    data = Path(os.environ.get("LEUKO_DATA", "../shared/data"))
    for name in ("bccd", "txl-pbc"):
        paths = list_pictures(data / name)
        said = [reader.read(read_picture(path)) for path in paths]
        print(f"{name}: {sum(map(bool, said))} labels read in {len(paths)} frames")


def _cost_ms(reader: LabelReader, frame: Pixels, size: tuple[int, int]) -> float:
    picture = cv2.resize(frame, size)
    spent = []
    for _ in range(9):
        began = time.process_time()
        reader.read(picture)
        spent.append(time.process_time() - began)
    return 1e3 * float(np.median(spent))


if __name__ == "__main__":
    main()
