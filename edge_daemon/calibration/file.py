"""Reading and writing a calibration file: strictly, and whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from edge_daemon.calibration.document import SCHEMA, MicroscopeCalibration, sealed
from edge_daemon.errors import CalibrationError
from edge_daemon.whole_files import write_whole

_MAX_BYTES = 1 << 20


def read_calibration(path: Path) -> MicroscopeCalibration:
    """A calibration file, verified.

    Raises:
        CalibrationError: one line with what is wrong with it and what to do.
    """
    text = _read(path)
    try:
        content = json.loads(text)
    except ValueError:  # JSONDecodeError and UnicodeDecodeError alike
        raise CalibrationError(
            f"{path} is not valid JSON: truncated or altered: calibrate again"
        ) from None
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise CalibrationError(
            f"{path} has schema {schema!r}, this version reads {SCHEMA!r}: calibrate again"
        )
    try:
        calibration = MicroscopeCalibration.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise CalibrationError(f"{path}: {where}: {first['msg']}{more}: calibrate again") from None
    if calibration.digest != calibration.content_digest():
        raise CalibrationError(
            f"{path} does not have the digest that it names: altered: calibrate again"
        )
    return calibration


def write_calibration(path: Path, calibration: MicroscopeCalibration) -> None:
    """Write it sealed: all of it under its name, or nothing.

    Raises:
        CalibrationError: it cannot be written there.
    """
    content = sealed(calibration).model_dump(mode="json", by_alias=True, exclude_none=True)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise CalibrationError(
            f"cannot write {path}: {error.strerror}; choose another --file"
        ) from error


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise CalibrationError(f"{path} is over 1 MiB: not a calibration; name another file")
        return path.read_bytes()
    except FileNotFoundError:
        raise CalibrationError(
            f"{path} does not exist: make it with leuko-edge calibrate, or leave [calibration] out"
        ) from None
    except OSError as error:
        raise CalibrationError(f"cannot read {path}: {error.strerror}") from error
