"""Where the broker is and how to talk to it: the ``[broker]`` part of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator

from edge_daemon.contract.base import StrictModel
from edge_daemon.errors import ConfigError

_PORTS = {"mqtt": 1883, "mqtts": 8883}

Seconds = Annotated[float, Field(gt=0.0, le=3600.0)]


class BrokerSettings(StrictModel):
    """One MQTT broker. Credentials in the URL are taken out of it, so that no log shows them."""

    url: str
    """``mqtt://host[:port]``, or ``mqtts://host[:port]`` for TLS."""
    other_urls: tuple[str, ...] = ()
    """Other addresses of the same broker, such as the other nodes of a cluster; tried in turn when
    one is lost, with the same credentials."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """Version of MQTT; ``auto`` tries 5 and goes on with 3.1.1 where the broker refuses it."""
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    """Certificates that may sign the broker's; without it the system's own are used."""
    cert_file: Path | None = None
    """Certificate by which the broker knows this device."""
    key_file: Path | None = None
    keepalive_s: int = Field(default=30, ge=5, le=600)
    connect_timeout_s: Seconds = 5.0
    reconnect_min_s: Seconds = 0.5
    reconnect_max_s: Seconds = 30.0
    """Waits between attempts double from the one to the other, with jitter: after an outage a
    fleet must not come back at the same moment."""
    max_in_flight: int = Field(default=50, ge=1, le=1000)
    """Messages handed to the broker and not yet acknowledged; the rest wait on disk."""
    backlog_per_s: int = Field(default=500, ge=1, le=100_000)
    """Messages a second at most of those that waited for a connection; what happens now goes first,
    and a fleet that comes back does not bury the broker."""
    await_receipts: bool = False
    """True where a receiver sends receipts: messages are kept until it has committed them."""
    receipt_timeout_s: Seconds = 60.0
    """Messages no receipt came for are sent again after this long."""
    refused_retry_s: Seconds = 60.0
    """Messages the broker refused are offered again after this long."""

    @classmethod
    def from_url(cls, url: str, **more: Any) -> BrokerSettings:
        """Settings for a URL given on the command line.

        Raises:
            ConfigError: one line that says what is wrong with it.
        """
        try:
            return cls(url=url, **more)
        except ValidationError as error:
            what = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise ConfigError(what.removeprefix("Value error, ")) from None

    @model_validator(mode="before")
    @classmethod
    def _take_credentials_out_of_the_url(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("url"), str):
            return values
        parts = _split(values["url"])
        if parts.username is None:
            return values
        if values.get("username") is not None or values.get("password") is not None:
            raise ValueError("broker credentials are given twice: in the url and beside it")
        address = parts.netloc.rpartition("@")[2]
        return {
            **values,
            "url": f"{parts.scheme}://{address}",
            "username": unquote(parts.username),
            "password": None if parts.password is None else unquote(parts.password),
        }

    @model_validator(mode="after")
    def _is_consistent(self) -> BrokerSettings:
        for url in self.other_urls:
            parts = _split(url)
            if parts.username is not None or (parts.scheme == "mqtts") != self.tls:
                raise ValueError(
                    "other_urls: the scheme is that of url, and credentials stand there"
                )
        if self.password is not None and self.username is None:
            raise ValueError("a broker password needs a username")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        if not self.tls and (self.ca_file is not None or self.cert_file is not None):
            raise ValueError("ca_file and cert_file need TLS: write mqtts:// in the broker url")
        if self.reconnect_min_s > self.reconnect_max_s:
            raise ValueError("reconnect_min_s is larger than reconnect_max_s")
        return self

    def at(self, number: int) -> BrokerSettings:
        """The same at the ``number``-th of its addresses; after the last comes the first again."""
        addresses = (self.url, *self.other_urls)
        return self.model_copy(update={"url": addresses[number % len(addresses)]})

    @property
    def host(self) -> str:
        """Host name or address."""
        return _split(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Port, 1883 or with TLS 8883 unless the URL names one."""
        parts = _split(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def tls(self) -> bool:
        """True for ``mqtts://``."""
        return _split(self.url).scheme == "mqtts"


def _split(url: str) -> SplitResult:
    example = "write mqtt://host:port or mqtts://host:port"
    shown = url.rpartition("@")[2][:120]  # never repeat a password
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"broker url {shown!r} is wrong ({error}): {example}") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise ValueError(f"broker url {shown!r} is wrong: {example}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"broker url {shown!r} has something after the port: {example}")
    return parts
