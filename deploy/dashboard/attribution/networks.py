"""The classifiers that answer here: of the bundle that judged a cell, opened as a device opens it.

For one thread, which owns what is opened. A network is held to its golden set before its first use.
"""

from __future__ import annotations

import logging
from collections import OrderedDict

from deploy.dashboard.attribution.bundles import Bundles
from deploy.dashboard.attribution.errors import AttributionError
from edge_daemon.contract.bundle import Bundle, load_bundle
from edge_daemon.engines.names import PrecisionChoice
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import BundleError, EngineError
from edge_daemon.inference import Models

MOST_OPEN = 2
"""Bundles kept open: the one in use and, during a rollout, the next. Each takes some 100 MB."""
_PRECISIONS: tuple[PrecisionChoice, ...] = ("auto", "fp32")
"""As a device would choose; where this processor cannot, what every processor can."""

log = logging.getLogger(__name__)


class Networks:
    """Opens what is asked for, and keeps the last few."""

    def __init__(self, bundles: Bundles) -> None:
        self._bundles = bundles
        self._open: OrderedDict[str, Models] = OrderedDict()

    def judge_of(self, digest: str | None, name: str | None) -> Models:
        """The classifier of the bundle with that digest; see :meth:`Bundles.find`.

        Raises:
            AttributionError: the bundle is not here, is not what its manifest says, or runs on no
                engine of this machine.
        """
        kept = None if digest is None else self._open.get(digest)
        if digest is None or kept is None:
            return self._opened(digest, name)
        self._open.move_to_end(digest)
        return kept

    def close(self) -> None:
        """Free them all."""
        while self._open:
            self._open.popitem()[1].close()

    def _opened(self, digest: str | None, name: str | None) -> Models:
        folder = self._bundles.find(digest, name)
        try:
            bundle = load_bundle(folder)
            if bundle.digest != digest:
                raise BundleError(f"{folder} was exchanged just now; ask again")
            models = _classifier(bundle)
        except (BundleError, EngineError) as error:
            log.warning("no attribution: %s", error)
            raise AttributionError(
                f"the bundle {name or folder.name} on this server cannot be used: {error}"
            ) from None
        self._open[bundle.digest] = models
        while len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)[1].close()
        return models


def _classifier(bundle: Bundle) -> Models:
    first: EngineError | None = None
    for precision in _PRECISIONS:
        # one thread: its own, which lets everything else here go first
        options = EngineOptions(precision=precision, threads=1)
        try:
            return Models.open(bundle, options, ("classifier",))
        except EngineError as error:
            log.warning("%s in precision %s: %s", bundle.label, precision, error)
            first = first or error
        except BundleError:
            if first is None:
                raise
    assert first is not None  # noqa: S101 - every way through the loop sets it, or is left
    raise first
