"""Rendered fields of the virtual slide as training frames, with exact truth.

The demo shows rendered cells, so the detector that ships must know them. A small share is enough:
augmentation varies them like published fields.
"""

from __future__ import annotations

import numpy as np

from edge_daemon.contract.terms import KINDS
from edge_daemon.smear.atlas import RenderedAtlas
from edge_daemon.smear.palette import draw_palette
from edge_daemon.smear.plan import SmearRecipe
from edge_daemon.smear.slide import FieldTruth, VirtualSlide
from trainer.data.field_augment import MarkedFrame

FIELD_HEIGHT_PX = 480
FIELD_WIDTH_PX = 640
_SLIDE_UM = 300.0
_TRAINING_SEEDS = range(1_000, 1_006)
"""Slides that training draws from; the demo and the tests use seeds below 1,000."""

MIN_VISIBLE = 0.05
"""Share of a cell's area that a field must show for the cell to be asked for. Published fields mark
slivers at the edge too."""


class RenderedFields:
    """A pool of fields from a few slides, each with its own stain; drawn when first asked for.

    Drawing a field takes a quarter of a second and more, so each is drawn once and kept (0.9 MB).
    """

    def __init__(self, pool: int = 48, seeds: range = _TRAINING_SEEDS) -> None:
        self._pool = pool
        self._seeds = seeds
        self._slides: dict[int, VirtualSlide] = {}
        self._fields: dict[int, MarkedFrame] = {}

    def __call__(self, rng: np.random.Generator) -> MarkedFrame:
        """One field of the pool, 640x480; which one is all that ``rng`` decides."""
        index = int(rng.integers(self._pool))
        if index not in self._fields:
            self._fields[index] = self.draw(index)
        return self._fields[index]

    def draw(self, index: int) -> MarkedFrame:
        """Field ``index`` of the pool: the same whenever it is drawn."""
        slide = self._slide(self._seeds[index % len(self._seeds)])
        rng = np.random.default_rng((index, 5))
        margin_x_um = slide.width_um - FIELD_WIDTH_PX * slide.um_per_px
        margin_y_um = slide.height_um - FIELD_HEIGHT_PX * slide.um_per_px
        pixels, truth = slide.render_field(
            float(rng.uniform(0, margin_x_um)),
            float(rng.uniform(0, margin_y_um)),
            FIELD_WIDTH_PX,
            FIELD_HEIGHT_PX,
        )
        return marked_frame(pixels, truth)

    def _slide(self, seed: int) -> VirtualSlide:
        if seed not in self._slides:
            rng = np.random.default_rng((seed, 9))
            recipe = SmearRecipe(
                red_cells_per_field=float(rng.uniform(8, 24)),
                white_cells_per_field=float(rng.uniform(1, 3)),
                platelets_per_field=float(rng.uniform(1, 4)),
                blast_fraction=float(rng.uniform(0.1, 0.6)),
            )
            atlas = RenderedAtlas(seed, palette=draw_palette(rng))
            self._slides[seed] = VirtualSlide(seed, _SLIDE_UM, _SLIDE_UM, recipe, atlas)
        return self._slides[seed]


def marked_frame(pixels: np.ndarray, truth: FieldTruth) -> MarkedFrame:
    """A rendered field as a frame with the truth of the detector."""
    kept = truth.visible >= MIN_VISIBLE
    kinds = np.array([KINDS.index(kind) for kind in truth.kinds], dtype=np.int8)
    return MarkedFrame(pixels, truth.boxes[kept], kinds[kept])
