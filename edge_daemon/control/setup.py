"""What decides a result beside the bundle and its engines, as one digest.

When it changes, a control that passed before proves nothing of what is used now.
"""

from __future__ import annotations

import hashlib
import json

from edge_daemon import __version__
from edge_daemon.config import Config


def setup_digest(config: Config, calibration: str | None) -> str:
    """``sha256:<hex>`` of version, source, optics, thresholds, and of the ``calibration`` in use.

    ``calibration``: its digest; None where none holds.
    """
    decides = {
        "version": __version__,
        "source": config.source.model_dump(mode="json"),
        "objective": config.device.objective,
        "optics": config.calibration.model_dump(mode="json", exclude={"file"}),
        "calibration": calibration,
        "threads": config.models.threads,
        "quality": config.quality.model_dump(mode="json"),
        "thresholds": config.slide.thresholds.model_dump(mode="json"),
    }
    text = json.dumps(decides, sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
