"""What there is to decide about a broker; all else follows from the contract and the authority."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, StringConstraints, ValidationError

from edge_daemon.contract.base import StrictModel
from edge_daemon.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Line = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f\"#]{1,255}$")]
"""One word of a configuration file: nothing in it begins another line."""
Port = Annotated[int, Field(ge=1, le=65535)]


Settings = TypeVar("Settings", bound=StrictModel)


class Limits(StrictModel):
    """How much of anything the broker takes."""

    connections: int = Field(default=2000, ge=1, le=100_000)
    message_bytes: int = Field(default=4 * 1024 * 1024, ge=131_072, le=64 * 1024 * 1024)
    """Largest message with its topic. A device that speaks MQTT 5 is told, keeps what is larger
    and reports it."""
    in_flight: int = Field(default=100, ge=1, le=10_000)
    """Messages under way to one client and not acknowledged."""
    queued_messages: int = Field(default=100_000, ge=1, le=10_000_000)
    """Messages that wait for one client that is away or slow. What comes beyond is dropped by the
    broker without a word: where nothing may be lost, devices wait for receipts."""
    queued_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    """The same in bytes."""
    memory_bytes: int = Field(default=2 * 1024 * 1024 * 1024, ge=64 * 1024 * 1024)
    """Beyond it the broker refuses messages instead of being killed by the kernel."""
    keepalive_s: int = Field(default=120, ge=10, le=65_535)
    """A client that is silent for one and a half times as long is gone, and its will is said."""
    absent_days: int = Field(default=14, ge=1, le=3650)
    """How long the broker collects for a client that stays away."""


class BrokerProfile(StrictModel):
    """One Mosquitto with one listener."""

    address: Line
    """Address of this machine to listen on; there is no other listener."""
    port: Port = 8883
    lies_at: Line | None = None
    """Folder in which the files will lie on the broker's machine; without it, where they are
    written."""
    state: Line = "/var/lib/mosquitto"
    """Folder of sessions, queues and retained messages."""
    user: Line = "mosquitto"
    """User of the broker, when root starts it."""
    devices_wait_for_receipts: bool = False
    """True where a receiver sends receipts and every device waits for them
    (``[broker] await_receipts``)."""
    limits: Limits = Limits()


def load_settings(model: type[Settings], path: Path | None, given: dict[str, Any]) -> Settings:
    """Settings of a TOML file, and over them those of the command line that are not None.

    Raises:
        ConfigError: one line that says what is wrong.
    """
    where = "broker settings" if path is None else f"broker settings {path}"
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{where}: {error}") from None
    given = {key: value for key, value in given.items() if value is not None}
    try:
        return model.model_validate({**values, **given})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "all"
        raise ConfigError(f"{where}: {place}: {first['msg']}") from None
