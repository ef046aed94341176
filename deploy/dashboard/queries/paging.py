"""Pages by key: the next one begins after the last row of this one, whatever came meanwhile."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from deploy.dashboard.errors import DatabaseError

Row = TypeVar("Row")
MOST = 500
"""Rows of one page."""
_LARGEST = 2**63
"""No number of a database goes beyond."""


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows, and where the next ones begin."""

    rows: tuple[Row, ...]
    after: str | None
    """What to ask the next page with; None when this is the last one."""


def page_of(rows: Sequence[Row], keys: Sequence[tuple[float | str, ...]], limit: int) -> Page[Row]:
    """A page of ``limit`` rows from one row more, with the sort key of each."""
    if len(rows) <= limit:
        return Page(tuple(rows), None)
    mark = json.dumps(keys[limit - 1], separators=(",", ":")).encode()
    return Page(tuple(rows[:limit]), urlsafe_b64encode(mark).decode())


def key_of(after: str, length: int) -> tuple[float, ...]:
    """The sort key that a page began after.

    Raises:
        DatabaseError: it is none of ours.
    """
    try:
        found = json.loads(urlsafe_b64decode(after.encode()))
        numbers = len(found) == length and all(type(one) in (int, float) for one in found)
        if numbers and all(-_LARGEST < one < _LARGEST for one in found):  # nor is any of them NaN
            return tuple(found)
    except (ValueError, TypeError, RecursionError):
        pass
    raise DatabaseError("this page does not exist: begin with the first one")
