"""What the command line says of watching, as settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from deploy.dashboard.alerts.watching import WatchSettings
from deploy.dashboard.alerts.webhook import WebhookSettings
from deploy.registry.connection import settings_of as broker_settings_of
from edge_daemon.errors import ConfigError

SECRET = "LEUKO_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable


def settings_of(
    webhooks: Sequence[str], secret: Path | None, identity: Path | None, broker: str | None
) -> WatchSettings:
    """Settings, checked.

    Raises:
        ConfigError: one line that says what is missing or wrong.
    """
    found: tuple[WebhookSettings, ...] = ()
    if webhooks:
        key = SecretStr(_secret(secret))
        found = tuple(WebhookSettings(url, key) for url in webhooks)
    mqtt = None if identity is None and broker is None else broker_settings_of(identity, broker)
    settings = WatchSettings(found, mqtt)
    settings.check()
    return settings


def _secret(file: Path | None) -> str:
    if file is None:
        given = os.environ.get(SECRET)
        if given is None:
            raise ConfigError(
                f"a webhook is signed: give --webhook-secret FILE, or its content as {SECRET}"
            )
        return given
    try:
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--webhook-secret {file} cannot be read: {error}") from None
