"""A training that is cut off goes on exactly where it stood, and ends in a detector that loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console

from edge_daemon.errors import DataError
from trainer.data.field_frames import FramesConfig
from trainer.detector.config import DetectorConfig
from trainer.detector.saved import load_detector
from trainer.detector.task import DetectorTask
from trainer.models.detector import DetectorShape
from trainer.models.efficientnet_lite import EfficientNetLite
from trainer.training.loop import train
from trainer.training.parallel import Ranks
from trainer.training.run_folder import RunFolder

QUIET = Console(quiet=True)

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
def config(data: Path) -> DetectorConfig:
    weights = data / "weights.pt"
    torch.manual_seed(0)
    torch.save(EfficientNetLite().state_dict(), weights)
    return DetectorConfig(
        data=data,
        weights=weights,
        epochs=2,
        batch=2,
        warmup_steps=2,
        cut_out_cells=0,
        rendered=False,
        evaluate_every=1,
        shape=DetectorShape(channels=8, head_convs=1),
        frames=FramesConfig(height=64, width=96, coarse_fraction=0, repeats=(1, 1)),
    )


class PowerCutError(Exception):
    """What stands in for the plug being pulled."""


def test_going_on_after_a_cut_gives_the_same_detector(
    config: DetectorConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = RunFolder.at(tmp_path / "whole"), RunFolder.at(tmp_path / "cut")
    train(DetectorTask(config, Ranks(), QUIET), whole, Ranks(), QUIET)
    save = RunFolder.save_last

    def save_then_cut(self: RunFolder, *args: object) -> None:
        save(self, *args)  # type: ignore[arg-type]
        raise PowerCutError

    monkeypatch.setattr(RunFolder, "save_last", save_then_cut)
    with pytest.raises(PowerCutError):
        train(DetectorTask(config, Ranks(), QUIET), cut, Ranks(), QUIET)
    monkeypatch.setattr(RunFolder, "save_last", save)
    best = train(DetectorTask(config, Ranks(), QUIET), cut, Ranks(), QUIET)

    one, other = (
        torch.load(run.path / "last.pt", weights_only=True)["averaged"] for run in (whole, cut)
    )
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    assert [line["epoch"] for line in cut.history()] == [0, 1]
    assert set(best["thresholds"]) == {"wbc", "rbc", "platelet"}

    detector, role = load_detector(cut.best)
    assert not detector.training
    assert (role.input_height, role.input_width) == (64, 96)
    assert set(role.score_thresholds) == {"wbc", "rbc", "platelet"}


def test_missing_data_is_named(config: DetectorConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="set LEUKO_DATA or --data"):
        DetectorTask(replace(config, data=tmp_path / "nowhere"), Ranks(), QUIET)


def test_weights_of_something_else_are_named(config: DetectorConfig, tmp_path: Path) -> None:
    torch.save({"weights": {}}, tmp_path / "best.pt")
    with pytest.raises(DataError, match=r"best\.pt does not hold a detector"):
        load_detector(tmp_path / "best.pt")
