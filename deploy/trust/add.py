"""A bundle or a daemon comes into the repository: looked at, packed, described, signed for.

Devices see it when it is published. A version that is there never changes; what should take back a
later version is the old content under a higher one, so that no device ever goes down by accident.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from pydantic import ValidationError
from tuf.api.metadata import TargetFile, Targets

from deploy.trust.errors import TrustError
from deploy.trust.keys import KeyRing
from deploy.trust.pack import pack, prove
from deploy.trust.repository import Repository, sign, writing
from deploy.trust.wheel import wheel_version
from deploy.trust.wheelhouse import pack_wheels, read_wheelhouse
from edge_daemon.contract.bundle import Bundle, load_bundle, write_manifest
from edge_daemon.contract.target import (
    ARCHIVE_SUFFIX,
    BUNDLE_SUFFIX,
    DAEMON_NAME,
    FOLDERS,
    Compatibility,
    TargetAbout,
    release_order,
)
from edge_daemon.whole_files import to_disk


@dataclass(frozen=True)
class Added:
    """What came of it."""

    path: str
    bytes: int
    was_there: bool
    """The very same: nothing was done."""


@dataclass(frozen=True)
class _Draft:
    """What is going to be a target."""

    name: str
    about: TargetAbout
    file: Path


def add(
    repository: Repository,
    source: Path,
    ring: KeyRing,
    now: datetime,
    compatibility: Compatibility = Compatibility(),
    as_version: str | None = None,
    wheelhouse: Path | None = None,
) -> Added:
    """Put a bundle's folder or a daemon's wheel into the repository, not published yet.

    Args:
        repository: the folder, which nobody else changes meanwhile.
        source: folder of a bundle, or a wheel.
        ring: where the targets key is.
        now: UTC.
        compatibility: where it may be used.
        as_version: publish a bundle's content under this higher version.
        wheelhouse: folder with the wheels that a daemon's wheel needs on one kind of machine.

    Raises:
        BundleError: the daemon would refuse the bundle.
        TrustError: it is neither, or its version is taken, or the key or the disk refuses; the
            repository is as before.
    """
    root = repository.root().signed
    listed = repository.newest_targets(root).signed
    place = repository.draft
    with writing(repository.targets), _emptied(place):
        draft = _drafted(source, place, compatibility, as_version, wheelhouse)
        path = f"{FOLDERS[draft.about.kind]}/{draft.name}"
        target = TargetFile.from_file(path, str(draft.file), ["sha256"])
        target.unrecognized_fields["custom"] = draft.about.model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
        if _is_there(listed, target, draft.about, source):
            return Added(path, target.length, was_there=True)
        _put(draft.file, repository.place_of(target))
    content = Targets(repository.newest(Targets) + 1, targets={**listed.targets, path: target})
    repository.write(sign(content, Targets.type, root, ring, now))
    return Added(path, target.length, was_there=False)


@contextmanager
def _emptied(place: Path) -> Iterator[None]:
    """A folder that is there and empty, and gone afterwards."""
    shutil.rmtree(place, ignore_errors=True)  # of a process that was killed
    place.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _drafted(
    source: Path,
    place: Path,
    compatibility: Compatibility,
    as_version: str | None,
    wheelhouse: Path | None,
) -> _Draft:
    if source.is_dir():
        if wheelhouse is not None:
            raise TrustError(f"--wheelhouse goes with a daemon's wheel, and {source} is a folder")
        bundle = load_bundle(source)
        if as_version is None:
            return _bundle_draft(bundle, place, compatibility)
        with tempfile.TemporaryDirectory(dir=place) as scratch:
            return _bundle_draft(
                _reissued(bundle, as_version, Path(scratch)),
                place,
                compatibility,
                reissue_of=bundle.manifest.version,
            )
    if not source.exists():
        raise TrustError(f"there is no {source}; name a bundle's folder or a daemon's wheel")
    version = wheel_version(source)
    if as_version is not None:
        raise TrustError(
            "a wheel says its version inside: build the old source as a higher version"
        )
    if wheelhouse is not None:
        house = read_wheelhouse(source, wheelhouse)
        fits = house.compatibility(compatibility)
        about = TargetAbout(kind="daemon", name=DAEMON_NAME, version=version, compatibility=fits)
        name = f"{DAEMON_NAME}-{version}-{house.tag}{ARCHIVE_SUFFIX}"
        pack_wheels(house, f"{DAEMON_NAME}-{version}", place / name)
        return _Draft(name, about, place / name)
    about = TargetAbout(
        kind="daemon", name=DAEMON_NAME, version=version, compatibility=compatibility
    )
    copy = place / source.name
    shutil.copyfile(source, copy)
    wheel_version(copy)  # what was copied, not what was looked at
    return _Draft(source.name, about, copy)


def _bundle_draft(
    bundle: Bundle, place: Path, compatibility: Compatibility, reissue_of: str | None = None
) -> _Draft:
    name = bundle.label + BUNDLE_SUFFIX
    file = place / name
    with file.open("wb") as out:
        pack(bundle, out)
    prove(file, bundle)
    try:
        about = TargetAbout(
            kind="bundle",
            name=bundle.manifest.name,
            version=bundle.manifest.version,
            digest=bundle.digest,
            reissue_of=reissue_of,
            compatibility=compatibility,
            figures={name: _figure(value) for name, value in bundle.manifest.metrics.items()},
        )
    except ValidationError as error:
        raise TrustError(f"{bundle.path} cannot be described: {error.errors()[0]['msg']}") from None
    return _Draft(name, about, file)


def _reissued(bundle: Bundle, version: str, folder: Path) -> Bundle:
    """The same files under another version."""
    if release_order(version) <= release_order(bundle.manifest.version):
        raise TrustError(
            f"{version} is not higher than {bundle.manifest.version}: devices would not take it"
        )
    for name in bundle.manifest.files:
        shutil.copyfile(bundle.path / name, folder / name)
    write_manifest(folder, bundle.manifest.model_copy(update={"version": version}))
    return load_bundle(folder)


def _figure(value: float) -> str:
    """A decimal number that reads back as the same float."""
    return format(Decimal(repr(value)), "f")


def _is_there(listed: Targets, target: TargetFile, about: TargetAbout, source: Path) -> bool:
    """Is the very same there already?

    Raises:
        TrustError: its version is there with another content.
    """
    for path, other in listed.targets.items():
        if path == target.path and other == target:
            return True
        known = TargetAbout.model_validate(other.custom)
        if path == target.path or _same_thing(known, about):
            what = "described otherwise" if other.hashes == target.hashes else "other content"
            raise TrustError(
                f"{path} is there already, with {what}: a published version never changes; give "
                f"{source} a higher one"
            )
    return False


def _same_thing(one: TargetAbout, other: TargetAbout) -> bool:
    """The same version, for the same kind of machine."""

    def what(about: TargetAbout) -> tuple[object, ...]:
        fits = about.compatibility
        return about.kind, about.name, release_order(about.version), fits.python, fits.platform

    return what(one) == what(other)


def _put(file: Path, place: Path) -> None:
    to_disk(file)
    place.parent.mkdir(parents=True, exist_ok=True)
    file.replace(place)
    to_disk(place.parent)
