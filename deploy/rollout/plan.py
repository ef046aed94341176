"""The plan: which devices would change, from what to what, wave by wave, and who is left out, why.

Made before anything happens, shown, and written down: what is ordered later is what was shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from deploy.registry.drift import drift, short
from deploy.registry.record import Device, Listened, Reported
from deploy.rollout.errors import RolloutError
from deploy.rollout.record import Seen
from deploy.rollout.settings import DevicesChosen, Rollout, WaveWanted
from deploy.rollout.targets import Kind, Target, content_line, content_of, runs
from edge_daemon.contract.base import StrictModel
from edge_daemon.contract.target import Machine, release_order
from edge_daemon.contract.update import ReleaseStanding

_USES: dict[Kind, str] = {"bundle": "uses", "daemon": "runs"}


class PlannedWave(StrictModel):
    """Devices that are ordered together."""

    title: str
    devices: tuple[str, ...]
    look_on: bool
    soak_s: float


class Plan(StrictModel):
    """All of it."""

    target: Target
    back: Target | None
    waves: tuple[PlannedWave, ...]
    runs: dict[str, str]
    """What each device that would change uses now, for people."""
    left_out: dict[str, str]
    """Devices that would not change, and why."""

    @property
    def devices(self) -> tuple[str, ...]:
        """All that would change, in the order of the waves."""
        return tuple(name for wave in self.waves for name in wave.devices)


@dataclass(frozen=True)
class Known:
    """What a plan is made of."""

    fleet: Mapping[str, Device]
    """By name, as the registry has them."""
    seen: Mapping[str, Seen]
    """What was heard of them just now, on top of the registry."""
    strangers: Collection[str]
    """Who speaks and is not enrolled."""
    listened: Listened | None
    now: datetime


def make_plan(rollout: Rollout, targets: tuple[Target, ...], known: Known) -> Plan:
    """The plan; ``targets`` are of the kind that the rollout brings.

    Raises:
        RolloutError: the repository has no such version or no such way back, or a device that the
            file names is not enrolled.
    """
    target = _target(rollout, rollout.wanted.version, targets)
    back = _back(rollout, target, targets)
    _check_names(rollout, known)
    chosen, left_out, now = [], {}, {}
    for name in sorted({*known.fleet, *known.strangers}):
        if not _is_chosen(name, rollout.devices):
            continue
        why = _why_not(name, rollout, target, back, targets, known)
        if why is not None:
            left_out[name] = why
        else:
            chosen.append(name)
            now[name] = runs(target.kind, known.seen[name].reported, targets)
    waves = tuple(_waves(rollout, chosen))
    rest = set(chosen) - {name for wave in waves for name in wave.devices}
    left_out |= dict.fromkeys(sorted(rest), "it is in no wave: end with share = 1")
    now = {name: label for name, label in now.items() if name not in rest}
    return Plan(target=target, back=back, waves=waves, runs=now, left_out=left_out)


def _target(rollout: Rollout, version: str, targets: tuple[Target, ...]) -> Target:
    for one in targets:
        if (one.name, one.version) == (rollout.wanted.name, version):
            return one
    how = "add it with --wheelhouse and publish it"
    if rollout.bundle is not None:
        how = "add and publish it"
    raise RolloutError(f"{rollout.repository} has no {rollout.wanted.label(version)}: {how}")


def _back(rollout: Rollout, target: Target, targets: tuple[Target, ...]) -> Target | None:
    if rollout.wanted.back_to == "none":
        return None
    back = _target(rollout, rollout.wanted.back_to, targets)
    if back.kind == "bundle" and back.reissue_of is None:
        raise RolloutError(
            f"back_to {back.label} holds no older content: make it with `leuko-deploy repo add "
            f"OLD-BUNDLE --as-version {back.version}`"
        )
    if back.kind == "daemon":
        why = back.compatibility.objection(Machine(target.version))
        if why is not None:
            raise RolloutError(f"back_to {back.label} cannot follow {target.label}: {why}")
    return back


def _check_names(rollout: Rollout, known: Known) -> None:
    wanted = [*rollout.devices.names, *rollout.devices.exclude]
    wanted += [name for wave in rollout.waves for name in wave.devices]
    sites = [*rollout.devices.sites, *(site for wave in rollout.waves for site in wave.sites)]
    there = {one.site for one in known.fleet.values()}
    faults = [f"device {name} is not in the registry" for name in wanted if name not in known.fleet]
    faults += [
        f"no device of site {site} is in the registry" for site in sites if site not in there
    ]
    if faults:
        ask = "; see `leuko-deploy devices list`"
        raise RolloutError("\n".join(f"{line}{ask}" for line in dict.fromkeys(faults)))


def _is_chosen(name: str, devices: DevicesChosen) -> bool:
    return devices.all or name in devices.names or name.partition("/")[0] in devices.sites


def _why_not(
    name: str,
    rollout: Rollout,
    target: Target,
    back: Target | None,
    targets: tuple[Target, ...],
    known: Known,
) -> str | None:
    device, seen = known.fleet.get(name), known.seen.get(name, Seen())
    if device is None:
        return "it speaks and is not enrolled"
    if device.enrolment.standing != "enrolled":
        return f"its certificate is {device.enrolment.standing}"
    if name in rollout.devices.exclude:
        return "excluded by the file"
    is_ = seen.reported
    if target.is_used(is_):
        return f"it {_USES[target.kind]} {target.label} already"
    if rollout.devices.offline == "leave_out":
        if is_.state is None:
            return "it was never heard"
        if is_.state == "offline":
            return "it is offline"
        points = drift(device, known.listened, known.now)
        for point in points:
            if point.point == "silent":
                return f"it {point.line}"
    if is_.version is not None:
        why = target.compatibility.objection(Machine(is_.version))
        if why is not None:
            return f"it does not fit: {why}"
    if seen.update is None:
        return "no updater of it was heard (`leuko-edge update run`), so nobody would know"
    if target.kind == "daemon":
        return _why_no_release(is_, seen.update.daemon, target)
    return _why_no_way(is_.bundle, target, back, targets)


def _why_no_release(is_: Reported, standing: ReleaseStanding | None, target: Target) -> str | None:
    if standing is None:
        return "its updater brings no daemon: set [update] versions there"
    if standing.runs is None:
        return "its updater finds no version in use: set it up as docs/fleet/install.md says"
    if is_.version is None:
        return "it did not say which daemon it runs: there is no way back to that"
    if release_order(is_.version) > release_order(target.version):
        return f"it runs daemon {is_.version}, which is newer"
    return None


def _why_no_way(
    digest: str | None, target: Target, back: Target | None, bundles: tuple[Target, ...]
) -> str | None:
    """Versions only rise, and the way back must lead to what runs now."""
    now = next((one for one in bundles if one.digest == digest), None)
    if now is not None and now.name == target.name:
        order = release_order(now.version)
        if order > release_order(target.version):
            return f"it uses {now.label}, which is newer"
    if back is None:
        return None
    if now is None:
        return f"it uses bundle {short(digest)}, which the repository does not have: no way back"
    if content_of(now, bundles) != content_of(back, bundles):
        return f"it uses {now.label}, and {back.label} holds {content_line(back, bundles)}"
    return None


def _waves(rollout: Rollout, chosen: list[str]) -> Iterator[PlannedWave]:
    left = sorted(chosen, key=lambda name: _lot(rollout.name, name))
    everyone = len(left)
    for wanted in rollout.waves:
        for title, devices in _taken(wanted, left, everyone):
            left = [name for name in left if name not in set(devices)]
            if devices:
                yield PlannedWave(
                    title=title,
                    devices=tuple(devices),
                    look_on=wanted.look_on,
                    soak_s=wanted.soak_s,
                )


def _taken(wanted: WaveWanted, left: list[str], everyone: int) -> Iterator[tuple[str, list[str]]]:
    if wanted.by_site:
        sites = sorted({name.partition("/")[0] for name in left})
        for site in sites:
            yield f"site {site}", [name for name in left if name.partition("/")[0] == site]
    elif wanted.sites:
        found = [name for name in left if name.partition("/")[0] in wanted.sites]
        yield "sites " + ", ".join(wanted.sites), found
    elif wanted.devices:
        yield "named devices", [name for name in wanted.devices if name in left]
    elif wanted.count is not None:
        yield "canary" if len(left) == everyone else f"{wanted.count} more", left[: wanted.count]
    elif wanted.share is not None:
        more = round(wanted.share * everyone + 1e-9) - (everyone - len(left))
        yield f"up to {wanted.share:.0%} of all", left[: max(more, 0)]


def _lot(rollout: str, name: str) -> bytes:
    """Drawn by lot, the same each time: no wave is one corner of the fleet."""
    return hashlib.sha256(f"{rollout}\n{name}".encode()).digest()
