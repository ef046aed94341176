"""What devices are ordered, and what the registry says that they shall run."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from deploy.registry.record import Desired as Wished
from deploy.registry.store import Registry
from deploy.rollout.entries import Order, Purpose, Standing
from deploy.rollout.hearing import Hearing
from deploy.rollout.record import Before
from deploy.rollout.targets import Kind
from edge_daemon.contract.messages import Desired, DesiredBundle

_LATER = timedelta(milliseconds=1)


class Orders:
    """Orders of one rollout.

    One document orders bundle and daemon: the part that is not rolled out stays as it is.
    """

    def __init__(self, standing: Standing, hearing: Hearing) -> None:
        self._standing, self._hearing = standing, hearing

    def made(self, names: Iterable[str], now: datetime) -> dict[str, Order]:
        """An order for each device, to be written down before it is said."""
        return {
            name: Order(
                id=uuid.uuid4().hex,
                ts=self._later(name, now),
                before=self._before(name),
                **self._carried_over(name),
            )
            for name in names
        }

    def message(self, name: str, order: Order, purpose: Purpose) -> Desired:
        """An order as the device is told it."""
        site, device = name.split("/")
        plan = self._standing.plan
        target = plan.back if purpose == "back" else plan.target
        parts: dict[Kind, DesiredBundle | None] = {"bundle": order.bundle, "daemon": order.daemon}
        if purpose != "withdraw" and target is not None:
            parts[target.kind] = DesiredBundle(
                name=target.name,
                version=target.version,
                role="candidate" if purpose == "candidate" else "active",
            )
        return Desired(
            site=site,
            device=device,
            ts=order.ts,
            id=order.id,
            bundle=parts["bundle"],
            daemon=parts["daemon"],
        )

    def enter(self, registry: Registry, names: Iterable[str], now: datetime) -> None:
        """Enter in the registry what devices shall run by the orders that they were given.

        Raises:
            RegistryError: it cannot be written.
        """
        plan = self._standing.plan
        known = {device.name: device for device in registry.devices()}
        entered = {}
        for name in names:
            given = self._standing.given[name]
            if name not in known:
                continue  # forgotten meanwhile
            before = known[name].desired
            bundle = None if before is None else before.bundle
            version = None if before is None else before.version
            found = {"active": plan.target, "back": plan.back}.get(given.purpose)
            if plan.target.kind == "bundle":
                bundle = given.order.before.bundle if found is None else found.digest
            else:
                version = given.order.before.version if found is None else found.version
            by = f"rollout {self._standing.rollout.name}"
            entered[name] = Wished(bundle=bundle, version=version, at=now, by=by)
        if entered:
            registry.desire(entered)

    def _before(self, name: str) -> Before:
        """What it was before the first order that let it use what is new."""
        given = self._standing.given.get(name)
        if given is not None and given.purpose == "active":
            return given.order.before
        return Before.of(self._hearing.seen[name])

    def _carried_over(self, name: str) -> dict[str, DesiredBundle | None]:
        """What the order that stands says of the other part.

        It keeps the id by which it was ordered first, so that no device carries it out once more,
        against what a person there decided since.
        """
        other: Kind = "daemon" if self._standing.plan.target.kind == "bundle" else "bundle"
        found, given = self._hearing.orders.get(name), self._standing.given.get(name)
        if given is not None and (found is None or found.id in self._standing.ids):
            return {other: getattr(given.order, other)}
        return {other: None if found is None else found.first(getattr(found, other))}

    def _later(self, name: str, now: datetime) -> datetime:
        """Later than what the device was ordered last, whatever the clock says."""
        times = [now]
        if name in self._hearing.orders:
            times.append(self._hearing.orders[name].ts + _LATER)
        if name in self._standing.given:
            times.append(self._standing.given[name].order.ts + _LATER)
        return max(times)
