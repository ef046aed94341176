"""What was found out on the way to a bundle, kept until there is one.

To calibrate, to rank layers and to judge mixes takes half an hour. Whoever interrupts it goes on
where it stood. Everything is kept by all that it depends on, the program itself included: what was
found by another version, on other pictures or of other weights is found out again.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from edge_daemon.whole_files import write_whole

Found = TypeVar("Found")


class Trials:
    """Findings in a folder, each by a name and what it depends on."""

    def __init__(self, folder: Path | None, *depends: str) -> None:
        """Keep findings in ``folder``, made when there is the first; None keeps nothing.

        ``depends``: what all of them depend on, beside the program.
        """
        self._folder = folder
        self._depends = depends

    def of(self, *depends: str) -> Trials:
        """The same folder, for what depends on more."""
        return Trials(self._folder, *self._depends, *depends)

    def finding(self, name: str, kind: type[Found], find: Callable[[], Found]) -> Found:
        """What is kept as ``name``, or what ``find`` says, which is kept then.

        ``kind`` must be what pydantic can write as JSON and read again.
        """
        known: TypeAdapter[Found] = TypeAdapter(kind)
        place = self._place(name, "json")
        if place is not None and place.is_file():
            try:
                return known.validate_json(place.read_bytes())
            except (OSError, ValidationError):  # half a finding is none
                pass
        found = find()
        if place is not None:
            self._keep(place, known.dump_json(found))
        return found

    def keep_file(self, name: str, file: Path) -> None:
        """Keep a copy of ``file`` as ``name``."""
        place = self._place(name, "file")
        if place is not None:
            self._keep(place, file.read_bytes())

    def give_file(self, name: str, file: Path) -> bool:
        """Write what is kept as ``name`` into ``file``; False where nothing is."""
        place = self._place(name, "file")
        if place is None or not place.is_file():
            return False
        shutil.copyfile(place, file)
        return True

    def forget(self) -> None:
        """Remove the folder: there is a bundle now."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _place(self, name: str, kind: str) -> Path | None:
        if self._folder is None:
            return None
        key = hashlib.sha256("\0".join((program_digest(), *self._depends, name)).encode())
        return self._folder / f"{key.hexdigest()[:32]}.{kind}"

    @staticmethod
    def _keep(place: Path, content: bytes) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, content)


def digest_of(file: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


@cache
def program_digest() -> str:
    """SHA-256 over the source of all rooms that take part."""
    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for room in ("edge_daemon", "exporter", "trainer"):
        for file in sorted((root / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
