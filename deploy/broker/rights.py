"""Who may publish and read what: read off the contract's table of topics, per identity.

Mosquitto can also put the user's name into a pattern (``%u``), but documents it as one level of a
topic. A name with a slash works in 2.0.11; a later matcher compares up to the first slash only, and
would open every device of a site to each of them. So every identity has its own lines.
"""

from __future__ import annotations

from dataclasses import dataclass

from deploy.identity.names import Identity
from edge_daemon.contract.topics import CHANNELS, ROOT, Channel

ALERTS = f"{ROOT.partition('/')[0]}/alerts/v1"
"""Below it lies what the central side itself says to people: no topic of a device begins so."""


@dataclass(frozen=True)
class Rights:
    """Topic filters."""

    writes: tuple[str, ...]
    reads: tuple[str, ...]


def rights_of(who: Identity) -> Rights:
    """What a client may do."""
    if who.role == "device":
        return Rights(
            tuple(f"{ROOT}/{who.name}/{path}" for path in _paths(by="device")),
            tuple(f"{ROOT}/{who.name}/{path}" for path in _paths(by="central side")),
        )
    everything = tuple(f"{ROOT}/+/+/{path}" for path in _paths(by="device"))
    if who.role == "receiver":
        return Rights((f"{ROOT}/+/+/{_path(_receipt())}",), everything)
    if who.role == "controller":
        gives = [channel for channel in CHANNELS if channel.by == "central side"]
        gives.remove(_receipt())
        # what waits for a device: who gives an order knows of those that others gave
        waits = tuple(f"{ROOT}/+/+/{_path(channel)}" for channel in gives if channel.retained)
        orders = tuple(f"{ROOT}/+/+/{_path(channel)}" for channel in gives)
        return Rights(orders, (*everything, *waits))
    if who.role == "dashboard":
        return Rights((f"{ALERTS}/#",), (*everything, f"{ALERTS}/#"))
    return Rights((), ())


def _paths(by: str) -> list[str]:
    return [_path(channel) for channel in CHANNELS if channel.by == by]


def _path(channel: Channel) -> str:
    """A channel's path with every ``{parameter}`` open."""
    return "/".join("+" if level[0] == "{" else level for level in channel.path.split("/"))


def _receipt() -> Channel:
    (found,) = [channel for channel in CHANNELS if channel.leaf == "receipt"]
    return found
