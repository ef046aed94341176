"""A trained network as one ONNX file that computes what PyTorch computes, or no file at all.

The graph is written by torch's exporter (``torch.export`` based), stripped of everything that is
not the network (stack traces, source paths, compiler notes: they differ between machines and tell
where it was built), held against the contract's signature, checked by ``onnx.checker``, and run in
ONNX Runtime beside PyTorch. Only then does it get its name. The same weights give the same bytes,
whatever the bundle's version, so that devices keep the engines they have already compiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from exporter.errors import ExportError
from exporter.graphs.reference import ReferenceSession
from exporter.graphs.rewriting import check_graph
from exporter.graphs.signature import (
    FREE_BATCH,
    RoleSpec,
    Signature,
    check_input_is_cast,
    check_signature,
    signature_of,
)

if TYPE_CHECKING:
    from torch import nn

OPSET = 20
"""Newest operator set that TensorRT 10.3 (JetPack 6) parses; INT8 needs 19 at least."""

PARITY_TOLERANCE = 1e-4
"""Largest difference of any output (logits, grid units) between PyTorch and ONNX Runtime."""

_EXAMPLE_BATCH = 2  # one picture would be taken for a constant size


@dataclass(frozen=True)
class Parity:
    """How far the ONNX file is from the PyTorch network, over all outputs of all pictures."""

    max_abs: float
    pictures: int


def export_graph(
    graph: nn.Module,
    spec: RoleSpec,
    file: Path,
    *,
    proofs: Iterable[NDArray[np.uint8]],
    metadata: Mapping[str, str] | None = None,
) -> Parity:
    """Write ``graph`` to ``file`` as float32 ONNX, proven equal to PyTorch on ``proofs``.

    Args:
        graph: module with uint8 NHWC input and the outputs of ``spec`` in the contract's order.
        spec: the role that the graph fills.
        file: where to write; replaced only when everything holds.
        proofs: batches of pictures, uint8 ``[N, H, W, 3]``, on which both are compared.
        metadata: entries of ``metadata_props``.

    Raises:
        ExportError: the graph cannot be exported, breaks the contract, is refused by
            ``onnx.checker``, or differs from PyTorch by more than ``PARITY_TOLERANCE``.
    """
    graph = graph.cpu().eval()
    model = _stripped(_traced(graph, signature_of(spec)), metadata or {})
    check_signature(model, spec, f"the graph for {file.name}")
    check_input_is_cast(model, f"the graph for {file.name}")
    check_graph(model, file.name)
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_bytes(model.SerializeToString(deterministic=True))
        parity = measure_parity(graph, partial, proofs)
        if not parity.max_abs <= PARITY_TOLERANCE:  # a NaN is no parity either
            raise ExportError(
                f"{file.name} differs from PyTorch by {parity.max_abs:.2e} "
                f"(allowed {PARITY_TOLERANCE:.0e}) on {parity.pictures} pictures: not written"
            )
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return parity


def measure_parity(graph: nn.Module, file: Path, proofs: Iterable[NDArray[np.uint8]]) -> Parity:
    """Run ``graph`` in PyTorch and ``file`` in ONNX Runtime on the same pictures."""
    import torch

    session = ReferenceSession(file)
    worst, pictures = [], 0
    for batch in proofs:
        with torch.inference_mode():
            wanted = graph(torch.from_numpy(np.ascontiguousarray(batch)))
        tensors = (wanted,) if isinstance(wanted, torch.Tensor) else tuple(wanted)
        found = session.run(batch)
        for tensor, value in zip(tensors, found.values(), strict=True):
            worst.append(float(np.abs(tensor.float().numpy() - value).max()))
        pictures += len(batch)
    if not pictures:
        raise ExportError(f"no pictures to prove {file.name} on")
    return Parity(max_abs=float(np.max(worst)), pictures=pictures)


def _traced(graph: nn.Module, signature: Signature) -> onnx.ModelProto:
    import torch

    batch = _EXAMPLE_BATCH if signature.free_batch else 1
    sizes = [size for size in signature.input.shape[1:] if size is not None]
    example = torch.zeros((batch, *sizes), dtype=torch.uint8)
    free = {0: torch.export.Dim(FREE_BATCH, min=1)} if signature.free_batch else None
    try:
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[signature.input.name],
            output_names=list(signature.output_names),
            dynamic_shapes=(free,),
            verbose=False,
        )
    except Exception as error:  # the exporter raises whatever the operator at fault raises
        cause = " ".join(str(error).split())[:400]
        raise ExportError(f"torch cannot export {type(graph).__name__}: {cause}") from error
    if program is None:
        raise ExportError(f"torch returned no graph for {type(graph).__name__}")
    return program.model_proto


def _stripped(model: onnx.ModelProto, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """The network and nothing else, with ``metadata`` in its ``metadata_props``."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    del graph.value_info[:]  # shapes of inner tensors: every reader infers them again
    for value in (*graph.input, *graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if first.HasField("dim_param"):
            first.dim_param = FREE_BATCH
    graph.name = "leukoedge"
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
    return model
