"""The best weights of a detector's training, with the shape and the role that belong to them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from edge_daemon.contract.roles import DetectorRole
from edge_daemon.errors import DataError
from trainer.models.detector import Detector, DetectorShape
from trainer.training.checkpoint import load_checkpoint, save_checkpoint


def save_detector(detector: Detector, role: DetectorRole, path: Path) -> None:
    """Write what :func:`load_detector` reads."""
    saved = {
        "shape": asdict(detector.shape),
        "role": role.model_dump(mode="json"),
        "weights": detector.state_dict(),
    }
    save_checkpoint(saved, path)


def load_detector(path: Path) -> tuple[Detector, DetectorRole]:
    """The network and the role in a ``detector.pt``, ready to run.

    Raises :class:`edge_daemon.errors.DataError` when the file is missing or broken.
    """
    saved = load_checkpoint(path)
    try:
        detector = Detector(DetectorShape(**saved["shape"]))
        detector.load_state_dict(saved["weights"])
        return detector.eval(), DetectorRole.model_validate(saved["role"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        what = str(error).splitlines()[0]
        raise DataError(f"{path} does not hold a detector ({what})") from error
