"""A training that is cut off goes on exactly where it stood, and ends in a detector that loads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge_daemon.errors import DataError
from trainer import fit_detector as fitting
from trainer.data.field_frames import FramesConfig
from trainer.fit_detector import DetectorFitConfig, fit_detector, load_detector
from trainer.models.detector import DetectorShape
from trainer.models.efficientnet_lite import EfficientNetLite0

VOC = """<annotation><object><name>RBC</name><bndbox><xmin>10</xmin><ymin>12</ymin>
<xmax>40</xmax><ymax>44</ymax></bndbox></object></annotation>"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny sets in the layout of BCCD and TXL-PBC: one red cell in each of two fields."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name, labels in (("bccd", "annotations_voc"), ("txl-pbc", "labels")):
            folder = root / name / split
            (folder / "images").mkdir(parents=True)
            (folder / labels).mkdir()
            for stem in ("a", "b"):
                pixels = rng.integers(200, 230, (64, 80, 3), dtype=np.uint8)
                cv2.circle(pixels, (25, 28), 15, (90, 90, 200), -1)
                cv2.imwrite(str(folder / "images" / f"{stem}.jpg"), pixels)
                if name == "bccd":
                    (folder / labels / f"{stem}.xml").write_text(VOC)
                else:
                    (folder / labels / f"{stem}.txt").write_text("1 0.31 0.44 0.38 0.5\n")
    return root


@pytest.fixture(scope="module")
def config(data: Path) -> DetectorFitConfig:
    weights = data / "weights.pt"
    torch.manual_seed(0)
    torch.save(EfficientNetLite0().state_dict(), weights)
    return DetectorFitConfig(
        data=data,
        weights=weights,
        epochs=2,
        batch=2,
        warmup_steps=2,
        cut_out_cells=0,
        evaluate_every=1,
        shape=DetectorShape(channels=8, head_convs=1),
        frames=FramesConfig(height=64, width=96, coarse_fraction=0, repeats=(1, 1)),
    )


class PowerCutError(Exception):
    """What stands in for the plug being pulled."""


def test_going_on_after_a_cut_gives_the_same_detector(
    config: DetectorFitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_detector(config, tmp_path / "whole")

    def save_then_cut(state: dict[str, object], path: Path) -> None:
        save(state, path)
        if path.name == fitting.CHECKPOINT:
            raise PowerCutError

    save = fitting.save_checkpoint
    monkeypatch.setattr(fitting, "save_checkpoint", save_then_cut)
    with pytest.raises(PowerCutError):
        fit_detector(config, tmp_path / "cut")
    monkeypatch.setattr(fitting, "save_checkpoint", save)
    fit_detector(config, tmp_path / "cut")

    whole, cut = (
        torch.load(tmp_path / run / fitting.CHECKPOINT, weights_only=True)["averaged"]
        for run in ("whole", "cut")
    )
    for name, value in whole.items():
        assert torch.equal(value, cut[name]), name
    history = json.loads((tmp_path / "cut" / "metrics.json").read_text())
    assert [entry["epoch"] for entry in history] == [1, 2]

    detector, role = load_detector(tmp_path / "cut" / fitting.BEST)
    assert not detector.training
    assert (role.input_height, role.input_width) == (64, 96)
    assert set(role.score_thresholds) == {"wbc", "rbc", "platelet"}


def test_a_broken_checkpoint_is_named(config: DetectorFitConfig, tmp_path: Path) -> None:
    (tmp_path / fitting.CHECKPOINT).write_bytes(b"cut off in the mid")
    with pytest.raises(DataError, match=r"checkpoint\.pt is not a readable checkpoint"):
        fit_detector(config, tmp_path)


def test_missing_data_is_named(config: DetectorFitConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="set LEUKO_DATA or --data"):
        fit_detector(replace(config, data=tmp_path / "nowhere"), tmp_path / "run")
