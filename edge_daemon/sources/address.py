"""The settings in a source's address: ``?name=value&name=value``, read without guessing.

A setting that is misspelt must not silently be left out, so unknown names, repeated names and
values out of range are refused in one line.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, BeforeValidator, ValidationError

from edge_daemon.errors import SourceError

Settings = TypeVar("Settings", bound=BaseModel)


def _off(value: Any) -> Any:
    return None if isinstance(value, str) and value.lower() in ("off", "none") else value


Off = BeforeValidator(_off)
"""In an address, ``off`` says None."""

SecondsOrOff = Annotated[float | None, Off]


def settings_from(model: type[Settings], query: str, address: str) -> Settings:
    """The settings that ``query`` gives; what is not named keeps its default.

    Args:
        model: what may be set.
        query: what stands behind the question mark.
        address: the whole, as it may be shown to the operator.

    Raises:
        SourceError: a setting is unknown, given twice, or out of range.
    """
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in values:
            raise SourceError(f"{address}: setting {name!r} is given twice: keep one")
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        known = known_settings(model)
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near and name not in known else ""
        what = str(first["msg"]).removeprefix("Value error, ")
        raise SourceError(
            f"{address}: setting {name!r}: {what}: {hint}known settings are {', '.join(known)}"
        ) from None


def known_settings(model: type[BaseModel]) -> list[str]:
    """Names of all settings, a camera's own before those that all have."""
    own = [name for name in model.__annotations__ if name in model.model_fields]
    return own + [name for name in model.model_fields if name not in own]
