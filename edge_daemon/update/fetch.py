"""Where a repository is read from: a folder (a USB stick, a share) or a web server.

Both can go on where a download broke off. python-tuf's own HTTP fetcher cannot, undoes compression
before anything counts the bytes, and lets errors in the middle of a file through as urllib3's; so
this is a small one on the same urllib3.
"""

from __future__ import annotations

import os
import stat
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass, url2pathname

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient import FetcherInterface

from edge_daemon import __version__
from edge_daemon.errors import UpdateError

_CHUNK = 1 << 18
SOCKET_TIMEOUT_S = 30.0
SLOWEST_BYTES = 16 << 10
"""In every :data:`SLOW_AFTER_S` at least: a server that drips is as bad as one that is silent."""
SLOW_AFTER_S = 60.0


class Fetcher(FetcherInterface):
    """What the trust client reads a repository with."""

    @abstractmethod
    def fetch_from(self, url: str, start: int) -> tuple[int, Iterator[bytes]]:
        """The content of ``url`` from byte ``start`` on, or all of it where that cannot be had.

        Returns:
            where the bytes begin (``start`` or 0), and the bytes.

        Raises:
            DownloadHTTPError: there is no such file, or the server refuses.
            DownloadError: it cannot be reached; also while the bytes come.
        """

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self.fetch_from(url, 0)[1]


def fetcher_for(source: str) -> tuple[str, Fetcher]:
    """The address of a repository, and what reads it.

    Args:
        source: path of a folder, ``file://``, ``http://`` or ``https://``.

    Raises:
        UpdateError: it is none of these.
    """
    scheme = urlsplit(source).scheme if "://" in source else ""
    if scheme in ("http", "https"):
        return source.rstrip("/") + "/", HttpFetcher()
    if scheme in ("", "file"):
        folder = Path(url2pathname(urlsplit(source).path) if scheme else source).absolute()
        if not folder.is_dir():
            raise UpdateError(f"there is no folder {folder}; is the stick in, the share mounted?")
        return folder.as_uri() + "/", FolderFetcher()
    raise UpdateError(
        f"{source} is no address of a repository: name a folder, or file://, http:// or https://"
    )


class FolderFetcher(Fetcher):
    """Reads plain files, and nothing that only looks like one: a pipe would never end."""

    def fetch_from(self, url: str, start: int) -> tuple[int, Iterator[bytes]]:
        """The same for a file; it can always begin where it is asked to."""
        path = Path(url2pathname(urlsplit(url).path))
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            handle = os.open(path, flags)
        except (FileNotFoundError, NotADirectoryError):
            raise DownloadHTTPError(f"{path} is not there", HTTPStatus.NOT_FOUND) from None
        except OSError as error:
            raise DownloadError(f"cannot read {path}: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise DownloadError(f"{path} is not a plain file")
        return start, _read(path, handle, start)


class HttpFetcher(Fetcher):
    """Reads over HTTP, byte by byte as it was signed, with the proxies of the environment.

    What TLS trusts is what OpenSSL trusts here; ``SSL_CERT_FILE`` names a hospital's own authority.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` in seconds, monotonic."""
        self._clock = clock
        self._pools: dict[str | None, urllib3.PoolManager] = {}

    def fetch_from(self, url: str, start: int) -> tuple[int, Iterator[bytes]]:
        """The same over HTTP; a server without ranges begins at the beginning."""
        headers = {"Accept-Encoding": "identity", "User-Agent": f"leukoedge/{__version__}"}
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            response = self._pool(url).request(
                "GET",
                url,
                headers=headers,
                preload_content=False,
                timeout=urllib3.Timeout(SOCKET_TIMEOUT_S),
                retries=urllib3.Retry(3, backoff_factor=0.2),
            )
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"cannot reach {url}: {_cause(error)}") from None
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            response.close()
            return self.fetch_from(url, 0)
        if response.status >= HTTPStatus.BAD_REQUEST:
            response.close()
            raise DownloadHTTPError(f"{url}: HTTP status {response.status}", response.status)
        resumed = response.status == HTTPStatus.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            response.close()
            raise DownloadError(f"{url}: the server sent another part than was asked for")
        return start if resumed else 0, self._chunks(url, response)

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = getproxies().get(parts.scheme)
        if proxy is not None and proxy_bypass(parts.hostname or ""):
            proxy = None
        if proxy not in self._pools:
            made = urllib3.PoolManager() if proxy is None else urllib3.ProxyManager(proxy)
            self._pools[proxy] = made
        return self._pools[proxy]

    def _chunks(self, url: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        since, came = self._clock(), 0
        try:
            while chunk := response.read1(_CHUNK, decode_content=False):
                yield chunk
                came += len(chunk)
                if self._clock() - since >= SLOW_AFTER_S:
                    if came < SLOWEST_BYTES:
                        raise SlowRetrievalError(
                            f"{url}: only {came} bytes came in {SLOW_AFTER_S:.0f} s"
                        )
                    since, came = self._clock(), 0
        except urllib3.exceptions.TimeoutError:
            raise SlowRetrievalError(f"{url}: nothing came for {SOCKET_TIMEOUT_S:.0f} s") from None
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"{url} broke off: {_cause(error)}") from None
        finally:
            response.close()


def _read(path: Path, handle: int, start: int) -> Iterator[bytes]:
    with os.fdopen(handle, "rb") as file:
        try:
            file.seek(start)
            while chunk := file.read(_CHUNK):
                yield chunk
        except OSError as error:  # the stick was pulled out
            raise DownloadError(f"cannot read {path}: {error.strerror}") from None


def _cause(error: Exception) -> str:
    """What broke, without the names of urllib3's objects around it."""
    reason = getattr(error, "reason", None) or error
    return str(reason).rpartition(": ")[2][:200] or type(reason).__name__
