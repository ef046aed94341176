"""The committee is trained on cells as the daemon shows them, patients counting alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from edge_daemon.contract.terms import CLASSES
from edge_daemon.errors import DataError
from tests.trainer.small_sets import small_classifier
from trainer.classifier import shown as shown_module
from trainer.classifier.config import ClassifierConfig
from trainer.classifier.groups import trained_on
from trainer.classifier.shown import NO_RECORD, shown_crops
from trainer.data.device_crops import crops_on_black, crops_on_fields
from trainer.data.training_crops import CropMix


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ClassifierConfig:
    return replace(
        small_classifier(tmp_path_factory.mktemp("data")),
        shown_views=2,
        mix=CropMix(normal_blood=0.1, rendered=0.1),
        rendered_cells=4,
    )


@pytest.fixture(scope="module")
def shown(config: ClassifierConfig) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    pixels, labels, weights, _ = zip(*shown_crops(config, trained_on(config)), strict=True)
    return torch.cat(pixels), torch.cat(labels), torch.cat(weights)


def test_each_cell_is_shown_on_black_and_on_fields(
    config: ClassifierConfig, shown: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> None:
    pixels, labels, _ = shown
    cells, white_cells, drawn = len(trained_on(config)), 4, 4
    assert pixels.shape == (2 * (2 * cells + white_cells + drawn), 32, 32, 3)
    assert int((labels[: 4 * cells] == CLASSES.index("blast")).sum()) == 2 * cells


def test_weights_add_up_and_blood_and_rendered_cells_have_their_shares(
    config: ClassifierConfig,
    shown: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    _, labels, weights = shown
    assert weights.sum().item() == pytest.approx(1.0, abs=1e-5)
    real = slice(0, 4 * len(trained_on(config)))
    blast = weights[real][labels[real] == CLASSES.index("blast")].sum().item()
    assert blast == pytest.approx(0.4, abs=1e-5)
    assert weights[-8:].sum().item() == pytest.approx(0.1, abs=1e-5)  # rendered, in two views


def test_on_black_no_pixel_is_interpolated_again(
    config: ClassifierConfig, shown: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> None:
    records = trained_on(config)
    plain = crops_on_black(config.data / "cnmc2019", records, 40)[:, 4:36, 4:36]
    turned = shown[0][: len(records)].numpy()
    for one, other in zip(plain, turned, strict=True):
        np.testing.assert_array_equal(np.sort(one, axis=None), np.sort(other, axis=None))


def test_so_many_views_on_fields_as_told_are_in_a_varied_stain(
    config: ClassifierConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    stainings: list[str] = []

    def noted(*args: Any, **settings: Any) -> Any:
        stainings.append(settings["staining"])
        return crops_on_fields(*args, **settings)

    monkeypatch.setattr(shown_module, "crops_on_fields", noted)
    list(shown_crops(replace(config, shown_views=3, varied_views=1), trained_on(config)))
    assert stainings[:3] == ["varied", "field", "field"]


def test_more_varied_views_than_views_are_refused(config: ClassifierConfig) -> None:
    with pytest.raises(DataError, match="varied_views: 3 is not one of 0 to 2"):
        replace(config, varied_views=3)


def test_the_same_seed_shows_the_same(
    config: ClassifierConfig, shown: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> None:
    first = next(iter(shown_crops(config, trained_on(config))))
    assert torch.equal(first[0], shown[0][: len(first[0])])


def test_it_works_with_a_worker(config: ClassifierConfig) -> None:
    chunks = list(shown_crops(replace(config, workers=1), trained_on(config)))
    assert sum(len(chunk[0]) for chunk in chunks) > 0


def test_each_crop_of_a_cell_says_which_cell_it_is(config: ClassifierConfig) -> None:
    records, chunks = trained_on(config), list(shown_crops(config, trained_on(config)))
    labels = torch.cat([chunk.labels for chunk in chunks])
    cells = torch.cat([chunk.cells for chunk in chunks])
    known = cells != NO_RECORD
    assert cells[known].bincount().tolist() == [4] * len(records)  # two views, both kinds
    assert [CLASSES[label] for label in labels[known]] == [
        records[cell].label for cell in cells[known]
    ]
