"""The daemon's versions on this device: a virtual environment each, and two links.

    versions/0.7.0/    versions/0.8.0/    current -> versions/0.8.0    previous -> versions/0.7.0

What a link points to is exchanged by a rename, so that a power cut leaves one version or the other.
An environment is built where it will lie (its scripts name their interpreter by its whole path),
and one small file, written last, says that it is whole.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from edge_daemon.contract.envelope import as_reason
from edge_daemon.contract.target import REQUIREMENTS
from edge_daemon.errors import UpdateError
from edge_daemon.whole_files import PARTIAL_SUFFIX, to_disk, write_whole

CURRENT, PREVIOUS = "current", "previous"
_VERSIONS = "versions"
_WHOLE = ".whole"
_BUILD_WITHIN_S = 1800.0
_CHECK_WITHIN_S = 180.0
_ROOM_BYTES = 64 << 20
"""Less than this free, and what went wrong is the disk."""
_FOREIGN = re.compile("PIP_.*|VIRTUAL_ENV|PYTHONHOME|NOTIFY_SOCKET|WATCHDOG_.*")
"""Variables that are of whoever started the updater, and say nothing about a new version."""


class UnfitError(UpdateError):
    """A version cannot be used here, however often it is tried."""


class Versions:
    """The folder of the daemon's versions. One process at a time changes it."""

    def __init__(self, root: Path, *, system_site_packages: bool = False) -> None:
        """Nothing is read yet.

        Args:
            root: folder of ``current``, ``previous`` and ``versions``.
            system_site_packages: a new version sees the system's packages.
        """
        self.root = root
        self._system = system_site_packages

    def place(self, version: str) -> Path:
        """Where a version lies, or would."""
        return self.root / _VERSIONS / version

    def program(self, version: str) -> Path:
        """Its command line."""
        return self.place(version) / "bin" / "leuko-edge"

    def pointed(self, link: str) -> str | None:
        """Version that a link points to; None where there is no such link."""
        try:
            target = (self.root / link).readlink()
        except OSError:
            return None
        folder, _, version = str(target).rpartition("/")
        return version if folder == _VERSIONS and self.place(version).is_dir() else None

    def current(self) -> str:
        """The version that is started.

        Raises:
            UpdateError: there is none.
        """
        version = self.pointed(CURRENT)
        if version is None:
            raise UpdateError(
                f"{self.root / CURRENT} points to no version in {self.root / _VERSIONS}: set the "
                "device up as docs/fleet/install.md says"
            )
        return version

    def point(self, link: str, version: str | None) -> None:
        """Let a link point to a version, in one step; None: there is no such link any more.

        Raises:
            UpdateError: it cannot be changed; it is as before.
        """
        path = self.root / link
        draft = path.with_name(f".{link}{PARTIAL_SUFFIX}")
        try:
            if version is None:
                path.unlink(missing_ok=True)
            else:
                draft.unlink(missing_ok=True)  # of a process that was killed
                draft.symlink_to(f"{_VERSIONS}/{version}")
                draft.replace(path)
            to_disk(self.root)
        except OSError as error:
            raise UpdateError(f"cannot change {path}: {error.strerror}") from None

    def is_whole(self, version: str, digest: str) -> bool:
        """Was this version built here to the end, from the archive with this digest?"""
        try:
            return (self.place(version) / _WHOLE).read_text("utf-8") == digest
        except (OSError, UnicodeDecodeError):
            return False

    def build(self, version: str, digest: str, wheels: Path, config: Path) -> None:
        """Make the environment of a version, of signed wheels alone, and let it look at itself.

        Args:
            version: it must not be in use.
            digest: of the archive that ``wheels`` came from.
            wheels: folder of wheels, and of the requirements that lock them.
            config: this device's configuration, which the new version must understand.

        Raises:
            UnfitError: it cannot be installed, or does not work here; why.
            UpdateError: there is no room, or the version is in use.
        """
        place = self.place(version)
        if version == self.pointed(CURRENT) or self._is_ours(place):
            raise UpdateError(f"{place} is in use, and is not built anew")
        try:
            shutil.rmtree(place, ignore_errors=True)  # of a process that was killed
            place.parent.mkdir(parents=True, exist_ok=True)
            self._run("a virtual environment", _venv(place, self._system), _BUILD_WITHIN_S)
            self._run("its packages", _install(place, wheels), _BUILD_WITHIN_S)
            self._examine(version, config)
            os.sync()  # thousands of files; the one that says so comes after them
            write_whole(place / _WHOLE, digest.encode())
        except OSError as error:
            raise UpdateError(f"cannot build {place}: {error.strerror}; make room") from None

    def prune(self, keep: Collection[str | None] = ()) -> list[str]:
        """Delete versions that are neither current, nor the one before, nor in ``keep``."""
        current = self.pointed(CURRENT)
        if current is None:
            return []  # nobody knows what is in use
        kept = {current, self.pointed(PREVIOUS), *keep}
        folders = sorted((self.root / _VERSIONS).glob("[!.]*"))
        gone = [one for one in folders if one.name not in kept and not self._is_ours(one)]
        for folder in gone:
            (folder / _WHOLE).unlink(missing_ok=True)  # first: half a version is none
            shutil.rmtree(folder, ignore_errors=True)
        return [folder.name for folder in gone]

    def _is_ours(self, place: Path) -> bool:
        """Does this very process run from it?"""
        return place.exists() and place.resolve() == Path(sys.prefix).resolve()

    def _examine(self, version: str, config: Path) -> None:
        program = str(self.program(version))
        said = self._run("its program", [program, "--version"], _CHECK_WITHIN_S).split()
        if said != ["leuko-edge", version]:
            raise UnfitError(f"it says that it is {' '.join(said)[:80]!r}, and not {version}")
        check = [program, "update", "self-check", str(config)]
        self._run("its self-check", check, _CHECK_WITHIN_S)

    def _run(self, what: str, command: list[str], within_s: float) -> str:
        environment = {k: v for k, v in os.environ.items() if not _FOREIGN.fullmatch(k)}
        try:
            done = subprocess.run(
                command,
                check=False,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=within_s,
                cwd=self.root,
                env={**environment, "PIP_CONFIG_FILE": os.devnull},
                stdin=subprocess.DEVNULL,
                umask=0o022,  # operators run the same program as the daemon's user
            )
        except subprocess.TimeoutExpired:
            raise UnfitError(f"{what}: not done within {within_s:.0f} s") from None
        except OSError as error:
            raise UnfitError(f"{what}: cannot start {command[0]}: {error.strerror}") from None
        if done.returncode != 0:
            if shutil.disk_usage(self.root).free < _ROOM_BYTES:
                raise UpdateError(f"{self.root} has no room for another version; make room")
            raise UnfitError(as_reason(f"{what}: {_last_word(done)}"))
        return done.stdout


def _venv(place: Path, system_site_packages: bool) -> list[str]:
    option = ["--system-site-packages"] if system_site_packages else []
    return [sys.executable, "-m", "venv", *option, str(place)]


def _install(place: Path, wheels: Path) -> list[str]:
    pip = [str(place / "bin" / "python"), "-m", "pip", "--isolated", "--disable-pip-version-check"]
    options = ["--no-input", "--no-cache-dir", "--no-index", "--only-binary=:all:"]
    source = [f"--find-links={wheels}", "--require-hashes", "-r", str(wheels / REQUIREMENTS)]
    return [*pip, "install", *options, *source]


def _last_word(done: subprocess.CompletedProcess[str]) -> str:
    """What a program said last, of what went wrong."""
    if done.returncode < 0:
        return f"it was ended by signal {-done.returncode}"
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error:")]
    return (errors or lines or [f"it ended with {done.returncode} and said nothing"])[-1]
