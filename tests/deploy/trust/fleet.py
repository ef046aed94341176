"""A repository with its keys, things to put into it, and devices that trust it."""

from __future__ import annotations

import base64
import hashlib
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from deploy.trust.add import Added, add
from deploy.trust.create import LIFETIMES_DAYS, create
from deploy.trust.keys import KeyRing
from deploy.trust.publish import Outcome, publish
from deploy.trust.repository import Repository
from edge_daemon.contract.bundle import (
    BundleManifest,
    ClassifierModels,
    DetectorModels,
    Provenance,
    Roles,
    file_entry,
    write_manifest,
)
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.roles import ClassifierRole, DetectorRole
from edge_daemon.contract.target import Compatibility
from edge_daemon.update.trust import TrustedRepository, provision

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - opens nothing but these tests' keys

_ROLES = Roles(
    detector=DetectorModels(
        spec=DetectorRole(
            input_height=64,
            input_width=64,
            strides=(16,),
            score_thresholds={"wbc": 0.5, "rbc": 0.5, "platelet": 0.5},
            nms_iou=0.3,
        ),
        models={"fp32": "detector.fp32.onnx"},
    ),
    classifier=ClassifierModels(
        spec=ClassifierRole(
            size=32, crop_um=16.0, abstain_band=(0.3, 0.7), single_cell_um_per_px=0.5
        ),
        models={"fp32": "classifier.fp32.onnx"},
    ),
)


def write_paper_bundle(folder: Path, version: str, content: bytes = b"network") -> Path:
    """A bundle that loads, and whose networks nobody could run: quick to make, any size."""
    path = folder / f"paper-{version}"
    path.mkdir(parents=True)
    names = ("detector.fp32.onnx", "classifier.fp32.onnx", "golden.npz")
    for name in names:
        (path / name).write_bytes(name.encode() + content)
    manifest = BundleManifest(
        schema="leukoedge.bundle/1",
        name="paper",
        version=version,
        roles=_ROLES,
        metrics={"classifier.auroc": 0.899491, "classifier.empty_places": 1e-05},
        provenance=Provenance(
            created=datetime(2026, 1, 1, tzinfo=timezone.utc), command="tests", software={}, data=()
        ),
        files={name: file_entry(path / name) for name in names},
    )
    write_manifest(path, manifest)
    return path


def write_wheel(folder: Path, version: str, *, name: str = "leukoedge", code: str = "") -> Path:
    """A wheel of nothing but its version."""
    info = f"{name}-{version}.dist-info"
    files = {
        "edge_daemon/__init__.py": f"__version__ = {version!r}\n{code}".encode(),
        f"{info}/METADATA": f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def passphrase(_: Path) -> str:
    return PASSPHRASE


def key_ring(*folders: Path) -> KeyRing:
    return KeyRing(folders, passphrase, passphrase)


@dataclass
class Fleet:
    """What a hospital's central side has."""

    folder: Path
    now: Callable[[], datetime] = utc_now
    place: str = "repository"

    @classmethod
    def founded(cls, folder: Path, now: Callable[[], datetime] = utc_now, **days: int) -> Fleet:
        """With keys, an empty repository and lifetimes in days."""
        fleet = cls(folder, now)
        create(
            fleet.repository.folder,
            fleet.ring(),
            now(),
            lifetimes_days={**LIFETIMES_DAYS, **days},
        )
        return fleet

    @property
    def repository(self) -> Repository:
        return Repository(self.folder / self.place)

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def first_root(self) -> Path:
        return self.repository.metadata / "1.root.json"

    def ring(self, *folders: Path) -> KeyRing:
        """Freshly opened, so that a key is looked for each time."""
        return key_ring(*(folders or (self.keys,)))

    def key_files(self, role: str) -> list[Path]:
        return sorted(self.keys.glob(f"{role}-*.pem"))

    def add(
        self,
        version: str,
        content: bytes = b"network",
        compatibility: Compatibility = Compatibility(),
    ) -> Added:
        """A bundle of this version."""
        source = self.source(version, content)
        return add(self.repository, source, self.ring(), self.now(), compatibility)

    def source(self, version: str, content: bytes = b"network") -> Path:
        """The folder of a bundle, made when it is first asked for."""
        made = self.folder / "made" / hashlib.sha256(content).hexdigest()[:8]
        if not (made / f"paper-{version}").exists():
            write_paper_bundle(made, version, content)
        return made / f"paper-{version}"

    def publish(self) -> Outcome:
        return publish(self.repository, self.ring(), self.now())

    def offer(self, *versions: str) -> None:
        for version in versions:
            self.add(version)
        self.publish()

    def copy(self, name: str) -> Path:
        """The published folder as it is now, somewhere else: a mirror, a stick, an attacker's."""
        return Path(shutil.copytree(self.repository.folder, self.folder / name))

    def device(self, name: str = "device", root: bytes | None = None) -> Device:
        """One that was given the repository's first root."""
        state = self.folder / name
        provision(state, root or self.first_root.read_bytes())
        return Device(state, str(self.repository.folder))


@dataclass
class Device:
    """What a device has: its state, and where it looks."""

    state: Path
    source: str
    clock: Callable[[], datetime] = utc_now

    def repository(self, source: str | Path | None = None) -> TrustedRepository:
        return TrustedRepository(self.state, str(source or self.source), clock=self.clock)

    def versions(self, source: str | Path | None = None) -> list[str]:
        """What it is offered after it looked again."""
        return [offer.about.version for offer in self.repository(source).refresh()]

    def fetched(self, version: str, source: str | Path | None = None) -> Path:
        """The file of one version."""
        repository = self.repository(source)
        (offer,) = (one for one in repository.refresh() if one.about.version == version)
        return repository.fetch(offer)
