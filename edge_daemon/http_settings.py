"""Where the device shows itself on the local network: the ``[http]`` part of the configuration."""

from __future__ import annotations

import ipaddress

from pydantic import Field, SecretStr, model_validator

from edge_daemon.contract.base import StrictModel

MIN_TOKEN_LENGTH = 16


class HttpSettings(StrictModel):
    """The local HTTP interface: health, metrics, the operator's picture, commands."""

    enabled: bool = False
    """Off on a device without a screen, unless somebody wants to look."""
    host: str = "127.0.0.1"
    """Address to listen on; any but a loopback address needs a token."""
    port: int = Field(default=8787, ge=0, le=65535)
    """0 takes a free one."""
    token: SecretStr | None = None
    """Who shows it may look and command: ``Authorization: Bearer TOKEN`` or ``?token=TOKEN``. At
    least 16 letters, digits or any of ``-._~``."""

    @model_validator(mode="after")
    def _others_need_a_token(self) -> HttpSettings:
        if self.token is not None and not _is_token(self.token.get_secret_value()):
            raise ValueError(
                f"http.token needs at least {MIN_TOKEN_LENGTH} letters, digits or any of -._~ "
                "(make one with: openssl rand -hex 16)"
            )
        if not self.is_loopback and self.token is None:
            raise ValueError(
                f"http.host {self.host[:80]!r} lets others in: set http.token "
                "(openssl rand -hex 16), or listen on 127.0.0.1"
            )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the interface."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name: nobody knows today what it will resolve to tomorrow
            return False


def _is_token(token: str) -> bool:
    plain = token.isascii() and all(letter.isalnum() or letter in "-._~" for letter in token)
    return plain and len(token) >= MIN_TOKEN_LENGTH
