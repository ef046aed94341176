"""What a repository of updates says of each thing in it, signed together with its digest.

It travels as TUF's custom metadata of a target. TUF's canonical JSON knows no fractions, so figures
are decimal numbers in strings. A device that cannot read one of them leaves that one alone: it was
made for a daemon newer than itself, and the others are as good as before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from edge_daemon.contract.base import Digest, Name, StrictModel

SCHEMA = "leukoedge.target/1"
BUNDLE_SUFFIX = ".tar"
ARCHIVE_SUFFIX = ".tar"
"""Of a daemon with all that it needs; a wheel alone ends otherwise."""
REQUIREMENTS = "requirements.txt"
"""In such an archive: every wheel of it, by version and digest."""
DAEMON_NAME = "leukoedge"
FOLDERS = {"bundle": "bundles", "daemon": "daemon"}
"""Of the repository, by kind of target."""

Release: TypeAlias = Annotated[str, Field(pattern=r"^\d{1,9}(\.\d{1,9}){0,4}$")]
"""A released version: numbers and dots, as 0.6.0, 6.2 or 10.3.0.26."""
Figure: TypeAlias = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?(e-?\d+)?$")]


def release_order(version: str) -> tuple[int, ...]:
    """What versions are compared by: the numbers they begin with; 6.2 and 6.2.0 are one."""
    begins = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in begins.group().split(".")] if begins else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


@dataclass(frozen=True)
class Machine:
    """What an update may depend on, as it is here. None: there is no such thing here."""

    daemon: str
    jetpack: str | None = None
    tensorrt: str | None = None
    python: str | None = None
    glibc: str | None = None
    platform: str | None = None
    """System and processor, as wheels name them: ``linux_aarch64``."""


class ReleaseRange(StrictModel):
    """Versions that will do: from ``at_least`` on, and before ``below``."""

    at_least: Release | None = None
    below: Release | None = None

    @model_validator(mode="after")
    def _holds_something(self) -> ReleaseRange:
        low, high = self.at_least, self.below
        if low is None and high is None:
            raise ValueError("says neither from which version on nor before which")
        if low is not None and high is not None and release_order(low) >= release_order(high):
            raise ValueError(f"no version is at least {low} and below {high}")
        return self

    def holds(self, version: str) -> bool:
        """Is this version one of them?"""
        order = release_order(version)
        return (self.at_least is None or release_order(self.at_least) <= order) and (
            self.below is None or order < release_order(self.below)
        )

    def __str__(self) -> str:
        bounds = ((">=", self.at_least), ("<", self.below))
        return ",".join(f"{sign}{version}" for sign, version in bounds if version is not None)


class Compatibility(StrictModel):
    """Where a target may be used.

    A limit holds where the machine has what it limits: a PC without JetPack is not kept from a
    bundle that names the JetPacks it was tried with.
    """

    min_daemon: Release | None = None
    jetpack: ReleaseRange | None = None
    tensorrt: ReleaseRange | None = None
    python: ReleaseRange | None = None
    """Of a daemon: the Python that its wheels are for."""
    glibc: ReleaseRange | None = None
    platform: Name | None = None
    """Of a daemon with wheels for one kind of machine: ``linux_aarch64``."""

    def objection(self, machine: Machine) -> str | None:
        """Why it is not for this machine, in a sentence; None when it is."""
        if self.min_daemon is not None and not _at_least(machine.daemon, self.min_daemon):
            return f"it needs daemon {self.min_daemon} or newer, and this one is {machine.daemon}"
        limits = (
            ("JetPack", self.jetpack, machine.jetpack),
            ("TensorRT", self.tensorrt, machine.tensorrt),
            ("Python", self.python, machine.python),
            ("glibc", self.glibc, machine.glibc),
        )
        for what, wanted, here in limits:
            if wanted is not None and here is not None and not wanted.holds(here):
                return f"it is for {what} {wanted}, and here is {here}"
        here = machine.platform
        if self.platform is not None and here is not None and here != self.platform:
            return f"it is for {self.platform}, and this is {here}"
        return None


class TargetAbout(StrictModel):
    """What is said of one target: the custom metadata that TUF signs and carries."""

    schema_: Literal["leukoedge.target/1"] = Field(default="leukoedge.target/1", alias="schema")
    kind: Literal["bundle", "daemon"]
    name: Name
    version: Release
    digest: Digest | None = None
    """Of a bundle: that of its ``bundle.json``, which names it in every message."""
    reissue_of: Release | None = None
    """The older version whose content this is, brought back under a higher one."""
    compatibility: Compatibility = Compatibility()
    figures: dict[str, Figure] = Field(default_factory=dict)
    """A bundle's quality on held-out data, as in its manifest."""

    @model_validator(mode="after")
    def _a_bundle_has_a_digest(self) -> TargetAbout:
        if (self.kind == "bundle") != (self.digest is not None):
            raise ValueError("a bundle has a digest, a daemon has none")
        return self


def _at_least(version: str, wanted: str) -> bool:
    return release_order(version) >= release_order(wanted)
