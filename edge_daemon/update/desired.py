"""Which order is followed: strict about what it says and whom it is for, and never an older one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_daemon.contract.messages import Desired, parse_message
from edge_daemon.errors import MessageError, UpdateError
from edge_daemon.service.orders import MOST_BYTES
from edge_daemon.update.journaled import Journaled


def read_order(file: Path, site: str, device: str) -> Desired | None:
    """The order in a file; None where there is no file.

    Raises:
        UpdateError: it is no order, or that of another device.
    """
    try:
        with file.open("rb") as content:
            payload = content.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UpdateError(f"cannot read the order in {file}: {error.strerror}") from None
    try:
        if len(payload) > MOST_BYTES:
            raise MessageError(f"over {MOST_BYTES} bytes")
        order = parse_message(payload)
    except MessageError as error:
        raise UpdateError(f"the order in {file} is refused: {error}") from None
    if not isinstance(order, Desired):
        raise UpdateError(f"{file} is refused: a {order.schema_id} is no order of updates")
    if (order.site, order.device) != (site, device):
        raise UpdateError(
            f"the order in {file} is refused: it is for {order.site}/{order.device}, and this is "
            f"{site}/{device}"
        )
    return order


_SUPERSEDED = 32
"""Ids of older orders that are remembered."""


@dataclass(frozen=True)
class Following:
    """What is followed from now on."""

    order: Desired | None
    is_new: bool
    """Another one than before."""
    is_carried_over: bool
    """Another one, whose part is that of the one before: what became of it stands."""
    superseded: tuple[str, ...]
    """Ids of those that were followed before."""
    refused: tuple[str, ...]
    """Those that lie there and are not followed, a line each."""


def follow(
    journal: Journaled,
    part: Literal["bundle", "daemon"],
    files: tuple[Path, ...],
    site: str,
    device: str,
) -> Following:
    """Which of the orders in ``files`` is followed for a part, after what the journal says."""
    before, superseded = journal.order, journal.superseded
    order, refused = newest(before, files, site, device, superseded)
    is_new = order is not None and order != before
    if is_new and before is not None:
        superseded = (*superseded, before.id)[-_SUPERSEDED:]
    carried_over = order is not None and is_new and is_carried_over(before, order, part)
    return Following(order, is_new, carried_over, superseded, tuple(refused))


def newest(
    followed: Desired | None,
    files: tuple[Path, ...],
    site: str,
    device: str,
    superseded: tuple[str, ...] = (),
) -> tuple[Desired | None, list[str]]:
    """The order to follow from now on, and a line for each that is refused.

    ``superseded``: ids of orders that were followed before; that they are there still is no fault.
    """
    refused: list[str] = []
    for file in files:
        try:
            order = read_order(file, site, device)
            if order is not None and order.id not in superseded:
                followed = _later(followed, order, file)
        except UpdateError as error:  # noqa: PERF203 - of two files
            refused.append(str(error))
    return followed, refused


def is_carried_over(
    before: Desired | None, order: Desired, part: Literal["bundle", "daemon"]
) -> bool:
    """Whether a part of an order is that of the one before: what became of it stands.

    Each part is carried out once, by the order that it was ordered by first. Else whoever ordered
    a daemon would overrule people at the device who had gone back from the bundle, and try once
    more what has failed.
    """
    if before is None:
        return False
    wanted = order.first(getattr(order, part))
    return wanted is not None and wanted == before.first(getattr(before, part))


def _later(followed: Desired | None, order: Desired, file: Path) -> Desired:
    if followed is None or (order.ts > followed.ts and order.id != followed.id):
        return order
    if order == followed:
        return followed
    if order.id == followed.id:
        raise UpdateError(
            f"the order in {file} is refused: it has the id of the one that is followed, and says "
            "something else; send it with an id of its own"
        )
    raise UpdateError(
        f"the order in {file} is refused: it is of {order.ts:%Y-%m-%d %H:%M:%S}, and the one that "
        f"is followed is of {followed.ts:%Y-%m-%d %H:%M:%S}: an older one is not gone back to"
    )
