"""Drawn cells on black, each with an outline and a chromatin of its own, in C-NMC's layouts."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

SIDE = 450
TABLE = "C-NMC_test_prelim_phase_data_labels.csv"
NUMBERED = "C-NMC_test_prelim_phase_data"


def drawn_cell(seed: int, *, radius: int = 110) -> np.ndarray:
    """One cell, uint8 ``[450, 450, 3]``, BGR as OpenCV writes it; the same for a ``seed``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    angle, waves = np.arctan2(y, x), rng.uniform(0, 0.12, 4)
    edge = 1 + sum(w * np.sin(k * angle + rng.uniform(0, 6)) for k, w in enumerate(waves, start=2))
    inside = np.hypot(x, y) < radius * edge
    noise = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32), (0, 0), 9)
    chromatin = 100 + 25 * noise / noise.std()
    picture = chromatin[..., None] * np.array([1.2, 0.5, 0.9]) * inside[..., None]
    return np.clip(picture, 0, 255).astype(np.uint8)


def photographed_again(picture: np.ndarray) -> np.ndarray:
    """The same cell: brighter, out of focus, a little to the side, turned by a quarter."""
    blurred = cv2.GaussianBlur(picture, (0, 0), 2.0).astype(np.float32)
    brighter = np.clip(blurred * 1.1, 0, 255) * (picture.max(axis=2, keepdims=True) > 0)
    return np.rot90(np.roll(brighter.astype(np.uint8), 6, axis=0)).copy()


def write_bmp(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)
    return path


def write_training(root: Path, fold: str, label: str, name: str, picture: np.ndarray) -> Path:
    """One cell of the official training folds."""
    return write_bmp(root / "C-NMC_training_data" / fold / label / f"{name}.bmp", picture)


def write_preliminary(root: Path, *rows: tuple[str, str, str, np.ndarray]) -> Path:
    """The preliminary test set: rows of original name, new name, label and picture."""
    for _, name, _, picture in rows:
        write_bmp(root / NUMBERED / name, picture)
    with (root / TABLE).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Patient_ids", "new_names", "labels"])
        writer.writerows(row[:3] for row in rows)
    return root / TABLE


def write_official(root: Path) -> None:
    """Two patients and two donors in two folds, one of each in the preliminary set: 12 cells."""
    for seed, (label, subject) in enumerate((("all", "11"), ("all", "12"), ("hem", "H1"))):
        for cell in range(3):
            picture = drawn_cell(10 * seed + cell)
            name = f"UID_{subject}_1_{cell + 1}_{label}"
            write_training(root, f"fold_{seed % 2}", label, name, picture)
    write_preliminary(
        root,
        ("UID_57_29_1_all.bmp", "1.bmp", "1", drawn_cell(50)),
        ("UID_57_29_2_all.bmp", "2.bmp", "1", drawn_cell(51)),
        ("UID_H30_4_1_hem.bmp", "3.bmp", "0", drawn_cell(60)),
    )
