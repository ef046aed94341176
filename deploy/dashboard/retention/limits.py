"""Until when each kind of row is kept."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from pydantic import Field, ValidationError

from deploy.dashboard.exports.errors import ExportError
from edge_daemon.contract.base import StrictModel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind: TypeAlias = Literal["frames", "crops", "health"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""All that retention may delete. Slides, cells, summaries, opinions, reviews, signatures, users and
the audit are kept for good: they are small, and they are what was decided and on what grounds."""


class _Days(StrictModel):
    """The ``[retention]`` table; a kind that is not named is kept for good."""

    frames_days: int | None = Field(default=None, ge=1)
    crops_days: int | None = Field(default=None, ge=1)
    health_days: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class Limits:
    """Rows older than this go; None: all of that kind are kept."""

    frames: datetime | None = None
    crops: datetime | None = None
    health: datetime | None = None

    @classmethod
    def at(cls, before: datetime, kinds: tuple[Kind, ...] = KINDS) -> Limits:
        """The same moment for each of ``kinds``."""
        return cls(**dict.fromkeys(kinds, before))

    def said(self) -> dict[str, str]:
        """For people and for the audit."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: at.isoformat(timespec="seconds") for name, at in values.items() if at is not None
        }


def read_limits(file: Path, now: datetime) -> Limits:
    """The ``[retention]`` table of a TOML file: ``frames_days``, ``crops_days``, ``health_days``.

    Raises:
        ExportError: it cannot be read, or holds something else.
    """
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise ExportError(f"{file} cannot be read") from None
    except tomllib.TOMLDecodeError as error:
        raise ExportError(f"{file} is no TOML: {error}") from None
    try:
        days = _Days.model_validate(document.get("retention", {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(one) for one in first["loc"])
        raise ExportError(f"{file}: retention.{where}: {first['msg']}") from None
    given = {kind: getattr(days, f"{kind}_days") for kind in KINDS}
    return Limits(
        **{kind: now - timedelta(days=value) for kind, value in given.items() if value is not None}
    )
