"""A bundle before it is written: roles with their trained graphs, figures and origin.

Everything that a bundle needs and that is not computed while writing it, in one immutable value,
so that the writer knows nothing of run folders and the readers of run folders nothing of bundles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_daemon.contract.bundle import Provenance, RoleName
from edge_daemon.contract.stain import StainReference
from exporter.graphs.signature import RoleSpec

if TYPE_CHECKING:
    from torch import nn

    from exporter.gate.examples import Examples
    from trainer.data.data_manifest import DataManifest


@dataclass(frozen=True)
class RoleDraft:
    """One role: what the contract says of it, and the trained graph that fills it."""

    name: RoleName
    spec: RoleSpec
    graph: nn.Module
    """uint8 NHWC in, the outputs of ``spec`` in the contract's order out."""
    metrics: Mapping[str, float]
    """Figures on held-out data without the role's name, such as ``auroc.val.black``."""
    examples: Examples | None = None
    """Real pictures to quantise with and to judge on; without them the role ships in float32."""


@dataclass(frozen=True)
class BundleDraft:
    """A bundle to be written as ``<name>-<version>``."""

    name: str
    version: str
    roles: tuple[RoleDraft, ...]
    provenance: Provenance
    stain: StainReference | None = None
    """Colours of the frames that the networks were taught on."""
    data: DataManifest | None = None
    """What the roles were trained and measured on, by count and digest; travels with them."""
    history: tuple[str, ...] = ()
    """How the weights came about, where the commands do not tell it all; for the model card."""

    @property
    def label(self) -> str:
        """Name and version: also the name of the bundle's folder."""
        return f"{self.name}-{self.version}"

    @property
    def metrics(self) -> dict[str, float]:
        """All figures, flat, each under the name of its role."""
        return {
            f"{role.name}.{figure}": float(value)
            for role in self.roles
            for figure, value in sorted(role.metrics.items())
        }
