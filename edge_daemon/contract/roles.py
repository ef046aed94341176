"""The roles a bundle fills, as typed data: what each network takes in and how its output is read.

A role says everything that is *not* inside the graph. Normalisation is inside (``uint8`` NHWC RGB
in), so these models hold geometry, thresholds and class names only. They travel in
``bundle.json`` and are used by training, verification and the daemon alike.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from edge_daemon.contract.base import Fraction as Fraction
from edge_daemon.contract.base import StrictModel as StrictModel
from edge_daemon.contract.terms import CLASSES, KINDS, CellClass, CellKind

Precision = Literal["fp32", "fp16", "int8"]


class DetectorRole(StrictModel):
    """Geometry and decoding of the ``detector`` graph.

    Graph input ``image``: uint8 ``[1, input_height, input_width, 3]``, RGB, letterboxed to the top
    left corner and padded with ``pad_value``. Graph outputs, one pair per stride ``s`` on a grid of
    ``input_height / s`` by ``input_width / s``:

    * ``scores_<s>``: float32 ``[1, len(kinds), H/s, W/s]``, class logits (no sigmoid);
    * ``boxes_<s>``: float32 ``[1, 4, H/s, W/s]``, distances left, top, right, bottom from the
      cell centre of the grid to the sides of the box, in units of ``s``, never negative.
    """

    input_height: int = Field(gt=0, le=4096)
    input_width: int = Field(gt=0, le=4096)
    pad_value: int = Field(default=114, ge=0, le=255)
    strides: tuple[int, ...] = (8, 16, 32)
    kinds: tuple[CellKind, ...] = KINDS
    score_thresholds: dict[CellKind, Fraction]
    """Lowest score at which a detection of that kind is reported."""
    nms_iou: Fraction = 0.6
    """Two boxes of one kind that overlap more than this are one cell."""
    nested_overlap: Fraction = 0.8
    """Two nucleated cells are one when this share of the smaller box lies in the other: a nucleus
    reported beside its own cell, or a cell beside the clearing around it."""
    max_detections: int = Field(default=1000, ge=1000)
    """Detections kept per frame; when more were found the frame says ``saturated``."""

    @model_validator(mode="after")
    def _grid_fits(self) -> DetectorRole:
        for stride in self.strides:
            if self.input_height % stride or self.input_width % stride:
                raise ValueError(f"input size is not a multiple of stride {stride}")
        if set(self.score_thresholds) != set(self.kinds):
            raise ValueError("score_thresholds must name every kind exactly once")
        return self


class Calibration(StrictModel):
    """How the answers of a classifier are read: probability, label, and what it does not know.

    The probability of a blast is ``softmax(logits / temperature)[blast]`` (temperature scaling, Guo
    et al. 2017, arXiv:1706.04599).
    """

    temperature: float = Field(default=1.0, gt=0)
    blast_threshold: Fraction = 0.5
    """``p_blast`` at and above which a cell is a blast when no abstain band is configured."""
    abstain_band: tuple[Fraction, Fraction]
    """``(low, high)``: below ``low`` is ``normal``, at and above ``high`` is ``blast``, between
    them ``uncertain``."""
    novelty_limit: float | None = Field(default=None, gt=0)
    """A crop with more ``novelty`` than this is ``uncertain``, whatever its probability: it shows
    nothing that the classifier knows. ``None``: the graph has no such output."""

    @model_validator(mode="after")
    def _band_is_ordered(self) -> Self:
        low, high = self.abstain_band
        if not low <= self.blast_threshold <= high:
            raise ValueError("abstain_band must enclose blast_threshold")
        return self


class ClassifierRole(Calibration):
    """Geometry and calibration of the ``classifier`` graph (and of ``second_opinion``).

    Graph input ``crops``: uint8 ``[N, size, size, 3]``, RGB, each a square of ``crop_um``
    micrometres around the centre of a cell (see :mod:`edge_daemon.vision.crops`). Graph output
    ``logits``: float32 ``[N, len(classes)]``. With a ``novelty_limit`` there is a second output
    ``novelty``, float32 ``[N]``: how unlike the training cells a crop is.
    """

    size: int = Field(gt=0, le=1024)
    crop_um: float = Field(gt=0)
    """Side of the square that a crop shows, in um: cell size stays visible to the network."""
    classes: tuple[CellClass, ...] = CLASSES
    single_cell_um_per_px: float = Field(gt=0)
    """Scale of the single-cell pictures the classifier was trained on, in um per pixel; used for
    pictures of one cell whose own scale is not known."""

    def read_by(self, calibration: Calibration) -> ClassifierRole:
        """The same role with another calibration."""
        return self.model_copy(update=dict(calibration))
