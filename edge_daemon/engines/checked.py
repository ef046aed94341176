"""What every engine does in the same words: check its file, its inputs, and that it is open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edge_daemon.contract.roles import Precision
from edge_daemon.engines.base import Array, Outputs, TensorSpec
from edge_daemon.errors import EngineError, LostDeviceError


class CheckedEngine(ABC):
    """An :class:`edge_daemon.engines.base.Engine` but for the one call into its runtime."""

    runtime: str
    """The runtime's own name, for error messages."""

    def __init__(
        self,
        name: str,
        precision: Precision,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
    ) -> None:
        self._name = name
        self._precision = precision
        self._inputs = inputs
        self._outputs = outputs
        self._closed = False

    @property
    def name(self) -> str:
        """The runtime and what it runs on, for logs and messages."""
        return self._name

    @property
    def precision(self) -> Precision:
        """The coarsest arithmetic it may use; bfloat16 counts as ``fp16``."""
        return self._precision

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What :meth:`run` must be given."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What :meth:`run` returns."""
        return self._outputs

    def run(self, inputs: Mapping[str, Array]) -> Outputs:
        """Run the network once; see :meth:`edge_daemon.engines.base.Engine.run`."""
        if self._closed:
            raise EngineError("this engine is closed; open it again")
        feed = self._checked(inputs)
        try:
            return self._infer(feed)
        except LostDeviceError:
            raise
        except Exception as error:  # runtimes raise their own, untyped, errors
            raise EngineError(f"{self.runtime} failed while running: {error}") from error

    def close(self) -> None:
        """Free the network; idempotent."""
        if not self._closed:
            self._closed = True
            self._free()

    @abstractmethod
    def _infer(self, feed: dict[str, Array]) -> Outputs:
        """Run on inputs that are known to be right; the arrays returned are the caller's."""

    @abstractmethod
    def _free(self) -> None:
        """Let the runtime's objects go."""

    def _checked(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        unknown = sorted(set(inputs) - {spec.name for spec in self._inputs})
        if unknown:
            known = [str(spec) for spec in self._inputs]
            raise EngineError(f"input {unknown[0]!r} is not one of {known}")
        feed: dict[str, Array] = {}
        for spec in self._inputs:
            if spec.name not in inputs:
                raise EngineError(f"input {spec} is missing")
            array = inputs[spec.name]
            if not spec.accepts(array):
                raise EngineError(f"input {spec} was given {array.dtype} {list(array.shape)}")
            feed[spec.name] = np.ascontiguousarray(array)
        return feed


def require_model(model: Path) -> None:
    """Raise :class:`EngineError` when ``model`` is not there: each runtime has its own words."""
    if not model.is_file():
        raise EngineError(f"model file {model} is missing; copy the bundle again")


@contextmanager
def opened(model: Path, runtime: str) -> Iterator[None]:
    """Turn whatever a runtime raises while it loads ``model`` into one line for the user."""
    require_model(model)
    try:
        yield
    except Exception as error:  # runtimes raise their own, untyped, errors
        cause = " ".join(str(error).split())[:300]
        raise EngineError(f"{runtime} cannot load {model}: {cause}") from error
