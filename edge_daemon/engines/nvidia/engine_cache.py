"""Engines kept on the device: found again only where everything that made them is the same.

An engine is a file ``<role>.<precision>.<key>.engine`` and, written after it, a record of the same
name in JSON: the whole key, size, digest, when and how long it was built, and what the golden set
said. The key holds everything that an engine depends on, so another TensorRT, another GPU, another
JetPack or other settings make another file and never a wrong one. What is truncated, altered or
without a record is not used; it is built again, with a line that says why.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pydantic import ValidationError

from edge_daemon.contract.bundle import RoleName
from edge_daemon.engines.nvidia.engine_record import EngineKey, EngineRecord, GoldenRecord
from edge_daemon.errors import EngineError
from edge_daemon.whole_files import PARTIAL_SUFFIX, write_whole

ENGINE_SUFFIX = ".engine"
RECORD_SUFFIX = ".json"
TIMING_CACHE = "timing.cache"
_KEY_DIGITS = 16


@dataclass(frozen=True)
class KeptEngine:
    """One file of the cache as it was found."""

    path: Path
    record: EngineRecord | None
    fault: str | None
    """Why it cannot be used; None when it is what its record says."""


class EngineCache:
    """A folder of engines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, role: RoleName, key: EngineKey) -> Path:
        """Where the engine of ``role`` with this key lies, if it was built."""
        name = f"{role}.{key.precision}.{key.digest[:_KEY_DIGITS]}{ENGINE_SUFFIX}"
        return self.folder / name

    def find(self, role: RoleName, key: EngineKey) -> KeptEngine | None:
        """The engine with this key, sound or not; None when there is none."""
        path = self.path(role, key)
        if not path.exists() and not _record_path(path).exists():
            return None
        kept = _examined(path)
        if kept.fault is None and kept.record is not None and kept.record.key != key:
            fault = f"was built for {key.difference(kept.record.key)}"
            return KeptEngine(path, kept.record, fault)
        return kept

    def others(self, role: RoleName, key: EngineKey) -> Iterator[str]:
        """In what other engines of this role and precision differ from ``key``."""
        for kept in self.engines():
            if kept.path.name.startswith(f"{role}.{key.precision}.") and kept.record is not None:
                difference = key.difference(kept.record.key)
                if difference:
                    yield difference

    def engines(self) -> list[KeptEngine]:
        """Every engine of the folder, by name."""
        found = {path for path in self._files() if path.suffix == ENGINE_SUFFIX}
        found |= {
            path.with_suffix(ENGINE_SUFFIX)
            for path in self._files()
            if path.suffix == RECORD_SUFFIX and re.search(r"\.[0-9a-f]{16}\.json$", path.name)
        }
        return [_examined(path) for path in sorted(found)]

    def require_writable(self) -> None:
        """Raise :class:`EngineError` when nothing can be kept here, before minutes are spent."""
        probe = self.folder / f".probe-{os.getpid()}"
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()

    def store(self, role: RoleName, key: EngineKey, engine: bytes, build_s: float) -> KeptEngine:
        """Keep an engine: the file first, its record when that is on disk.

        Raises:
            EngineError: it cannot be written; what was there before still is.
        """
        path = self.path(role, key)
        record = EngineRecord(
            key=key,
            bytes=len(engine),
            sha256=hashlib.sha256(engine).hexdigest(),
            built=datetime.now(timezone.utc),
            build_s=round(build_s, 3),
        )
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, engine)
            _write_record(path, record)
        return KeptEngine(path, record, None)

    def note_golden(self, kept: KeptEngine, golden: GoldenRecord) -> None:
        """Record what the golden set said.

        Raises:
            EngineError: it cannot be written.
        """
        if kept.record is None:
            raise ValueError(f"{kept.path} has no record")
        with _writing(self.folder):
            _write_record(kept.path, kept.record.model_copy(update={"golden": golden}))

    def remove(self, kept: KeptEngine) -> None:
        """Delete an engine and its record."""
        with _writing(self.folder):
            kept.path.unlink(missing_ok=True)
            _record_path(kept.path).unlink(missing_ok=True)

    def prune(self, keep: Sequence[Path]) -> list[Path]:
        """Delete all engines but those at ``keep``, and what broken writes left; what is gone."""
        unfinished = [path for path in self._files() if path.name.endswith(PARTIAL_SUFFIX)]
        gone = [kept for kept in self.engines() if kept.path not in keep]
        with _writing(self.folder):
            for path in unfinished:
                path.unlink(missing_ok=True)
        for kept in gone:
            self.remove(kept)
        return [*(kept.path for kept in gone), *unfinished]

    def timing(self) -> bytes:
        """What earlier builds measured; empty when there is nothing."""
        try:
            return (self.folder / TIMING_CACHE).read_bytes()
        except OSError:
            return b""

    def note_timing(self, timing: bytes) -> None:
        """Keep what a build measured.

        Raises:
            EngineError: it cannot be written.
        """
        if timing:
            with _writing(self.folder):
                write_whole(self.folder / TIMING_CACHE, timing)

    def _files(self) -> list[Path]:
        try:
            return sorted(self.folder.iterdir())
        except OSError:
            return []


def _examined(path: Path) -> KeptEngine:
    """What lies at ``path``, held against its record byte for byte."""
    record_path = _record_path(path)
    try:
        record = EngineRecord.model_validate_json(record_path.read_bytes())
    except FileNotFoundError:
        return KeptEngine(path, None, "has no record: its build did not end")
    except (OSError, ValidationError) as error:
        cause = " ".join(str(error).split())[:120]
        return KeptEngine(path, None, f"has no readable record ({cause})")
    try:
        content = path.read_bytes()
    except OSError as error:
        return KeptEngine(path, record, f"cannot be read ({error.strerror})")
    if len(content) != record.bytes:
        return KeptEngine(path, record, f"has {len(content)} bytes of {record.bytes}: truncated")
    if hashlib.sha256(content).hexdigest() != record.sha256:
        return KeptEngine(path, record, "does not have the digest it was written with: altered")
    if record.golden is not None and not record.golden.passed:
        return KeptEngine(path, record, "failed its golden set")
    return KeptEngine(path, record, None)


def _record_path(engine: Path) -> Path:
    return engine.with_suffix(RECORD_SUFFIX)


def _write_record(engine: Path, record: EngineRecord) -> None:
    text = json.dumps(record.model_dump(mode="json"), indent=2, sort_keys=True) + "\n"
    write_whole(_record_path(engine), text.encode())


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"cannot write engines into {folder}: {error.strerror}; give it room and rights, or "
            "name another folder"
        ) from error
