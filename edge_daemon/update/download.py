"""One large file of a repository, fetched in as many tries as it takes.

What has come stays on the disk under another name; the next try goes on behind it. Only what has
the signed length and digest gets the name that others look for.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tuf.api.exceptions import DownloadError, DownloadLengthMismatchError, LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from edge_daemon.errors import UpdateError
from edge_daemon.update.fetch import Fetcher
from edge_daemon.whole_files import PARTIAL_SUFFIX, to_disk

Progress = Callable[[int, int], None]
"""Is told the bytes that are here, and how many there will be."""


def download(
    fetcher: Fetcher, url: str, target: TargetFile, place: Path, progress: Progress | None = None
) -> Path:
    """Fetch a target to ``place``, going on with what an earlier try left.

    Raises:
        DownloadError: it did not all come; what came is kept, unless it was more than signed for.
        LengthOrHashMismatchError: other bytes came than were signed.
        UpdateError: there is no room for it.
        OSError: the disk refuses.
    """
    if place.exists() and _is_it(target, place):
        return place
    part = place.with_name(place.name + PARTIAL_SUFFIX)
    have = part.stat().st_size if part.exists() else 0
    _check_room(place.parent, target.length - have, url)
    _fill(fetcher, url, target.length, part, progress)
    if not _is_it(target, part):
        part.unlink()
        if not have:
            raise LengthOrHashMismatchError(f"{url} does not have the digest that was signed")
        # What an earlier try left may be to blame: from the beginning, once.
        return download(fetcher, url, target, place, progress)
    part.replace(place)
    to_disk(place.parent)
    return place


def _fill(fetcher: Fetcher, url: str, length: int, part: Path, progress: Progress | None) -> None:
    with part.open("ab") as file:
        have = file.tell()
        if have > length:
            have = file.truncate(0)
        if have == length:
            return
        have, chunks = fetcher.fetch_from(url, have)
        file.truncate(have)
        for chunk in chunks:
            have += len(chunk)
            if have > length:
                part.unlink()
                raise DownloadLengthMismatchError(f"{url} has more than the {length} bytes signed")
            file.write(chunk)
            if progress is not None:
                progress(have, length)
    if have < length:
        raise DownloadError(f"{url} ended after {have} of {length} bytes; try again to go on")
    to_disk(part)


def _is_it(target: TargetFile, file: Path) -> bool:
    try:
        with file.open("rb") as content:
            target.verify_length_and_hashes(content)
    except LengthOrHashMismatchError:
        return False
    return True


def _check_room(folder: Path, needed: int, url: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UpdateError(
            f"{url} needs {needed / 1e6:.0f} MB more in {folder}, where {free / 1e6:.0f} MB are "
            "free; make room and try again"
        )
