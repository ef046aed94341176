"""A bundle as one file: the same folder is the same bytes, on every machine and at any time."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from deploy.trust.errors import TrustError
from edge_daemon.contract.bundle import MANIFEST, Bundle, load_bundle
from edge_daemon.update.archive import unpack


def pack(bundle: Bundle, out: IO[bytes]) -> None:
    """Write a bundle's files, and nothing else of its folder, as a plain tar.

    Neither order, times, owners nor rights of the folder come into it, and there is no compression,
    whose bytes would change with the library.

    Raises:
        TrustError: a name is too long for a tar.
        OSError: a file cannot be read or written.
    """
    names = (*bundle.manifest.files, MANIFEST)
    pack_files(bundle.label, {name: bundle.path / name for name in names}, out)


def pack_files(folder: str, files: Mapping[str, Path], out: IO[bytes]) -> None:
    """Write files, by the names they get in one ``folder``, as a plain tar.

    Raises:
        TrustError: a name is too long for a tar.
        OSError: a file cannot be read or written.
    """
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, file in sorted(files.items()):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = file.stat().st_size
            entry.mode = 0o644
            try:
                with file.open("rb") as content:
                    tar.addfile(entry, content)
            except ValueError:
                raise TrustError(f"{file}: its name is too long to be packed") from None


def prove(archive: Path, bundle: Bundle) -> None:
    """Take an archive apart as a device does, and find the bundle in it.

    Raises:
        UpdateError: a device would refuse the archive.
        BundleError: what is in it is no sound bundle.
        TrustError: it is another one.
    """
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        found = load_bundle(unpack(archive, Path(scratch)))
        if found.digest != bundle.digest:
            raise TrustError(f"{bundle.path} changed while it was packed; try again")
