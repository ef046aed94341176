"""The picture under an objective, fetched from the daemon by this server, where a site allows it.

Off by default. A file names the devices whose picture may be shown, with the address of their
daemon's HTTP interface and its token; browsers never learn either. Nothing but that address is ever
fetched, no redirect is followed, and what comes back has to be a JPEG of a sensible size.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from pydantic import SecretStr, ValidationError

from edge_daemon.contract.base import StrictModel
from edge_daemon.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TIMEOUT_S = 3.0
MOST_BYTES = 4 * 1024 * 1024
KEEP_S = 1.0
"""A picture is fetched at most so often, however many look."""


class Place(StrictModel):
    """Where a daemon shows itself."""

    url: str
    """``http://host:port`` of its interface."""
    token: SecretStr | None = None


class _File(StrictModel):
    devices: dict[str, Place]


@dataclass(frozen=True)
class Picture:
    """What came of asking: a JPEG, or why there is none."""

    jpeg: bytes | None
    line: str | None


class Previews:
    """Pictures by ``SITE/DEVICE``; may be used by several threads."""

    def __init__(self, places: Mapping[str, Place] | None = None) -> None:
        self._places = dict(places or {})
        self._http = urllib3.PoolManager(num_pools=8, retries=False)
        self._locks = {name: threading.Lock() for name in self._places}
        self._kept: dict[str, tuple[float, Picture]] = {}

    @classmethod
    def from_file(cls, file: Path | None) -> Previews:
        """As a TOML file says; without one, none.

        Raises:
            ConfigError: it cannot be read, or an address is none.
        """
        if file is None:
            return cls()
        try:
            said: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
            places = _File.model_validate(said).devices
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"previews {file}: {error}") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ConfigError(f"previews {file}: {where}: {first['msg']}") from None
        for name, place in places.items():
            _check(file, name, place.url)
        return cls(places)

    def allowed(self, name: str) -> bool:
        """Whether the picture of a device may be shown."""
        return name in self._places

    def picture(self, name: str) -> Picture:
        """The newest picture of a device that is :meth:`allowed`."""
        with self._locks[name]:
            kept = self._kept.get(name)
            if kept is not None and time.monotonic() - kept[0] < KEEP_S:
                return kept[1]
            found = self._fetched(self._places[name])
            self._kept[name] = (time.monotonic(), found)
            return found

    def _fetched(self, place: Place) -> Picture:
        headers = {"Accept": "image/jpeg"}
        if place.token is not None:
            headers["Authorization"] = f"Bearer {place.token.get_secret_value()}"
        try:
            answer = self._http.request(
                "GET", f"{place.url.rstrip('/')}/preview.jpg", headers=headers, timeout=TIMEOUT_S,
                redirect=False, preload_content=False,
            )  # fmt: skip
            try:
                jpeg = answer.read(MOST_BYTES + 1)
            finally:
                answer.close()
        except urllib3.exceptions.HTTPError:
            return Picture(None, "the device does not answer")
        if answer.status == 404:
            return Picture(None, "no frame has come yet")
        if answer.status in (401, 403):
            return Picture(None, "the device refuses: its token is another one")
        if answer.status != 200:
            return Picture(None, f"the device answered {answer.status}")
        if len(jpeg) > MOST_BYTES or not jpeg.startswith(b"\xff\xd8"):
            return Picture(None, "what came is no picture")
        return Picture(jpeg, None)


def _check(file: Path, name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.path not in ("", "/") or parts.query or parts.username is not None:
        raise ConfigError(f'previews {file}: {name}: write url = "http://host:port" of its daemon')
