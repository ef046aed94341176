"""Things still to be read: a set is refused at its first fault, or all its faults are told.

Each layout lists its items without opening them. An import reads them strictly and stops at the
first fault; ``leuko-train data check`` reads them all and keeps every fault as one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from edge_daemon.errors import DataError

_Item = TypeVar("_Item")

Readable: TypeAlias = Callable[[], _Item]
"""Reads one item; raises :class:`DataError` when it cannot."""


class Progress(Protocol):
    """Shows how far an iteration is; gives back what it is given."""

    def __call__(self, items: Iterable[_Item], what: str, total: int) -> Iterable[_Item]:
        """Iterate over ``items``; ``what`` is done to ``total`` of them."""


def silently(items: Iterable[_Item], what: str, total: int) -> Iterable[_Item]:  # noqa: ARG001
    """Show nothing."""
    return items


def read_all(readable: Iterable[Readable[_Item]]) -> tuple[list[_Item], list[str]]:
    """Every item that can be read, and one line for every one that cannot."""
    items: list[_Item] = []
    faults: list[str] = []
    for item in map(_item_or_fault, readable):
        if isinstance(item, _Fault):
            faults.append(item.line)
        else:
            items.append(item)
    return items, faults


def read_strictly(readable: Iterable[Readable[_Item]]) -> list[_Item]:
    """Every item. Raises :class:`DataError` with the first fault, and how many more there are."""
    items, faults = read_all(readable)
    if not faults:
        return items
    others = len(faults) - 1
    more = f" (and {others} more: see leuko-train data check)" if others else ""
    raise DataError(faults[0] + more)


@dataclass(frozen=True)
class _Fault:
    line: str


def _item_or_fault(read: Readable[_Item]) -> _Item | _Fault:
    try:
        return read()
    except DataError as error:
        return _Fault(str(error))
