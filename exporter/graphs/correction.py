"""What fewer bits do to all answers alike, taken out again.

Rounding does not cancel out: it moves the answers of a whole network a little in one direction, and
cells near the threshold with them, all to one side. How far is measured on the pictures of the
calibration and added to the answer. It is the bias correction of Nagel et al. 2019
(arXiv:1906.04721), for the answer instead of for each layer. What is ranked above what stays.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from exporter.errors import ExportError
from exporter.graphs.reference import ReferenceSession


def mean_answer(
    session: ReferenceSession, pictures: Iterable[NDArray[np.uint8]], output: str
) -> NDArray[np.float64]:
    """What a graph answers on the average of ``pictures``, float64 ``[C]``.

    Args:
        session: of the graph.
        pictures: batches, uint8 ``[N, H, W, 3]``.
        output: name of the answer, float ``[N, C]``.

    Raises:
        ExportError: there is no picture.
    """
    said = [session.run(batch)[output] for batch in pictures]
    if not said:
        raise ExportError("no pictures to hold the answers to those of float32")
    mean: NDArray[np.float64] = np.concatenate(said).mean(axis=0, dtype=np.float64)
    return mean


def moved(model: onnx.ModelProto, output: str, offset: NDArray[np.float64]) -> onnx.ModelProto:
    """``model`` with ``offset``, float ``[C]``, added to an answer, float32 ``[N, C]``."""
    result = copy.deepcopy(model)
    graph, before = result.graph, f"{output}_before_correction"
    for node in graph.node:
        node.output[:] = [before if name == output else name for name in node.output]
        node.input[:] = [before if name == output else name for name in node.input]
    constant = f"{output}_correction"
    graph.initializer.append(numpy_helper.from_array(offset.astype(np.float32), constant))
    graph.node.append(
        helper.make_node("Add", [before, constant], [output], name=f"node_{constant}")
    )
    return result
