"""Is this file a LeukoEdge wheel, whole and as it was built?

A device installs it with pip, as itself; so what pip would do with it is looked at here, before
anybody signs: only plain files inside, all of them recorded, each with the digest that is recorded.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import zipfile
from email.parser import BytesParser
from pathlib import Path
from stat import S_IFMT, S_ISREG

from deploy.trust.errors import TrustError

_NAME = re.compile(r"leukoedge-(\d+(?:\.\d+){1,4})-([\w.]+)-([\w.]+)-([\w.]+)\.whl")
_MAX_BYTES = 1 << 30
_MAX_ENTRIES = 20_000
_BLOCK = 1 << 20


def wheel_version(file: Path) -> str:
    """The version of a sound LeukoEdge wheel.

    Raises:
        TrustError: it is not one; why not.
    """
    named = _NAME.fullmatch(file.name)
    if named is None:
        raise _refused(file, "a daemon is a wheel named leukoedge-VERSION-py3-none-any.whl")
    version = named.group(1)
    try:
        with zipfile.ZipFile(file) as wheel:
            _check_entries(file, wheel)
            _check_metadata(file, wheel, version)
            _check_record(file, wheel, version)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise _refused(file, f"it is no sound wheel ({error})") from None
    except OSError as error:
        raise TrustError(f"cannot read {file}: {error.strerror or error}") from None
    return version


def _check_entries(file: Path, wheel: zipfile.ZipFile) -> None:
    entries = wheel.infolist()
    if len(entries) > _MAX_ENTRIES or sum(entry.file_size for entry in entries) > _MAX_BYTES:
        raise _refused(file, "it holds more than a wheel of ours ever would")
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise _refused(file, "a file is in it twice")
    for entry in entries:
        parts = entry.filename.rstrip("/").split("/")
        if "\\" in entry.filename or any(part in ("", ".", "..") for part in parts):
            raise _refused(file, f"{entry.filename!r} leads out of it")
        mode = entry.external_attr >> 16
        if S_IFMT(mode) and not S_ISREG(mode) and not entry.is_dir():
            raise _refused(file, f"{entry.filename!r} is not a plain file")


def _check_metadata(file: Path, wheel: zipfile.ZipFile, version: str) -> None:
    try:
        content = wheel.read(f"leukoedge-{version}.dist-info/METADATA")
    except KeyError:
        raise _refused(file, "there is no METADATA in it") from None
    fields = BytesParser().parsebytes(content, headersonly=True)
    name, said = str(fields["Name"]).lower(), str(fields["Version"])
    if name != "leukoedge" or said != version:
        raise _refused(file, f"inside it says that it is {name} {said}")


def _check_record(file: Path, wheel: zipfile.ZipFile, version: str) -> None:
    record = f"leukoedge-{version}.dist-info/RECORD"
    try:
        rows = list(csv.reader(wheel.read(record).decode().splitlines()))
    except (KeyError, UnicodeDecodeError, csv.Error):
        raise _refused(file, "there is no readable RECORD in it") from None
    recorded = {row[0]: row[1] for row in rows if len(row) == 3}
    there = {entry.filename for entry in wheel.infolist() if not entry.is_dir()}
    if odd := sorted(there ^ set(recorded)):
        raise _refused(file, f"{odd[0]!r} is in one of it and its RECORD, not in both")
    for name, digest in recorded.items():
        if name != record and digest != _digest(wheel, name):
            raise _refused(file, f"{name!r} is not what its RECORD says")


def _digest(wheel: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    with wheel.open(name) as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return "sha256=" + base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


def _refused(file: Path, why: str) -> TrustError:
    return TrustError(f"{file} is refused: {why}")
