"""A bundle's archive, taken apart on the device: what is in it lands in one new folder, or nothing.

The archive is a plain tar, as ``leuko-deploy repo add`` packs it: files only, each named
``FOLDER/FILE``, one folder for all. It is not compressed, so nothing in it can be larger than what
was signed for; networks hardly get smaller by it. Whatever else a tar can hold is refused: who
signs may be deceived as well.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edge_daemon.errors import UpdateError
from edge_daemon.whole_files import to_disk

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_BLOCK = 1 << 20
_ODD_KINDS = (
    (tarfile.TarInfo.issym, "a symbolic link"),
    (tarfile.TarInfo.islnk, "a hard link"),
    (tarfile.TarInfo.isdev, "a device or pipe"),
    (tarfile.TarInfo.isdir, "a folder of its own"),
    (tarfile.TarInfo.issparse, "a sparse file"),
)


@dataclass(frozen=True)
class UnpackLimits:
    """More than this is no bundle."""

    entries: int = 256
    bytes: int = 1 << 30


def unpack(archive: Path, into: Path, limits: UnpackLimits = UnpackLimits()) -> Path:
    """Unpack into a new folder below ``into``; that folder, named as in the archive.

    Raises:
        UpdateError: it is not such an archive, or a folder of its name is there, or the disk
            refuses; nothing of it is left.
    """
    draft = into / f".{archive.name}.partial"
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
        draft.mkdir(parents=True)
        try:
            with archive.open("rb") as file:
                name = _unpack_all(file, archive, draft, limits)
            return _put(draft, into / name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise UpdateError(f"cannot unpack {archive} into {into}: {error.strerror}") from None


def _unpack_all(file: IO[bytes], archive: Path, draft: Path, limits: UnpackLimits) -> str:
    """Every file of the archive into ``draft``; the name of the folder they belong to."""
    folder: str | None = None
    entries, left = 0, limits.bytes
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                entries += 1
                left -= max(member.size, 0)
                if entries > limits.entries:
                    raise _refused(archive, f"it holds more than {limits.entries} files")
                if left < 0:
                    raise _refused(archive, f"it holds more than {limits.bytes} bytes")
                where, name = _place(member, archive)
                if folder is not None and where != folder:
                    raise _refused(archive, f"its files lie in several folders, as {where!r}")
                folder = where
                _write(tar, member, archive, draft / name)
    except (tarfile.TarError, EOFError, ValueError, RecursionError) as error:
        raise _refused(archive, f"it is no sound tar ({error})") from None
    if folder is None:
        raise _refused(archive, "nothing is in it")
    return folder


def _place(member: tarfile.TarInfo, archive: Path) -> tuple[str, str]:
    """Folder and name of a member that is nothing but a file in one folder."""
    shown = repr(member.name[:80])
    for is_odd, what in _ODD_KINDS:
        if is_odd(member):
            raise _refused(archive, f"{shown} is {what}")
    if not member.isreg() or member.size < 0:
        raise _refused(archive, f"{shown} is not a plain file")
    if member.name.startswith("/"):
        raise _refused(archive, f"{shown} is an absolute path")
    parts = member.name.split("/")
    if ".." in parts:
        raise _refused(archive, f"{shown} leads out of its folder")
    if len(parts) != 2 or not all(_PLAIN.fullmatch(part) for part in parts):
        raise _refused(archive, f"{shown} is not a plain name in one folder")
    return parts[0], parts[1]


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path, place: Path) -> None:
    content = tar.extractfile(member)
    if content is None:
        raise _refused(archive, f"{member.name!r} has no content")
    try:
        file = place.open("xb")
    except FileExistsError:
        raise _refused(archive, f"{member.name!r} is in it twice") from None
    with file:
        shutil.copyfileobj(content, file, _BLOCK)  # raises where the archive ends within it
    to_disk(place)


def _put(draft: Path, place: Path) -> Path:
    to_disk(draft)
    if place.exists():
        raise UpdateError(f"{place} is there already; nothing was unpacked")
    draft.rename(place)
    to_disk(place.parent)
    return place


def _refused(archive: Path, why: str) -> UpdateError:
    return UpdateError(f"{archive.name} is refused: {why}; nothing of it was unpacked")
