"""Where a number of the report comes from: one place in ``metrics.json``, by its JSON pointer.

The tables name pointers and this module writes the numbers, so that the page, the terminal and the
file cannot say three different things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NO_FIGURE = "n/a"


@dataclass(frozen=True)
class Figure:
    """A number of ``metrics.json`` as it is printed, and where it stands there (RFC 6901)."""

    pointer: str
    text: str


def figure_at(metrics: Any, *keys: str | int) -> Figure:
    """The number, or the estimate with its interval, at ``keys``."""
    value = metrics
    for key in keys:
        value = value[key]
    return Figure(pointer_of(keys), text_of(value, name=str(keys[-1])))


def pointer_of(keys: Sequence[str | int]) -> str:
    """The JSON pointer of ``keys``."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def value_at(metrics: Any, pointer: str) -> Any:
    """What ``pointer`` leads to."""
    value = metrics
    for escaped in pointer.split("/")[1:]:
        key = escaped.replace("~1", "/").replace("~0", "~")
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def text_of(value: Any, name: str = "") -> str:
    """How a number is printed: estimates to three places, p-values by size, counts whole."""
    if value is None:
        return NO_FIGURE
    if isinstance(value, dict):
        if value["value"] is None:
            return NO_FIGURE
        return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    if name.startswith("p_"):
        return "< 0.001" if value < 0.001 else f"{value:.3f}"
    if isinstance(value, str):
        return value
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
