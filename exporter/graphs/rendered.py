"""Pictures that belong to nobody: what the exporter proves graphs on and ships in a bundle.

Golden set and parity need inputs that look like a smear, because noise drives a network into
corners that no slide reaches. They are drawn by :mod:`edge_daemon.smear` and brought
to size by the daemon's own letterbox and crops, never taken from a data set: a bundle is
published, and its licence must not depend on other people's pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.roles import ClassifierRole, DetectorRole
from edge_daemon.smear.plan import SmearRecipe
from edge_daemon.smear.render import NORMAL_WHITE_CELLS, Species, render_cell
from edge_daemon.smear.slide import VirtualSlide
from edge_daemon.vision.crops import crop_cells
from edge_daemon.vision.detect import letterbox
from exporter.graphs.signature import RoleSpec, signature_of

Pictures = NDArray[np.uint8]

_FRAME_HEIGHT_PX, _FRAME_WIDTH_PX = 480, 640
_SLIDE_UM = 96.0  # two frames wide
_RECIPE = SmearRecipe(white_cells_per_field=4.0, blast_fraction=0.5)


def rendered_inputs(spec: RoleSpec, count: int, seed: int) -> Pictures:
    """``count`` rendered inputs for the graph of ``spec``, uint8 ``[count, H, W, 3]``, RGB.

    Frames of a smear for a detector. For a classifier one half are crops from such fields, the
    other half are cells cut out on black: the two kinds of picture it is trained on.
    """
    slide = VirtualSlide(seed, _SLIDE_UM, _SLIDE_UM, _RECIPE)
    if not isinstance(spec, ClassifierRole):
        return np.concatenate(list(_frames(slide, spec, count)))
    among_cells = _crops(slide, spec, (count + 1) // 2)
    on_black = _cut_outs(spec, count // 2, seed)
    return np.concatenate([among_cells, on_black])


def proofs_for(spec: RoleSpec, seed: int = 7) -> Iterator[Pictures]:
    """Batches on which parity is proven: noise, black, white, and rendered pictures.

    Batches differ in size where the graph takes any, so that a size frozen by mistake shows.
    """
    signature = signature_of(spec)
    height, width = (size for size in signature.input.shape[1:3] if size is not None)
    rng = np.random.default_rng(seed)
    batch = 5 if signature.free_batch else 1
    yield rng.integers(0, 256, (batch, height, width, 3), dtype=np.uint8)
    yield np.zeros((1, height, width, 3), np.uint8)
    yield np.full((1, height, width, 3), 255, np.uint8)
    if signature.free_batch:
        yield rendered_inputs(spec, 12, seed)
    else:
        yield from np.split(rendered_inputs(spec, 3, seed), 3)


def _frames(slide: VirtualSlide, spec: DetectorRole, count: int) -> Iterator[Pictures]:
    """Frames from left to right, overlapping, scaled into the graph's input as the daemon does."""
    right_um = _SLIDE_UM - _FRAME_WIDTH_PX * slide.um_per_px
    for x_um in np.linspace(0.0, right_um, count):
        frame, _ = slide.render_field(float(x_um), 0.0, _FRAME_WIDTH_PX, _FRAME_HEIGHT_PX)
        yield letterbox(frame, spec)[0]


def _crops(slide: VirtualSlide, spec: ClassifierRole, count: int) -> Pictures:
    """The first ``count`` white cells of the slide, cut as the daemon cuts them."""
    side_px = round(_SLIDE_UM / slide.um_per_px)
    field, truth = slide.render_field(0.0, 0.0, side_px, side_px)
    white = np.array([kind == "wbc" for kind in truth.kinds])
    boxes = truth.boxes[white & (truth.visible > 0.95)]
    if len(boxes) < count:
        raise ValueError(f"the rendered slide shows {len(boxes)} white cells, not {count}")
    return crop_cells(field, boxes[:count], slide.um_per_px, spec.crop_um, spec.size)


def _cut_outs(spec: ClassifierRole, count: int, seed: int) -> Pictures:
    """Blasts and normal cells in turn, each alone in the middle of a black picture."""
    rng = np.random.default_rng([seed, 1])
    um_per_px = spec.crop_um / spec.size
    pictures = np.zeros((count, spec.size, spec.size, 3), np.uint8)
    for index, picture in enumerate(pictures):
        normal = NORMAL_WHITE_CELLS[index // 2 % len(NORMAL_WHITE_CELLS)]
        species: Species = normal if index % 2 else "blast"
        cell = render_cell(rng, species, um_per_px)
        height, width = (min(spec.size, side) for side in cell.alpha.shape)
        top, left = (spec.size - height) // 2, (spec.size - width) // 2
        inside = cell.alpha[:height, :width, None] > 0.5
        picture[top : top + height, left : left + width] = cell.rgb[:height, :width] * inside
    return pictures
