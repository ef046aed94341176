"""What a recorded session is on disk: a folder, one line a frame, and the pictures if wanted.

session.json     what was screened with what; written first, and again at the end
frames.jsonl     of each captured frame what the source said and what became of it
frames/*.png     the pictures as the camera gave them; or none, where digests are enough
calibration.json that of the microscope, where one was at work
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue, ValidationError

from edge_daemon.calibration.document import MicroscopeCalibration
from edge_daemon.calibration.file import read_calibration
from edge_daemon.contract.base import Digest, Name, StrictModel, UtcTime
from edge_daemon.contract.envelope import Count
from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.errors import CalibrationError, DataError
from edge_daemon.sources.base import Captured, DroppedFrame, Frame, Pixels, StagePosition

SESSION = "session.json"
FRAMES = "frames.jsonl"
PICTURES = "frames"
CALIBRATION = "calibration.json"

Pictures = Literal["png", "digests"]


class Session(StrictModel):
    """The content of ``session.json``."""

    schema_: Literal["leukoedge.session/1"] = "leukoedge.session/1"
    slide: Name
    version: str
    """Of the daemon."""
    bundle: Digest
    engines: str
    """Bundle and engines in words: others may round otherwise."""
    source: str
    camera: str | None = None
    """What the source is, and what it took of its settings (exposure, gain, white balance)."""
    config: dict[str, JsonValue]
    """Of the device, without secrets."""
    calibration: Digest | None = None
    """Of the microscope's, which lies beside this file; None where frames were judged without."""
    pictures: Pictures
    began_at: UtcTime
    from_the_start: bool
    """False where the slide was taken up again: what came before is in another recording."""
    frames: Count = 0
    complete: bool = False
    """True once the slide has ended and every frame of it is written."""
    fault: str | None = None
    """Why it is not."""
    summary: SlideSummary | None = None
    """The last of the slide; null while it has not ended, and in recordings of before."""


class RecordedFrame(StrictModel):
    """One line of ``frames.jsonl``: what the source handed out, and what became of it."""

    kind: Literal["frame", "unreadable", "dropped"]
    index: Count
    source: str
    captured_at: UtcTime
    field: int
    reason: str | None = None
    um_per_px: float | None = None
    stage: tuple[float, float, float] | None = None
    sha256: str | None = None
    """Of the pixels, RGB, row by row."""
    result: FrameResult


def digest_of(pixels: Pixels) -> str:
    """SHA-256 of a picture: its size, then RGB row by row."""
    hashed = hashlib.sha256(f"{pixels.shape[0]}x{pixels.shape[1]}\n".encode())
    hashed.update(pixels.tobytes())
    return hashed.hexdigest()


def recorded_frame(captured: Captured, result: FrameResult) -> RecordedFrame:
    """What is written down of a frame, but for the digest, which takes its time."""
    common: dict[str, Any] = {
        "index": captured.index,
        "source": captured.source,
        "captured_at": captured.captured_at,
        "field": captured.field,
        "result": result,
    }
    if isinstance(captured, Frame):
        stage = captured.stage
        return RecordedFrame(
            kind="frame",
            um_per_px=captured.um_per_px,
            stage=None if stage is None else (stage.x_um, stage.y_um, stage.z_um),
            **common,
        )
    kind: Literal["dropped", "unreadable"] = (
        "dropped" if isinstance(captured, DroppedFrame) else "unreadable"
    )
    return RecordedFrame(kind=kind, reason=captured.reason, **common)


def position_of(recorded: RecordedFrame) -> StagePosition | None:
    """Where the stage stood."""
    return None if recorded.stage is None else StagePosition(*recorded.stage)


def picture_name(index: int) -> str:
    """File of a frame below :data:`PICTURES`."""
    return f"{index:08d}.png"


def read_session(folder: Path) -> Session:
    """Read ``session.json``.

    Raises:
        DataError: it is not there, or not what it should be.
    """
    file = folder / SESSION
    try:
        return Session.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{folder} is no recorded session: it has no {SESSION}") from None
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise DataError(f"{file}: {where}: {first['msg']}; it was cut off or altered") from None


def read_recorded_calibration(folder: Path, session: Session) -> MicroscopeCalibration | None:
    """The calibration that the frames were judged through, or None.

    Raises:
        DataError: it is not the one that the session names, or is not there any more.
    """
    if session.calibration is None:
        return None
    file = folder / CALIBRATION
    try:
        calibration = read_calibration(file)
    except CalibrationError as error:
        raise DataError(f"{str(error).partition(': ')[0]}; it belongs to this recording") from None
    if calibration.digest != session.calibration:
        raise DataError(f"{file} is not the calibration that this session was recorded through")
    return calibration


def read_recorded_frame(line: str, file: Path, number: int) -> RecordedFrame:
    """Read one line of ``frames.jsonl``.

    Raises:
        DataError: it was cut off or altered.
    """
    try:
        return RecordedFrame.model_validate(json.loads(line))
    except (ValueError, ValidationError) as error:
        what = " ".join(str(error).split())[:120]
        raise DataError(f"{file}:{number}: cut off or altered ({what})") from None
