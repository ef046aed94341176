"""The device's half of trust: one pinned root, and whatever it vouches for.

A device is given the root of its fleet's repository once, by hand, when it is set up. From then on
The Update Framework (https://theupdateframework.io, python-tuf) says what is genuine, wherever the
files come from: a server that was taken over, a copy of last year, a stick from the street.

Everything that can be wrong is an :class:`UpdateError` and blocks updates, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from edge_daemon.contract.envelope import utc_now
from edge_daemon.errors import ExpiredError, UpdateError
from edge_daemon.locks import FileLock
from edge_daemon.update.clock import LatestTime
from edge_daemon.whole_files import PARTIAL_SUFFIX, to_disk, write_whole

try:
    from tuf.api import exceptions
    from tuf.api.metadata import Metadata, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
    from tuf.ngclient import Updater
except ImportError:
    raise UpdateError("updates need python-tuf: pip install 'leukoedge[update]'") from None

from edge_daemon.update.download import Progress, download
from edge_daemon.update.fetch import Fetcher, fetcher_for
from edge_daemon.update.offers import Offer, read_offers

PINNED_ROOT = "pinned-root.json"
LATEST_TIME = "latest-time.json"
_METADATA = "metadata"
_DOWNLOADS = "downloads"
_ROLES: tuple[type[Signed], ...] = (Root, Timestamp, Snapshot, Targets)


def provision(state: Path, root: bytes) -> None:
    """Pin the root that this device trusts from now on.

    Args:
        state: folder where the device keeps what it knows of the repository.
        root: content of a ``root.json`` that came by a way one trusts.

    Raises:
        UpdateError: it is no root, or another one is pinned already, or it cannot be written.
    """
    file = state / PINNED_ROOT
    _check_root(root, "this")
    try:
        if file.exists():
            if file.read_bytes() == root:
                return
            raise UpdateError(
                f"another root is pinned in {file}; a device changes fleets only by hand: remove "
                f"{state} and provision it again"
            )
        state.mkdir(parents=True, exist_ok=True)
        write_whole(file, root)
    except OSError as error:
        raise UpdateError(f"cannot pin the root in {file}: {error.strerror}") from None


class TrustedRepository:
    """A repository as the pinned root vouches for it, and what this device has seen of it."""

    def __init__(
        self,
        state: Path,
        source: str,
        *,
        clock: Callable[[], datetime] = utc_now,
        fetcher: Fetcher | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            state: folder of :func:`provision`.
            source: a folder, ``file://``, ``http://`` or ``https://``.
            clock: UTC.
            fetcher: in place of the one that ``source`` asks for.
        """
        self.source = source
        self._state = state
        self._latest = LatestTime(state / LATEST_TIME, clock)
        self._fetcher = fetcher

    def refresh(self) -> tuple[Offer, ...]:
        """See what the repository has now, in the order of its paths.

        Raises:
            ExpiredError: what it says is too old to be relied on.
            UpdateError: it cannot be read, or is not what the pinned root vouches for.
        """
        with self._alone(), self._in_one_line():
            now = self._latest.now()
            url, fetcher = self._open()
            metadata = self._state / _METADATA
            metadata.mkdir(parents=True, exist_ok=True)
            updater = Updater(
                str(metadata), f"{url}metadata/", fetcher=fetcher, bootstrap=self._pinned()
            )
            try:
                updater.refresh()
            finally:
                _to_disk(metadata)  # a power cut must not lead back to an older state
            self._check_expiry(metadata, now)
            offers = read_offers(
                Metadata[Targets].from_bytes((metadata / "targets.json").read_bytes()).signed
            )
            self._tidy(offers)
            return offers

    def fetch(self, offer: Offer, progress: Progress | None = None) -> Path:
        """The file of an offer of the last :meth:`refresh`, verified, on this device's disk.

        A download that broke off is gone on with at the next call. The file is the caller's to
        move or delete; the next :meth:`refresh` deletes it when it is not offered any more.

        Raises:
            UpdateError: it did not come, or is not what was signed, or there is no room.
        """
        with self._alone(), self._in_one_line():
            url, fetcher = self._open()
            place = self._state / _DOWNLOADS / Path(offer.path).name
            place.parent.mkdir(parents=True, exist_ok=True)
            prefixed = _prefixed(offer.target)
            return download(fetcher, f"{url}targets/{prefixed}", offer.target, place, progress)

    def _open(self) -> tuple[str, Fetcher]:
        url, fetcher = fetcher_for(self.source)
        return url, self._fetcher or fetcher

    def _pinned(self) -> bytes:
        file = self._state / PINNED_ROOT
        try:
            root = file.read_bytes()
        except FileNotFoundError:
            raise UpdateError(
                f"no root is pinned in {file}; give this device the root.json of its repository"
            ) from None
        _check_root(root, f"what is pinned in {file}")
        return root

    def _check_expiry(self, metadata: Path, now: datetime) -> None:
        """The library looked at the clock; this looks at the latest time that was ever seen."""
        for role in _ROLES:
            content = (metadata / f"{role.type}.json").read_bytes()
            if Metadata.from_bytes(content).signed.is_expired(now):
                raise exceptions.ExpiredMetadataError(f"{role.type}.json is expired")

    def _tidy(self, offers: tuple[Offer, ...]) -> None:
        offered = {Path(offer.path).name for offer in offers}
        for file in (self._state / _DOWNLOADS).glob("*"):
            if file.name.removesuffix(PARTIAL_SUFFIX) not in offered:
                file.unlink()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self._state.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._state / ".lock")
        except BlockingIOError:
            raise UpdateError(
                f"another update is under way with {self._state}; wait for it"
            ) from None
        except OSError as error:
            raise UpdateError(f"cannot use {self._state}: {error.strerror}") from None
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _in_one_line(self) -> Iterator[None]:
        """What can go wrong, as a line that says what it is, where, and what to do."""
        where = self.source
        try:
            yield
        except exceptions.ExpiredMetadataError as error:
            raise ExpiredError(
                f"{where} is out of date ({error}): updates wait until it is published anew, "
                f"screening goes on{self._latest.doubt()}"
            ) from None
        except exceptions.BadVersionNumberError as error:
            raise UpdateError(
                f"{where} is older than what this device has seen of it ({error}): refused; "
                "copy the newest"
            ) from None
        except exceptions.UnsignedMetadataError as error:
            raise UpdateError(
                f"{where} is not signed by those whom this device trusts ({error}): refused"
            ) from None
        except (exceptions.LengthOrHashMismatchError, exceptions.DownloadLengthMismatchError) as e:
            raise UpdateError(
                f"{where} has other bytes than were signed ({e}): altered, mixed up or copied "
                "halfway; copy it again"
            ) from None
        except exceptions.RepositoryError as error:
            raise UpdateError(
                f"{where} is no sound repository ({_brief(error)}): altered or copied halfway; "
                "copy it again"
            ) from None
        except exceptions.DownloadHTTPError as error:
            hint = ": is the repository copied to the end?" if error.status_code == 404 else ""
            raise UpdateError(f"{error}{hint or '; try again later'}") from None
        except exceptions.DownloadError as error:
            raise UpdateError(f"{error}; nothing has changed") from None
        except OSError as error:
            raise UpdateError(f"cannot write below {self._state}: {error.strerror}") from None


def _check_root(root: bytes, what: str) -> None:
    try:
        trusted = Metadata[Root].from_bytes(root)
        trusted.signed.verify_delegate(Root.type, trusted.signed_bytes, trusted.signatures)
    except (exceptions.RepositoryError, ValueError, AttributeError) as error:
        raise UpdateError(
            f"{what} is not the root of a repository ({_brief(error)}); use a whole root.json"
        ) from None


def _prefixed(target: TargetFile) -> str:
    folder, _, name = target.path.rpartition("/")
    return f"{folder}/{target.hashes['sha256']}.{name}"


def _to_disk(folder: Path) -> None:
    for path in (*folder.rglob("*.json"), folder / "root_history", folder):
        if path.exists():
            to_disk(path)


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__
