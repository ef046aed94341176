"""A bundle that reads its networks' answers otherwise, and so disagrees with its original."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from edge_daemon.contract.bundle import MANIFEST

ALL_BLASTS: dict[str, Any] = {"abstain_band": [0.0, 0.0], "blast_threshold": 0.0}
"""A calibration by which every cell that is known at all is a blast."""


def altered(
    bundle: Path, folder: Path, version: str, *, white_above: float | None = None, **reading: Any
) -> Path:
    """A copy of a bundle with another version.

    Its detector reports white cells from the score ``white_above`` on; ``reading`` is the new
    calibration of its classifier.
    """
    path = folder / f"{bundle.name.rpartition('-')[0]}-{version}"
    shutil.copytree(bundle, path)
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["version"] = version
    role = manifest["roles"]["classifier"]
    for one in (role["spec"], *role.get("calibrations", {}).values()):
        one.update(reading)
    if white_above is not None:
        manifest["roles"]["detector"]["spec"]["score_thresholds"]["wbc"] = white_above
    (path / MANIFEST).write_text(json.dumps(manifest))
    return path
