"""The bundle in use, opened, and the bundles of this device that may take its place or look on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import Field
from typing_extensions import Self

from edge_daemon.commands.models import open_models, probe
from edge_daemon.config import ModelSettings
from edge_daemon.contract.base import StrictModel
from edge_daemon.contract.bundle import BundleManifest
from edge_daemon.contract.messages import Command, EngineInUse
from edge_daemon.contract.target import release_order
from edge_daemon.errors import ConfigError, LeukoError
from edge_daemon.inference import Models
from edge_daemon.second_opinion import SecondOpinions
from edge_daemon.service.bundle_store import BundleStore
from edge_daemon.service.commands import arguments
from edge_daemon.service.progress import Progress
from edge_daemon.service.shadowing import Shadowing

START_WITHIN_S = 1800.0
"""A start may have to build the engines of a GPU: two of them, some minutes each on a Jetson."""

log = logging.getLogger(__name__)


class _StageArgs(StrictModel):
    path: str = Field(min_length=1, max_length=4096)
    """Folder of the bundle on this machine."""


class _ActivateArgs(StrictModel):
    bundle: str = Field(min_length=1, max_length=160)
    """Name and version, as it is staged."""


class Networks:
    """Opened where it is entered, and closed with it. For the thread that owns the networks."""

    def __init__(
        self, chosen: ModelSettings, progress: Progress, note: Callable[[str | None], None]
    ) -> None:
        """Nothing is opened yet.

        Args:
            chosen: the table of the configuration.
            progress: told that opening a bundle may take long.
            note: given a line on the candidate for people who look at this device, None for none.
        """
        self._chosen = chosen
        self._progress = progress
        self._store = BundleStore(chosen.store)
        self.shadowing = Shadowing(self._store, chosen.options, progress, START_WITHIN_S, note)

    def __enter__(self) -> Self:
        """Open the bundle that is active, hold it to its golden set, and go on with the candidate.

        Raises:
            BundleError, EngineError: it cannot be used here.
        """
        self.models, self.second = self._opened(self._chosen.bundle or self._store.active())
        self.shadowing.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close them all."""
        try:
            self.shadowing.close()
        finally:
            self._close()

    @property
    def status(self) -> dict[str, Any]:
        """What the answer to ``status`` says of the bundles."""
        manifest = self.models.bundle.manifest
        active = {"name": manifest.name, "version": manifest.version}
        fault = self._store.state.fault
        return {"bundle": {**active, "fault": fault}, **self.shadowing.status}

    @property
    def engines_in_use(self) -> tuple[EngineInUse, ...]:
        """The networks whose answers count, and how each is computed."""
        second = () if self.second is None else self.second.engines_in_use
        return self.models.engines_in_use + second

    def stage(self, command: Command) -> dict[str, Any]:
        """``bundle-stage``: take a folder of this machine into the store."""
        bundle = self._store.stage(Path(arguments(_StageArgs, command).path))
        return {"bundle": bundle.label, "digest": bundle.digest, "staged": self._store.staged()}

    def activate(self, command: Command) -> dict[str, Any]:
        """``bundle-activate``: try a staged bundle; go on with the one before if it fails.

        Raises:
            ConfigError: the configuration says which bundle this device uses.
            BundleError, EngineError: it is not staged, not sound, or cannot be used here.
        """
        label = arguments(_ActivateArgs, command).bundle
        if self._chosen.bundle is not None:
            raise ConfigError(
                "[models] bundle names the bundle of this device; take it out of the configuration "
                "and start again, then bundles can be activated"
            )
        path = self._store.begin(label)
        log.warning("trying bundle %s", label)
        try:
            with self._progress.busy(f"trying bundle {label}", START_WITHIN_S):
                models, second = self._opened(path)
                took_ms = probe(models)
        except LeukoError as error:
            self._store.roll_back(str(error))
            raise
        self._store.commit()
        self.shadowing.activated()
        self._prune(models.bundle.manifest)
        self._close()
        self.models, self.second = models, second
        log.warning("bundle %s is active: %s", label, models.description)
        return {"bundle": label, "digest": models.bundle.digest, "probe_ms": took_ms}

    def _prune(self, active: BundleManifest) -> None:
        """What is older than the active bundle is gone; what was staged for later stays."""
        here = release_order(active.version)
        later = [
            label
            for label in self._store.staged()
            if not label.startswith(f"{active.name}-")
            or release_order(label.removeprefix(f"{active.name}-")) > here
        ]
        for old in self._store.prune(keep=later):
            log.warning("bundle %s is deleted: older than the active one, and not in use", old)

    def _opened(self, folder: Path | None) -> tuple[Models, SecondOpinions | None]:
        models = open_models(folder, self._chosen.options)
        try:
            second = SecondOpinions.of(models.bundle, self._chosen.options)
            if second is not None and self._chosen.second_opinion:
                return models, second.__enter__()
        except BaseException:
            models.close()
            raise
        return models, None

    def _close(self) -> None:
        self.models.close()
        if self.second is not None:
            self.second.__exit__(None, None, None)
