"""How the listener reaches the broker: the folder that an enrolment handed out, or an address."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from deploy.identity.enrolment import CERTIFICATE, CONFIGURATION, KEY, TRUSTED
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def settings_of(identity: Path | None, url: str | None) -> BrokerSettings:
    """Settings from an identity's folder, an address, or both (the address goes first).

    Raises:
        ConfigError: one line that says what is missing or wrong.
    """
    if identity is None:
        if url is None:
            raise ConfigError("say who listens with --identity FOLDER (`leuko-deploy pki enrol`)")
        return BrokerSettings.from_url(url)
    path = identity / CONFIGURATION
    table: dict[str, Any] = {} if url is None else {"url": url}
    try:
        if url is None:
            written = tomllib.loads(path.read_text("utf-8")).get("broker", {})
            table = {key: written[key] for key in ("url", "other_urls") if key in written}
        files = {"ca_file": TRUSTED, "cert_file": CERTIFICATE, "key_file": KEY}
        table |= {key: identity / name for key, name in files.items()}
        table |= {"other_urls": tuple(table.get("other_urls", ()))}
        return BrokerSettings.model_validate(table)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"identity {identity}: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "all"
        raise ConfigError(f"identity {identity}: {place}: {first['msg']}") from None
