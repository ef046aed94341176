"""A daemon with all that it needs on one kind of machine: wheels, each locked by its digest.

A device has no index, and asks nobody: it installs these files and no others. So they are looked at
here, before anybody signs: only wheels, one of each, for one Python and one platform, and nothing
that any of them needs is missing.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import zipfile
from dataclasses import dataclass
from email.parser import BytesParser
from pathlib import Path
from typing import TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from deploy.trust.errors import TrustError
from deploy.trust.pack import pack_files
from edge_daemon.contract.target import REQUIREMENTS, Compatibility, ReleaseRange
from edge_daemon.update.archive import unpack

EXTRAS = ("update",)
"""Of the daemon's wheel: a version that could not update itself would be the last."""
_OLDEST = (3, 10)
_BLOCK = 1 << 20
_Kind = TypeVar("_Kind")
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")
_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}


@dataclass(frozen=True)
class _Wheel:
    name: str
    version: str
    tags: frozenset[Tag]
    requires: tuple[Requirement, ...]
    file: Path
    extras: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """Of the requirements."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}=={self.version} --hash=sha256:{_digest(self.file)}"


@dataclass(frozen=True)
class Wheelhouse:
    """Wheels that go together."""

    wheels: tuple[_Wheel, ...]
    python: tuple[int, int] | None
    """They are for this one; None: for each from 3.10 on."""
    processor: str | None
    """``aarch64``; None: none of them is compiled."""
    glibc: tuple[int, int] | None
    """The oldest they run with."""

    @property
    def tag(self) -> str:
        """Of the machines it is for, as part of a file's name."""
        python = "py3" if self.python is None else f"cp{self.python[0]}{self.python[1]}"
        return f"{python}-{'any' if self.processor is None else f'linux_{self.processor}'}"

    @property
    def requirements(self) -> str:
        """A lock that pip takes with ``--require-hashes``."""
        return "".join(f"{one.line}\n" for one in self.wheels)

    def compatibility(self, asked: Compatibility) -> Compatibility:
        """What was asked for, and what the wheels themselves ask for."""
        low, below = self.python or _OLDEST, None
        if self.python is not None:
            below = f"{low[0]}.{low[1] + 1}"
        return asked.model_copy(
            update={
                "python": ReleaseRange(at_least=f"{low[0]}.{low[1]}", below=below),
                "platform": None if self.processor is None else f"linux_{self.processor}",
                "glibc": None
                if self.glibc is None
                else ReleaseRange(at_least=".".join(map(str, self.glibc))),
            }
        )


def read_wheelhouse(daemon: Path, folder: Path) -> Wheelhouse:
    """The daemon's wheel and those in a folder.

    Raises:
        TrustError: something else lies there, a wheel is there twice or for another machine, or one
            that is needed is missing.
    """
    try:
        files = sorted(file for file in folder.iterdir() if file.name != daemon.name)
    except OSError as error:
        raise TrustError(f"cannot read {folder}: {error.strerror}; name a wheelhouse") from None
    wheels = [_read(daemon, EXTRAS), *(_read(file) for file in files)]
    names = [wheel.name for wheel in wheels]
    for name in names:
        if names.count(name) > 1:
            raise TrustError(f"{folder}: {name} is there in several files; keep the one to install")
    house = Wheelhouse(
        tuple(wheels),
        _only({python for wheel in wheels if (python := _python(wheel))}, "Pythons", folder),
        _only({kind for wheel in wheels if (kind := _processor(wheel))}, "processors", folder),
        max((glibc for wheel in wheels if (glibc := _glibc(wheel))), default=None),
    )
    _check_complete(house, folder)
    return house


def pack_wheels(house: Wheelhouse, label: str, place: Path) -> None:
    """Write the archive, and take it apart as a device does.

    Raises:
        TrustError, UpdateError: a device would refuse it.
        OSError: the disk refuses.
    """
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        lock = Path(scratch) / REQUIREMENTS
        lock.write_text(house.requirements)
        files = {wheel.file.name: wheel.file for wheel in house.wheels}
        with place.open("wb") as out:
            pack_files(label, {**files, REQUIREMENTS: lock}, out)
        found = unpack(place, Path(scratch) / "proof")
        for wheel in house.wheels:
            if f"sha256:{_digest(found / wheel.file.name)}\n" not in house.requirements:
                raise TrustError(f"{wheel.file} changed while it was packed; try again")


def _read(file: Path, extras: tuple[str, ...] = ()) -> _Wheel:
    try:
        name, version, _, tags = parse_wheel_filename(file.name)
    except InvalidWheelFilename:
        raise TrustError(f"{file} is no wheel; a wheelhouse holds nothing else") from None
    try:
        with zipfile.ZipFile(file) as wheel:
            found = [n for n in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n)]
            fields = BytesParser().parsebytes(wheel.read(found[0]), headersonly=True)
        requires = tuple(Requirement(str(one)) for one in fields.get_all("Requires-Dist") or ())
    except (OSError, zipfile.BadZipFile, IndexError, InvalidRequirement, RuntimeError) as error:
        raise TrustError(f"{file} is no sound wheel ({error})") from None
    said = canonicalize_name(str(fields["Name"])), str(fields["Version"])
    if said[0] != name:
        raise TrustError(f"{file} says inside that it is {said[0]} {said[1]}")
    return _Wheel(name, str(version), tags, requires, file, extras)


def _python(wheel: _Wheel) -> tuple[int, int] | None:
    """The one CPython that a wheel is for; None where it is for each from some version on."""
    found = {tag.interpreter for tag in wheel.tags if tag.abi not in ("none", "abi3")}
    one = next(iter(found)) if len(found) == 1 else ""
    numbers = re.fullmatch(r"cp(\d)(\d+)", one)
    return None if numbers is None else (int(numbers[1]), int(numbers[2]))


def _processor(wheel: _Wheel) -> str | None:
    found = {_split(tag.platform)[1] for tag in wheel.tags if tag.platform != "any"}
    if len(found) > 1 or (found and not next(iter(found))):
        raise TrustError(f"{wheel.file.name} is not for Linux, or for several processors")
    return next(iter(found), None)


def _glibc(wheel: _Wheel) -> tuple[int, int] | None:
    """The oldest that will do: a wheel may say several, and one is enough."""
    return min((one for tag in wheel.tags if (one := _split(tag.platform)[0])), default=None)


def _split(platform: str) -> tuple[tuple[int, int] | None, str]:
    """Oldest glibc and processor of a wheel's platform; no processor where it is not Linux."""
    if (found := _MANYLINUX.fullmatch(platform)) is not None:
        return (int(found[1]), int(found[2])), found[3]
    before, _, processor = platform.partition("_")
    if before in _LEGACY or before == "linux":
        return _LEGACY.get(before), processor
    return None, ""


def _only(found: set[_Kind], what: str, folder: Path) -> _Kind | None:
    if len(found) > 1:
        raise TrustError(f"{folder} has wheels for several {what}; one archive is for one")
    return next(iter(found), None)


def _check_complete(house: Wheelhouse, folder: Path) -> None:
    """Everything that any of them needs on such a machine is there, in a version that will do."""
    there = {wheel.name: wheel for wheel in house.wheels}
    for environment in _environments(house):
        open_: list[tuple[_Wheel, tuple[str, ...]]] = [(house.wheels[0], EXTRAS)]
        seen: set[tuple[str, tuple[str, ...]]] = set()
        while open_:
            wheel, extras = open_.pop()
            if (wheel.name, extras) in seen:
                continue
            seen.add((wheel.name, extras))
            for wish in wheel.requires:
                if not _holds(wish, environment, extras):
                    continue
                found = there.get(canonicalize_name(wish.name))
                if found is None:
                    raise TrustError(f"{folder} lacks {wish}, which {wheel.name} needs")
                if not wish.specifier.contains(found.version, prereleases=True):
                    raise TrustError(
                        f"{folder} has {found.name} {found.version}, and {wheel.name} needs {wish}"
                    )
                open_.append((found, tuple(sorted(wish.extras))))


def _holds(wish: Requirement, environment: dict[str, str], extras: tuple[str, ...]) -> bool:
    marker = wish.marker
    if marker is None:
        return True
    return any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))


def _environments(house: Wheelhouse) -> list[dict[str, str]]:
    pythons = [house.python] if house.python else [(3, minor) for minor in (10, 12, 14)]
    return [
        {
            "python_version": f"{major}.{minor}",
            "python_full_version": f"{major}.{minor}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "os_name": "posix",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": house.processor or "x86_64",
        }
        for major, minor in pythons
    ]


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
