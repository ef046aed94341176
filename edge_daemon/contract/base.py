"""What every typed document of the contract stands on: strictness, and the few shared types.

Bundle, configuration and messages all derive from :class:`StrictModel`, so that a typo or a field
from another version is refused at the border instead of being ignored inside.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints


class StrictModel(BaseModel):
    """Base of everything that crosses the border: unknown fields refused, values immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Name: TypeAlias = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""Name of a site, device or slide: 1 to 64 letters, digits, ``.``, ``_`` or ``-``, the first a
letter or digit. It stands in MQTT topics and file names, so no ``/``, ``+``, ``#`` or space."""

Digest: TypeAlias = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""SHA-256 of a file or bundle, ``sha256:`` and 64 hexadecimal digits."""

UuidHex: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""A random UUID as 32 hexadecimal digits."""


def _to_utc(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc)


UtcTime: TypeAlias = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A moment in UTC. Other zones are converted; a time without a zone is refused."""
