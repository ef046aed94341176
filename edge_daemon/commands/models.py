"""What every command that runs networks needs first: the bundle, verified and opened."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from edge_daemon.config import SHIPPED_BUNDLES
from edge_daemon.contract.bundle import Bundle, RoleName, load_bundle, newest_bundle
from edge_daemon.engines.options import EngineOptions
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
