"""What every command that runs networks needs first: the bundle, verified and opened."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from edge_daemon.config import SHIPPED_BUNDLES
from edge_daemon.contract.bundle import Bundle, RoleName, load_bundle, newest_bundle
from edge_daemon.contract.golden import INPUT, golden_set
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import EngineError
from edge_daemon.inference import Models
from edge_daemon.second_opinion import SecondOpinions


def find_bundle(folder: Path | None) -> Bundle:
    """The bundle in ``folder``, or the newest one that comes with the product, verified.

    Raises:
        BundleError: there is none, or it is not what its manifest says.
    """
    return load_bundle(newest_bundle(SHIPPED_BUNDLES) if folder is None else folder)


def opened_second(
    bundle: Bundle, options: EngineOptions, *, wanted: bool
) -> AbstractContextManager[SecondOpinions | None]:
    """The second opinion of a bundle, opened on entry; None where it has none or none is wanted."""
    return (SecondOpinions.of(bundle, options) if wanted else None) or nullcontext()


def open_models(
    folder: Path | None,
    options: EngineOptions = EngineOptions(),
    roles: Sequence[RoleName] = ("detector", "classifier"),
) -> Models:
    """Find, verify and open in one step; see :meth:`edge_daemon.inference.Models.open`."""
    return Models.open(find_bundle(folder), options, roles)


def probe(models: Models, times: int = 3) -> float:
    """Let networks look at the golden set's pictures as at any frame; milliseconds for one.

    Raises:
        EngineError: what they say cannot be read.
    """
    pictures = {
        role: golden_set(models.bundle.golden, role)[INPUT] for role in ("detector", "classifier")
    }
    started = time.perf_counter()
    for _ in range(times):
        for picture in pictures["detector"]:
            models.detect(models.scaled(picture))
        verdicts = models.classify(pictures["classifier"])
        if not np.isfinite(verdicts.p_blast).all():
            raise EngineError("the classifier's answers are not numbers")
    return round(1e3 * (time.perf_counter() - started) / (times * len(pictures["detector"])), 1)
