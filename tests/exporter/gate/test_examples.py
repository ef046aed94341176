"""Calibration sees training data only; the judgement sees the held-out rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_daemon.contract.roles import ClassifierRole, DetectorRole
from exporter.gate.examples import CellExamples, FieldExamples
from tests.trainer.small_sets import write_sets
from trainer.data.cnmc import of_split, read_manifest

CELLS = ClassifierRole(size=64, crop_um=19.8, abstain_band=(0.3, 0.7), single_cell_um_per_px=0.044)
FIELDS = DetectorRole(
    input_height=96,
    input_width=128,
    score_thresholds={"wbc": 0.3, "rbc": 0.4, "platelet": 0.5},
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_sets(folder)
    return folder


@pytest.fixture(scope="module")
def cells(data: Path) -> CellExamples:
    records = read_manifest(data / "cnmc2019")
    return CellExamples(data, CELLS, of_split(records, "train"), of_split(records, "val"))


def by_size(crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """A classifier that goes by how much of the crop is nucleus; the drawn blasts are larger."""
    nucleus = (np.abs(crops.astype(int) - (100, 50, 140)).max(axis=3) < 60).mean(axis=(1, 2))
    return {"logits": np.stack([np.zeros_like(nucleus), 60 * nucleus - 12], 1).astype(np.float32)}


def nothing(image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """A detector that sees no cell."""
    outputs: dict[str, NDArray[np.float32]] = {}
    for stride in FIELDS.strides:
        grid = (FIELDS.input_height // stride, FIELDS.input_width // stride)
        outputs[f"scores_{stride}"] = np.full((1, 3, *grid), -20, np.float32)
        outputs[f"boxes_{stride}"] = np.ones((1, 4, *grid), np.float32)
    return outputs


def test_every_training_cell_calibrates_on_black_and_on_a_field(cells: CellExamples) -> None:
    shown = np.concatenate(list(cells.calibration()))
    assert shown.shape == (16, 64, 64, 3)
    assert (shown[:8, 0, 0] == 0).all()
    assert not (shown[8:, 0, 0] == 0).all()


def test_the_list_has_a_digest_that_other_cells_change(data: Path, cells: CellExamples) -> None:
    records = read_manifest(data / "cnmc2019")
    seen, unseen = of_split(records, "train"), of_split(records, "val")
    assert CellExamples(data, CELLS, seen[::-1], unseen).calibration_digest() == (
        cells.calibration_digest()
    )
    assert CellExamples(data, CELLS, seen[1:], unseen).calibration_digest() != (
        cells.calibration_digest()
    )


def test_a_classifier_is_judged_on_held_out_cells_both_ways(cells: CellExamples) -> None:
    worth = cells.measure(by_size)
    assert worth.figures["on_black.auroc"] == 1.0
    assert set(worth.figures) == {
        f"{shown}.{figure}"
        for shown in ("on_black", "composited")
        for figure in ("auroc", "sensitivity", "specificity", "calibration_error")
    }
    assert all(name.split()[0].startswith("all/val") for name in worth.positives)


def test_cells_are_labelled_as_the_device_labels_them(data: Path, cells: CellExamples) -> None:
    labels = cells.measure(by_size).labels
    assert len(labels) == 2 * sum("on_black" in name for name in labels)
    assert set(labels.values()) <= {"blast", "normal", "uncertain"}
    assert "blast" in labels.values()

    records = read_manifest(data / "cnmc2019")
    novel = CELLS.model_copy(update={"novelty_limit": 1.0})
    wary = CellExamples(data, novel, of_split(records, "train"), of_split(records, "val"))

    def unlike_anything(crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return by_size(crops) | {"novelty": np.full(len(crops), 2, np.float32)}

    assert set(wary.measure(unlike_anything).labels.values()) == {"uncertain"}


def test_answers_that_are_spread_otherwise_can_be_read_by_a_calibration_of_their_own(
    data: Path,
) -> None:
    records = read_manifest(data / "cnmc2019")
    novel = CELLS.model_copy(update={"novelty_limit": 1.0})
    cells = CellExamples(data, novel, of_split(records, "train"), of_split(records, "val"))

    def twice_as_sure_and_never_at_home(crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return {
            "logits": 20 * by_size(crops)["logits"],
            "novelty": np.full(len(crops), 2, np.float32),
        }

    as_told = cells.measure(twice_as_sure_and_never_at_home)
    assert as_told.calibration is None
    assert set(as_told.labels.values()) == {"uncertain"}
    own = cells.measure(twice_as_sure_and_never_at_home, recalibrate=True)
    assert own.calibration is not None
    assert own.calibration.novelty_limit == 2.0
    assert own.figures["on_black.auroc"] == as_told.figures["on_black.auroc"]
    assert "blast" in own.labels.values()


def test_a_detector_that_sees_nothing_has_nothing(data: Path) -> None:
    examples = FieldExamples(data, FIELDS)
    assert sum(len(batch) for batch in examples.calibration()) == 4
    worth = examples.measure(nothing)
    assert worth.figures["bccd/val.map50"] == 0
    assert worth.figures["txl-pbc/val.wbc_recall"] == 0
    assert not worth.positives
