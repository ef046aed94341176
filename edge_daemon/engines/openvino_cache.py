"""Networks compiled by OpenVINO, kept so that the next start does not compile them anew.

OpenVINO writes and reads the files itself, knows those of another release of its own, and compiles
again what is truncated or altered. It does not look into the ONNX file it is given the name of, so
each network has a folder by its digest: ``openvino/<graph>-<arithmetic>``. Nothing hangs on this
cache: where it cannot be written, every start takes a second longer.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection
from pathlib import Path

log = logging.getLogger(__name__)

_DIGITS = 16


def compiled_folder(engines: Path, onnx_sha256: str, arithmetic: str) -> Path | None:
    """Where OpenVINO may keep a network; None, and a line in the log, when it cannot.

    Args:
        engines: the folder of :func:`edge_daemon.engines.folder.engine_folder`.
        onnx_sha256: digest of the ONNX file.
        arithmetic: what else decides how it is compiled.
    """
    folder = _all(engines) / f"{onnx_sha256[:_DIGITS]}-{arithmetic}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        log.warning(
            "compiled networks cannot be kept in %s (%s): every start compiles them anew; name "
            "another folder in [models] engine_cache",
            folder,
            error.strerror,
        )
        return None
    return folder


def prune_compiled(engines: Path, graphs: Collection[str]) -> list[Path]:
    """Delete what was compiled of other graphs than those with these digests; what is gone."""
    kept = {digest[:_DIGITS] for digest in graphs}
    try:
        found = sorted(_all(engines).iterdir())
    except OSError:
        return []
    gone = [folder for folder in found if folder.name.partition("-")[0] not in kept]
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    return gone


def _all(engines: Path) -> Path:
    return engines / "openvino"
