"""``leuko-edge update self-check``: would this version work here, beside the one that runs?

It disturbs nothing: no camera, no broker, no outbox, no engine is opened, for those are the running
daemon's. A golden set is for the start, which the updater waits for.
"""

from __future__ import annotations

import importlib

from rich.console import Console

import edge_daemon
from edge_daemon.commands.models import find_bundle
from edge_daemon.config import Config
from edge_daemon.errors import ConfigError
from edge_daemon.service.bundle_store import active_in
from edge_daemon.update.journal import JournalFile
from edge_daemon.update.release_journal import ReleaseJournalFile

_NEEDED = ("edge_daemon.commands.run", "edge_daemon.update.trust", "cv2", "numpy", "onnxruntime")
"""What a start imports, with the libraries that a machine may lack."""


def self_check(config: Config, console: Console) -> None:
    """Read what the daemon would read, and import what it would import.

    Raises:
        LeukoError: it would not work; why.
    """
    for name in _NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as error:  # noqa: PERF203 - one that is absent is enough
            raise ConfigError(f"{name} cannot be imported: {error}") from None
    bundle = find_bundle(config.models.bundle or active_in(config.models.store))
    JournalFile(config.update.state).read()
    ReleaseJournalFile(config.update.state).read()
    console.print(f"leuko-edge {edge_daemon.__version__} understands {bundle.label}")
