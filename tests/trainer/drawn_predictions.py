"""Predictions drawn from a model of patients: as many cells in as uneven groups as C-NMC has."""

from __future__ import annotations

import numpy as np

from trainer.predictions import Predictions, Split

CONDITIONS = ("on_black", "composited")

# Cells of each patient group of C-NMC 2019, from 2 to over a thousand.
BLAST_GROUPS = (
    *(19, 92, 2, 99, 53, 2, 9, 76, 103, 97, 2, 142, 92, 201, 212, 181, 352, 155, 113, 73, 253),
    *(190, 268, 1053, 402, 29),
)
NORMAL_GROUPS = (2, 435, 47, 385, 69, 119, 108, 131, 373, 404, 5, 18, 20)


def draw_cells(scale: float = 1.0, folds: int = 5, seed: int = 0) -> Predictions:
    """Cells of the 39 groups, blasts the larger, under a model that says nothing of them.

    ``scale`` shrinks every group, to no fewer than two cells.
    """
    rng = np.random.default_rng(seed)
    sizes = np.maximum((np.array(BLAST_GROUPS + NORMAL_GROUPS) * scale).astype(int), 2)
    names = [f"B{n:02d}" for n in range(len(BLAST_GROUPS))]
    names += [f"N{n:02d}" for n in range(len(NORMAL_GROUPS))]
    blast_group = np.arange(len(sizes)) < len(BLAST_GROUPS)
    unit = np.repeat(np.arange(len(sizes)), sizes)
    is_blast = blast_group[unit]
    area = 55 + 20 * is_blast + rng.normal(0, 12, len(sizes))[unit] + rng.normal(0, 12, len(unit))
    return Predictions(
        model="nothing",
        file=np.array([f"cells/{n:05d}.png" for n in range(len(unit))]),
        subject=np.array(names)[unit],
        group=np.array(names)[unit],
        fold=(np.arange(len(sizes)) % folds)[unit],
        is_blast=is_blast,
        area_um2=np.maximum(area, 15),
        logits=dict.fromkeys(CONDITIONS, np.zeros((len(unit), 2), np.float32)),
    )


def draw_model(
    cells: Predictions,
    model: str,
    skill: float,
    *,
    seed: int = 1,
    boldness: float = 2.0,
    split: Split = "groups",
    **description: str | float,
) -> Predictions:
    """A model that parts the classes by ``skill``, errs by patient, and is overconfident.

    Models drawn for the same cells err on the same patients, as networks do. Under the second
    condition the skill is a quarter less. A split by images knows the patients: no offsets.
    """
    shared, own = np.random.default_rng(99), np.random.default_rng(seed)
    _, unit = np.unique(cells.group, return_inverse=True)
    patient = shared.normal(0, 0.8, unit.max() + 1)[unit] + own.normal(0, 0.3, unit.max() + 1)[unit]
    hard = shared.normal(0, 0.6, len(cells))
    logits = {}
    for condition, kept in zip(cells.logits, (1.0, 0.75), strict=False):
        score = skill * kept * (cells.is_blast - 0.5) + hard + own.normal(0, 0.8, len(cells))
        margin = boldness * (score + (0 if split == "images" else patient))
        logits[condition] = np.stack([-margin / 2, margin / 2], axis=1).astype(np.float32)
    columns = {
        name: getattr(cells, name)
        for name in ("file", "subject", "group", "fold", "is_blast", "area_um2")
    }
    return Predictions(model=model, description=description, split=split, logits=logits, **columns)
