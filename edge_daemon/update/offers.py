"""What a repository has, as this device reads it, and what of it is an update here."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError
from tuf.api.metadata import TargetFile, Targets

from edge_daemon.contract.target import FOLDERS, Machine, TargetAbout, release_order

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Offer:
    """One thing that the repository has, as its makers describe it."""

    path: str
    """In the repository: ``bundles/leukoedge-0.6.0.tar``."""
    about: TargetAbout
    target: TargetFile

    @property
    def label(self) -> str:
        """Name and version, as people say it."""
        return f"{self.about.name}-{self.about.version}"


def newer_than(
    installed: str,
    offers: tuple[Offer, ...],
    *,
    kind: Literal["bundle", "daemon"],
    name: str,
    machine: Machine,
) -> tuple[Offer, ...]:
    """What this machine may update to, the newest first.

    Never an older version, or the same: to go back, the old content is published under a higher
    version (``leuko-deploy repo add --as-version``).

    Args:
        installed: version that is here.
        offers: of :meth:`TrustedRepository.refresh`.
        kind: ``bundle`` or ``daemon``.
        name: of the bundle; ``leukoedge`` for the daemon.
        machine: what it must fit.
    """
    here = release_order(installed)
    fitting = [
        offer
        for offer in offers
        if (offer.about.kind, offer.about.name) == (kind, name)
        and release_order(offer.about.version) > here
        and offer.about.compatibility.objection(machine) is None
    ]
    return tuple(
        sorted(fitting, key=lambda offer: release_order(offer.about.version), reverse=True)
    )


def read_offers(targets: Targets) -> tuple[Offer, ...]:
    """All that this daemon can read of what is offered, in the order of their paths."""
    found = []
    for path, target in sorted(targets.targets.items()):
        try:
            about = TargetAbout.model_validate(target.custom)
        except ValidationError:
            log.info("%s is left out: it is described for a newer daemon", path)
            continue
        if _is_plain(path, about) and "sha256" in target.hashes:
            found.append(Offer(path, about, target))
    return tuple(found)


def _is_plain(path: str, about: TargetAbout) -> bool:
    """A name in the folder of its kind: although it is signed, it becomes a file's name here."""
    return (
        re.fullmatch(rf"{FOLDERS[about.kind]}/[A-Za-z0-9][A-Za-z0-9._+-]{{0,200}}", path)
        is not None
    )
