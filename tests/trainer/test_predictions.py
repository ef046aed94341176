"""Predictions never contradict themselves, and a file of them is there whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.errors import DataError
from tests.trainer.drawn_predictions import draw_cells, draw_model
from trainer.predictions import Predictions, load_predictions, save_predictions

CELLS = draw_cells(scale=0.02)
MODEL = draw_model(CELLS, "lite0", 2.0, parameters=3.4e6, initial_weights="ImageNet")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save_predictions(MODEL, tmp_path / "p.npz")
    loaded = load_predictions(tmp_path / "p.npz")

    assert loaded.digest() == MODEL.digest()
    assert loaded.description == {"parameters": 3.4e6, "initial_weights": "ImageNet"}
    assert loaded.conditions == ("on_black", "composited")
    assert loaded.logits["on_black"].dtype == np.float32
    assert list(tmp_path.iterdir()) == [tmp_path / "p.npz"]


def test_the_digest_of_the_cells_does_not_depend_on_the_model_or_the_order() -> None:
    order = np.random.default_rng(0).permutation(len(CELLS))

    assert MODEL.take(order).digest_of_cells() == CELLS.digest_of_cells()
    assert MODEL.digest() != CELLS.digest()
    assert replace(CELLS, is_blast=~CELLS.is_blast).digest_of_cells() != CELLS.digest_of_cells()


def test_the_margin_is_the_log_odds_of_blast() -> None:
    logits = MODEL.logits["on_black"]
    assert MODEL.margin("on_black") == pytest.approx(logits[:, 1] - logits[:, 0])


def nan_at_three(values: np.ndarray) -> np.ndarray:
    broken = values.copy()
    broken[3] = np.nan
    return broken


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"area_um2": np.ones(3)}, "area_um2 does not hold one value for each cell"),
        ({"area_um2": nan_at_three(CELLS.area_um2)}, "area_um2 of cells/00003.png is not finite"),
        ({"logits": {}}, "no cell or no condition"),
        ({"logits": {"x": np.zeros((4, 2))}}, r"logits 'x' are \[4, 2\], not \["),
        ({"logits": {"x": nan_at_three(MODEL.logits["on_black"])}}, "00003.png is not finite"),
        ({"file": np.repeat("same.png", len(CELLS))}, "same.png is listed twice"),
        ({"fold": np.arange(len(CELLS)) % 2}, "group 'B00' is in the folds 0 and 1"),
        ({"fold": np.zeros(len(CELLS))}, "outside fold 0 there are not both classes"),
        ({"split": "patients"}, "split 'patients' is not one of groups, images"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(MODEL, **change)  # type: ignore[arg-type]


def test_a_split_by_images_may_cross_groups() -> None:
    crossing = replace(MODEL, fold=np.arange(len(CELLS)) % 2, split="images")
    assert crossing.split == "images"


def test_a_merged_group_may_hold_both_classes() -> None:
    merged = np.where(np.isin(CELLS.group, ("B00", "N04")), "B00+N04", CELLS.group)
    assert isinstance(replace(CELLS, group=merged), Predictions)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="write them first, or check the name"):
        load_predictions(tmp_path / "p.npz")


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_one_line(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "p.npz"
    save_predictions(MODEL, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])

    with pytest.raises(DataError, match=r"p\.npz is not a readable file of predictions") as error:
        load_predictions(path)
    assert "\n" not in str(error.value)


def write_array(path: Path) -> None:
    np.save(path.open("wb"), np.zeros(3))


def write_foreign_archive(path: Path) -> None:
    np.savez(path.open("wb"), weights=np.zeros(3))


def write_pickle(path: Path) -> None:
    np.savez(path.open("wb"), format=np.array([{"a": 1}], dtype=object))


@pytest.mark.parametrize("write", [write_array, write_foreign_archive, write_pickle])
def test_a_file_of_something_else_is_one_line(tmp_path: Path, write: object) -> None:
    write(tmp_path / "p.npz")  # type: ignore[operator]
    with pytest.raises(DataError, match="is not a readable file of predictions"):
        load_predictions(tmp_path / "p.npz")


def test_a_file_whose_parts_contradict_each_other_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    save_predictions(MODEL, path)
    with np.load(path) as archive:
        arrays: dict[str, np.ndarray] = dict(archive)
    np.savez(path.open("wb"), **(arrays | {"cell.fold": np.zeros(3, int)}))

    with pytest.raises(DataError, match=r"p\.npz: 'lite0': fold does not hold one value"):
        load_predictions(path)


def test_a_file_of_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    save_predictions(MODEL, path)
    with np.load(path) as archive:
        arrays: dict[str, np.ndarray] = dict(archive)
    np.savez(path.open("wb"), **(arrays | {"format": np.array("leukoedge-predictions/9")}))

    with pytest.raises(DataError, match="is written as 'leukoedge-predictions/9'"):
        load_predictions(path)
