"""Drawn stand-ins for the published sets: a few frames and cells in their very layout."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import torch

from edge_daemon.smear.composite import Stain
from trainer.classifier.config import ClassifierConfig
from trainer.data.smear_fields import SmearField
from trainer.models.classifier import ClassifierGeometry
from trainer.models.committee import CommitteeTraining
from trainer.models.efficientnet_lite import EfficientNetLite

_PLASMA, _RED, _NUCLEUS = (205, 215, 232), (150, 150, 205), (140, 50, 100)  # BGR

PURPLE = (110, 50, 140)
"""RGB of a drawn nucleus."""
WHITE_CELL = np.array([[150, 150, 250, 250]], np.float32)
"""Box of the one white cell of :func:`smear_field`."""


def smear_field() -> SmearField:
    """Plain plasma with one white cell, of which only the box is there."""
    rgb = np.full((400, 500, 3), (230, 215, 205), np.uint8)
    stain = Stain((40.0, 35.0, -30.0), (5.0, 5.0, 5.0))
    return SmearField(rgb, 0.08, stain, WHITE_CELL)


def write_sets(data: Path) -> None:
    """Write ``bccd``, ``txl-pbc`` and ``cnmc2019`` below ``data``: 2 frames and 8 cells a split."""
    rng = np.random.default_rng(0)
    rows = []
    for split in ("train", "val"):
        for index in range(2):
            _write_bccd_frame(data / "bccd" / split, f"b{split}{index}")
            _write_txl_frame(data / "txl-pbc" / split, f"t{split}{index}")
        for label, folder in (("ALL", "all"), ("HEM", "hem")):
            for index in range(4):
                name = f"{folder}/{split}{index}.png"
                radius = int(rng.integers(80, 120)) - 45 * (label == "HEM")
                picture = np.zeros((450, 450, 3), np.uint8)
                cv2.circle(picture, (225, 225), radius, _NUCLEUS, -1)
                _write(data / "cnmc2019" / name, picture)
                rows.append(
                    {
                        "file": name,
                        "label": label,
                        "subject": f"{split}{label}{index % 2}",
                        "group": f"{split}{label}{index % 2}",
                        "fg_frac": f"{np.pi * radius**2 / 450**2:.4f}",
                        "bmp_sha256": f"{len(rows):064d}",
                        "split": split,
                    }
                )
    with (data / "cnmc2019" / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def small_classifier(data: Path) -> ClassifierConfig:
    """The sets and random weights in ``data``, and a training on them that takes seconds."""
    write_sets(data)
    weights = data / "weights.pt"
    torch.manual_seed(0)
    torch.save(EfficientNetLite().state_dict(), weights)
    return ClassifierConfig(
        data=data,
        weights=weights,
        geometry=ClassifierGeometry(size=40, visible=32),
        mask_epochs=1,
        shown_views=1,
        committee=CommitteeTraining(members=2, hidden=8, steps=20, batch=8),
        epochs=2,
        crops_per_epoch=8,
        batch=4,
        evaluate_every=1,
        rendered_cells=2,
        rendered_fields=1,
        workers=0,
    )


def _frame() -> tuple[np.ndarray, dict[str, list[tuple[int, int, int, int]]]]:
    frame = np.full((480, 640, 3), _PLASMA, np.uint8)
    red = [(x - 50, y - 50, x + 50, y + 50) for x in (120, 320, 520) for y in (80, 400)]
    for x0, y0, x1, y1 in red:
        cv2.circle(frame, ((x0 + x1) // 2, (y0 + y1) // 2), 50, _RED, -1)
    cv2.circle(frame, (320, 240), 60, _NUCLEUS, -1)
    return frame, {"RBC": red, "WBC": [(260, 180, 380, 300)]}


def _write_bccd_frame(folder: Path, name: str) -> None:
    frame, boxes = _frame()
    _write(folder / "images" / f"{name}.jpg", frame)
    cells = "".join(
        f"<object><name>{kind}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for kind, of_kind in boxes.items()
        for x0, y0, x1, y1 in of_kind
    )
    path = folder / "annotations_voc" / f"{name}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation>{cells}</annotation>")


def _write_txl_frame(folder: Path, name: str) -> None:
    frame, boxes = _frame()
    _write(folder / "images" / f"{name}.jpg", frame)
    lines = [
        f"{number} {(x0 + x1) / 1280} {(y0 + y1) / 960} {(x1 - x0) / 640} {(y1 - y0) / 480}"
        for kind, number in (("WBC", 0), ("RBC", 1))
        for x0, y0, x1, y1 in boxes[kind]
    ]
    path = folder / "labels" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


def _write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)
