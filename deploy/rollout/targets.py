"""What a rollout brings: a bundle, or a version of the daemon, as the repository has it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias

from deploy.registry.drift import short
from deploy.registry.record import Reported
from edge_daemon.contract.base import Digest, StrictModel
from edge_daemon.contract.target import (
    ARCHIVE_SUFFIX,
    Compatibility,
    TargetAbout,
    release_order,
)

if TYPE_CHECKING:
    from deploy.trust.inspect import Offered

Kind: TypeAlias = Literal["bundle", "daemon"]


class Target(StrictModel):
    """One version."""

    kind: Kind = "bundle"
    name: str
    version: str
    digest: Digest | None = None
    """Of a bundle."""
    reissue_of: str | None = None
    compatibility: Compatibility = Compatibility()
    """Of a daemon only the oldest one that it can follow: which of its archives fits a machine's
    Python and platform is judged there."""

    @property
    def label(self) -> str:
        """Name and version; bundles and the daemon may bear one name."""
        return f"daemon {self.version}" if self.kind == "daemon" else f"{self.name}-{self.version}"

    def is_used(self, reported: Reported) -> bool:
        """Whether a device reports this one as in use; versions compared as devices do."""
        if self.kind == "bundle":
            return reported.bundle == self.digest
        version = reported.version
        return version is not None and release_order(version) == release_order(self.version)


def targets_of(offers: Collection[Offered], kind: Kind = "bundle") -> tuple[Target, ...]:
    """The bundles of a repository, or the versions of the daemon that bring what they need."""
    found = [one.about for one in offers if one.about.kind == kind and _can_be_ordered(one)]
    if kind == "daemon":
        versions = sorted({about.version for about in found}, key=release_order)
        return tuple(_release([one for one in found if one.version == v]) for v in versions)
    return tuple(
        Target(
            name=about.name,
            version=about.version,
            digest=about.digest,
            reissue_of=about.reissue_of,
            compatibility=about.compatibility,
        )
        for about in found
    )


def _can_be_ordered(one: Offered) -> bool:
    return one.about.digest is not None or one.path.endswith(ARCHIVE_SUFFIX)


def _release(archives: list[TargetAbout]) -> Target:
    """One version, of several kinds of machine."""
    needs = [about.compatibility.min_daemon for about in archives]
    known = [version for version in needs if version is not None]
    lowest = min(known, key=release_order) if len(known) == len(needs) else None
    first = archives[0]
    fits = Compatibility(min_daemon=lowest)
    return Target(kind="daemon", name=first.name, version=first.version, compatibility=fits)


def runs(kind: Kind, reported: Reported, targets: Iterable[Target]) -> str:
    """What a device uses now, for people."""
    if kind == "daemon":
        return f"daemon {reported.version}"
    found = (one.label for one in targets if one.digest == reported.bundle)
    return next(found, f"bundle {short(reported.bundle)}")


def content_line(target: Target, bundles: Collection[Target]) -> str:
    """Which content a bundle has, for people."""
    name, version = content_of(target, bundles)
    return f"the content of {name}-{version}"


def content_of(target: Target, bundles: Collection[Target]) -> tuple[str, str]:
    """The version under which this content came first."""
    version, older = target.version, target.reissue_of
    while older is not None and release_order(older) < release_order(version):
        version = older
        found = (one for one in bundles if (one.name, one.version) == (target.name, version))
        older = next((one.reissue_of for one in found), None)
    return target.name, version
