"""What every engine checks in the same words: the model file, and the arrays it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edge_daemon.engines.base import Array, TensorSpec
from edge_daemon.errors import EngineError


@contextmanager
def opened(model: Path, runtime: str) -> Iterator[None]:
    """Turn whatever a runtime raises while it loads ``model`` into one line for the user."""
    if not model.is_file():
        raise EngineError(f"model file {model} is missing; copy the bundle again")
    try:
        yield
    except Exception as error:  # runtimes raise their own, untyped, errors
        cause = " ".join(str(error).split())[:300]
        raise EngineError(f"{runtime} cannot load {model}: {cause}") from error


def checked(inputs: Mapping[str, Array], specs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """The inputs, contiguous and exactly as declared.

    Raises:
        EngineError: naming the input that is missing, unknown or misshapen.
    """
    unknown = sorted(set(inputs) - {spec.name for spec in specs})
    if unknown:
        raise EngineError(f"input {unknown[0]!r} is not one of {[str(spec) for spec in specs]}")
    feed: dict[str, Array] = {}
    for spec in specs:
        if spec.name not in inputs:
            raise EngineError(f"input {spec} is missing")
        array = inputs[spec.name]
        if not spec.accepts(array):
            raise EngineError(f"input {spec} was given {array.dtype} {list(array.shape)}")
        feed[spec.name] = np.ascontiguousarray(array)
    return feed
