"""Crops of what is no nucleated cell come from marked cells of the field sets."""

from __future__ import annotations

import numpy as np

from trainer.classifier.neither import PER_FRAME, crops_of_neither
from trainer.data.fields import read_field_sets
from trainer.data.smear_fields import real_fields
from trainer.models.classifier import ClassifierGeometry

GEOMETRY = ClassifierGeometry(size=80, visible=64)


def test_every_kind_is_shown_at_the_classifiers_size(leuko_data):
    sets = read_field_sets(leuko_data, "val")[:1]
    fields = real_fields(sets)[:8]
    cells = np.random.default_rng(0).integers(0, 256, (5, 80, 80, 3)).astype(np.uint8)
    crops = crops_of_neither(sets, fields, cells, GEOMETRY)
    assert set(crops) == {
        *("red_cells", "platelets", "empty_places", "out_of_focus", "smudges", "flat"),
    }
    assert {one.shape[1:] for one in crops.values()} == {(80, 80, 3)}
    assert {one.dtype.name for one in crops.values()} == {"uint8"}
    assert 0 < len(crops["red_cells"]) <= PER_FRAME * len(sets[0].records)
    assert 0 < len(crops["empty_places"]) <= PER_FRAME * len(fields)
    assert len(crops["out_of_focus"]) == len(crops["smudges"]) == len(cells)
    assert crops["out_of_focus"].std() < 0.5 * cells.std()
    assert (crops["flat"] == crops["flat"][:, :1, :1]).all()


def test_without_fields_there_is_less_to_show():
    crops = crops_of_neither((), (), np.empty((0, 80, 80, 3), np.uint8), GEOMETRY)
    assert {name: len(one) for name, one in crops.items() if len(one)} == {"flat": 100}
