"""The fleet: which versions there are, what shall run and does not, and the rollouts under way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from deploy.dashboard.queries import fleet as queries
from deploy.dashboard.queries.fleet import DeviceRow
from deploy.dashboard.rollouts import Rollout, rollouts
from deploy.dashboard.web.context import Anyone, PartsOf
from deploy.dashboard.web.devices import WORST_FIRST, bundle_names
from deploy.registry.drift import Drift, drift, is_listening
from deploy.registry.errors import RegistryError
from deploy.registry.record import Device, Listened
from deploy.registry.store import Registry
from edge_daemon.contract.envelope import utc_now

router = APIRouter()


@dataclass(frozen=True)
class Site:
    """The devices of one site."""

    name: str
    devices: int
    standings: tuple[tuple[str, int], ...]
    """Worst first."""
    versions: tuple[tuple[str, int], ...]
    """Of the daemon, as they report it; most frequent first."""
    bundles: tuple[tuple[str | None, int], ...]
    missing: int


@dataclass(frozen=True)
class Wanted:
    """A device of the registry, and where it is not as it should be."""

    name: str
    number: int | None
    """Its number in the dashboard; None: it was never heard here."""
    bundle: str | None
    version: str | None
    by: str | None
    reported_bundle: str | None
    reported_version: str | None
    points: tuple[Drift, ...]


@dataclass(frozen=True)
class Registered:
    """What the registry says; ``line``: why it says nothing."""

    devices: tuple[Wanted, ...] = ()
    """Those that are not as they should be, first."""
    listened: Listened | None = None
    listening: bool = False
    line: str | None = None

    @property
    def adrift(self) -> int:
        """How many are not as they should be."""
        return sum(bool(one.points) for one in self.devices)


@router.get("/fleet")
def page(request: Request, parts: PartsOf, visitor: Anyone, part: bool = False) -> HTMLResponse:
    """All of it."""
    now = utc_now()
    settings = parts.settings
    with parts.database.reading() as connection:
        every = queries.device_list(connection, now)
        heard = queries.listening(connection, now)
        versions = queries.versions(connection)
        names = bundle_names(connection)
    numbers = {f"{one.site}/{one.name}": one.id for one in every}
    registered = None if settings.registry is None else read(settings.registry, numbers, now)
    found: tuple[Rollout, ...] | None = None
    if settings.rollouts is not None:
        found = rollouts(settings.rollouts)
    return parts.pages.page(
        request,
        "fleet_body.html" if part else "fleet.html",
        visitor,
        sites=sites_of(every),
        heard=heard,
        versions=versions,
        names=names,
        numbers=numbers,
        registered=registered,
        rollouts=found,
    )


def sites_of(every: Iterable[DeviceRow]) -> list[Site]:
    """Devices by site."""
    sites: dict[str, list[DeviceRow]] = {}
    for one in every:
        sites.setdefault(one.site, []).append(one)
    return [
        Site(
            name,
            len(rows),
            tuple(
                (word, count)
                for word in WORST_FIRST
                if (count := sum(one.standing == word for one in rows))
            ),
            tuple(Counter(one.version or "not told" for one in rows).most_common()),
            tuple(Counter(one.bundle for one in rows).most_common()),
            sum(one.missing for one in rows),
        )
        for name, rows in sorted(sites.items())
    ]


def read(place: Path | str, numbers: dict[str, int], now: datetime) -> Registered:
    """What the registry knows; where it cannot be read, why."""
    try:
        with Registry(place, create=False) as registry:
            devices, listened = registry.devices(), registry.listened
    except RegistryError as error:
        return Registered(line=str(error))
    found = [_wanted(one, numbers, listened, now) for one in devices]
    found.sort(key=lambda one: (not one.points, one.name))
    return Registered(tuple(found), listened, is_listening(listened, now))


def _wanted(
    one: Device, numbers: dict[str, int], listened: Listened | None, now: datetime
) -> Wanted:
    wish = one.desired
    return Wanted(
        one.name,
        numbers.get(one.name),
        None if wish is None else wish.bundle,
        None if wish is None else wish.version,
        None if wish is None else wish.by,
        one.reported.bundle,
        one.reported.version,
        tuple(drift(one, listened, now)),
    )
