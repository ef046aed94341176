"""A webhook: each event as a POST that is signed as Standard Webhooks 1.0 says.

``webhook-id`` is the same whenever an event is told again, so that the receiver takes it once;
``webhook-signature`` is ``v1,`` and the base64 of HMAC-SHA256 over ``ID.TIMESTAMP.BODY``
(standardwebhooks.com), so that it knows who speaks, and that this was said just now.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

import urllib3
from pydantic import SecretStr

from deploy.dashboard.alerts.outbox import Due, NotTakenError
from edge_daemon import __version__
from edge_daemon.errors import ConfigError

TIMEOUT_S = 10.0
_NEVER = {400, 410, 413, 415, 422}
"""Answers that say: this is nothing that I take."""
_PREFIX = "whsec_"
_LEAST_SECRET_BYTES = 24


@dataclass(frozen=True)
class WebhookSettings:
    """Where to, and the key that signs."""

    url: str
    secret: SecretStr
    """``whsec_`` and base64 of 24 to 64 bytes, as Standard Webhooks writes it."""

    def check(self) -> None:
        """Refuse what would be sent in the clear, or signed with nothing.

        Raises:
            ConfigError: one line that says what to do.
        """
        parts = _parts(self.url)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("the webhook's address is none: write https://host/path")
        if parts.username is not None:
            raise ConfigError("the webhook's address holds a password: it is signed instead")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ConfigError(
                f"webhook to {parts.hostname} would go through the network in the clear: "
                "write https://"
            )
        self.key()

    def key(self) -> bytes:
        """The bytes that sign. Raises :class:`ConfigError`: the secret is none."""
        text = self.secret.get_secret_value().strip()
        try:
            key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not text.startswith(_PREFIX) or len(key) < _LEAST_SECRET_BYTES:
            raise ConfigError(
                "the webhook's secret is whsec_ and base64 of 24 bytes or more: make one with "
                "`echo whsec_$(openssl rand -base64 32)`"
            )
        return key

    @property
    def name(self) -> str:
        """What the channel is called: its host, and which of several; the path may be a secret."""
        parts = _parts(self.url)
        host = "?" if parts is None else parts.netloc.rpartition("@")[2]
        return f"webhook {host[:120]} {hashlib.sha256(self.url.encode()).hexdigest()[:6]}"


class Webhook:
    """Sends; used by one thread."""

    def __init__(self, settings: WebhookSettings) -> None:
        """Prepare. Raises :class:`ConfigError`: of the settings."""
        settings.check()
        self._url = settings.url
        self._key = settings.key()
        self._http = urllib3.PoolManager(num_pools=1, retries=False)

    def tell(self, due: Due, now: datetime) -> None:
        """Send an event.

        Raises:
            NotTakenError: it was not taken, and why.
        """
        body = due.document.encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"LeukoEdge/{__version__}",
            **signed(self._key, identity_of(due), int(now.timestamp()), body),
        }
        try:
            answer = self._http.request(
                "POST", self._url, body=body, headers=headers, timeout=TIMEOUT_S, redirect=False,
                preload_content=False,
            )  # fmt: skip
        except urllib3.exceptions.HTTPError as error:
            raise NotTakenError(_why(error)) from None
        answer.drain_conn()
        answer.release_conn()
        if not 200 <= answer.status < 300:
            never = answer.status in _NEVER
            raise NotTakenError(f"it answered {answer.status}", never=never)

    def close(self) -> None:
        """Close its connections."""
        self._http.clear()


def identity_of(due: Due) -> str:
    """The same whenever this event is told: of this database and of no other."""
    return f"msg_{hashlib.sha256(f'{due.id} {due.document}'.encode()).hexdigest()[:24]}"


def signed(key: bytes, identity: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers that say who speaks."""
    said = f"{identity}.{timestamp_s}.".encode() + body
    signature = base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": f"v1,{signature}",
    }


def _parts(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _why(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return f"no answer in {TIMEOUT_S:.0f} s"
    if isinstance(error, urllib3.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "nothing listens there"
    return f"it cannot be reached ({type(error).__name__})"
