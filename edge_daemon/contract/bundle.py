"""The model bundle: one folder, one manifest, every byte accounted for.

``bundle.json`` names every file with its size and SHA-256, so the digest of ``bundle.json`` alone
identifies the whole set. A bundle is loaded completely or not at all: a wrong version, an unknown
field, a missing, truncated or altered file is refused with one line that says which and what to
do, and the daemon keeps the bundle it had.

Engines never travel in a bundle: ONNX files do, and each device compiles its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from edge_daemon.contract.roles import (
    Calibration,
    ClassifierRole,
    DetectorRole,
    Precision,
    StrictModel,
)
from edge_daemon.contract.stain import StainReference
from edge_daemon.errors import BundleError

MANIFEST = "bundle.json"
GOLDEN = "golden.npz"
SCHEMA = "leukoedge.bundle/1"
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
RoleName = Literal["detector", "classifier", "second_opinion"]
ROLES: tuple[RoleName, ...] = get_args(RoleName)

_MAX_MANIFEST_BYTES = 4 << 20  # a manifest is a few kB; anything larger is not one
_PLAIN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"  # no separators: no file outside the folder
_SEMVER = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$"

FileName = Annotated[str, Field(pattern=_PLAIN_NAME)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileEntry(StrictModel):
    """What one file of the bundle must be, byte for byte."""

    sha256: Sha256
    bytes: int = Field(ge=0)


class DetectorModels(StrictModel):
    """The detector: its geometry and one ONNX file per precision."""

    spec: DetectorRole
    models: dict[Precision, FileName] = Field(min_length=1)


class ClassifierModels(StrictModel):
    """A classifier: its geometry and calibration and one ONNX file per precision."""

    spec: ClassifierRole
    models: dict[Precision, FileName] = Field(min_length=1)
    calibrations: dict[Precision, Calibration] = Field(default_factory=dict)
    """Of each precision whose answers were calibrated by themselves; the others are read by
    ``spec``."""

    @model_validator(mode="after")
    def _calibrations_fit(self) -> ClassifierModels:
        for precision, one in self.calibrations.items():
            if precision not in self.models:
                raise ValueError(f"calibrations: there is no {precision} to calibrate")
            if (one.novelty_limit is None) != (self.spec.novelty_limit is None):
                raise ValueError(
                    f"calibrations.{precision}: novelty_limit is in one of it and spec"
                )
        return self

    def read_in(self, precision: Precision) -> ClassifierRole:
        """How answers in ``precision`` are read."""
        own = self.calibrations.get(precision)
        return self.spec if own is None else self.spec.read_by(own)


class Roles(StrictModel):
    """Who does what. The second opinion is optional and runs outside the frame loop."""

    detector: DetectorModels
    classifier: ClassifierModels
    second_opinion: ClassifierModels | None = None


class DataSource(StrictModel):
    """One data set the models were trained or measured on, with what its licence asks for."""

    name: str
    licence: str
    citation: str


class Provenance(StrictModel):
    """Where the bundle comes from: enough to make it again, and to give credit."""

    created: AwareDatetime
    command: str
    """The documented command that makes this bundle."""
    software: dict[str, str]
    """Versions of the packages that trained and exported it."""
    data: tuple[DataSource, ...]
    train_groups_sha256: Sha256 | None = None
    """Digest of the sorted list of patient groups in training: proves the split, names nobody."""


class BundleManifest(StrictModel):
    """The content of ``bundle.json``."""

    schema_: Literal["leukoedge.bundle/1"] = Field(alias="schema")
    name: FileName
    version: Annotated[str, Field(pattern=_SEMVER)]
    roles: Roles
    metrics: dict[str, float]
    """Figures measured on held-out data, flat: ``classifier.auroc.val.black`` and so on."""
    provenance: Provenance
    stain: StainReference | None = None
    """Colours of the frames that the networks were taught on; None: stain shift is not judged
    unless the microscope was calibrated for it."""
    files: dict[FileName, FileEntry]

    @model_validator(mode="after")
    def _every_named_file_is_listed(self) -> BundleManifest:
        named = {GOLDEN}
        for role in (self.roles.detector, self.roles.classifier, self.roles.second_opinion):
            if role is not None:
                named.update(role.models.values())
        missing = sorted(named - set(self.files))
        if missing:
            raise ValueError(f"'files' lacks {', '.join(missing)}")
        return self


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk. Only :func:`load_bundle` makes one."""

    path: Path
    manifest: BundleManifest
    digest: str
    """``sha256:<hex>`` of ``bundle.json``: the identity of the whole set."""

    @property
    def label(self) -> str:
        """Name and version, as people say it."""
        return f"{self.manifest.name}-{self.manifest.version}"

    @property
    def roles(self) -> tuple[RoleName, ...]:
        """The roles that it fills."""
        return tuple(name for name in ROLES if getattr(self.manifest.roles, name) is not None)

    @property
    def golden(self) -> Path:
        """The golden set: inputs and expected outputs per role."""
        return self.path / GOLDEN

    def role(self, name: RoleName) -> DetectorModels | ClassifierModels:
        """The models of a role. Raises :class:`BundleError` when the bundle does not fill it."""
        role: DetectorModels | ClassifierModels | None = getattr(self.manifest.roles, name)
        if role is None:
            raise BundleError(
                f"bundle {self.label} has no role '{name}'; use a bundle that fills it"
            )
        return role

    def model(self, name: RoleName, precision: Precision) -> Path:
        """Path of a role's ONNX file. Raises :class:`BundleError` for an absent precision."""
        models: Mapping[Precision, str] = self.role(name).models
        if precision not in models:
            raise BundleError(
                f"bundle {self.label} has no {precision} {name}; "
                f"it has {', '.join(sorted(models))}: choose one of these or 'auto'"
            )
        return self.path / models[precision]


def load_bundle(path: Path) -> Bundle:
    """Read and verify a bundle folder.

    Raises:
        BundleError: one line naming the file and what is wrong with it.
    """
    text = _read_manifest(path)
    manifest = _parse_manifest(text, path / MANIFEST)
    for name, entry in manifest.files.items():
        _verify_file(path / name, entry)
    return Bundle(path=path, manifest=manifest, digest=f"sha256:{hashlib.sha256(text).hexdigest()}")


def newest_bundle(folder: Path) -> Path:
    """The folder of the highest version in ``folder`` (named ``<name>-<version>``).

    Raises:
        BundleError: when there is none.
    """
    versions: list[tuple[tuple[int, ...], Path]] = []
    for manifest in folder.glob(f"*/{MANIFEST}"):
        found = re.search(r"-(\d+)\.(\d+)\.(\d+)$", manifest.parent.name)
        if found:
            versions.append((tuple(map(int, found.groups())), manifest.parent))
    if not versions:
        raise BundleError(f"no bundle in {folder}; name one with --bundle DIR")
    return max(versions)[1]


def file_entry(path: Path) -> FileEntry:
    """Size and digest of a file as a bundle lists it."""
    return FileEntry(sha256=_sha256(path), bytes=path.stat().st_size)


def write_manifest(folder: Path, manifest: BundleManifest) -> None:
    """Write ``bundle.json`` with stable formatting: the same content is the same bytes."""
    content = manifest.model_dump(mode="json", by_alias=True, exclude_none=True)
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def _read_manifest(path: Path) -> bytes:
    file = path / MANIFEST
    if not path.is_dir():
        raise BundleError(f"bundle {path} is not a folder; name the folder that holds {MANIFEST}")
    try:
        if file.stat().st_size > _MAX_MANIFEST_BYTES:
            raise BundleError(f"{file} is over 4 MiB: not a bundle manifest; copy the bundle again")
        return file.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path} has no {MANIFEST}; name the folder of a bundle") from None
    except OSError as error:
        raise BundleError(f"cannot read {file}: {error.strerror}") from error


def _parse_manifest(text: bytes, file: Path) -> BundleManifest:
    try:
        content = json.loads(text)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError alike
        raise BundleError(
            f"{file} is not valid JSON ({error}); it is truncated or altered: copy the bundle again"
        ) from None
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise BundleError(
            f"{file} has schema {schema!r}, this daemon reads {SCHEMA!r}; "
            "use a bundle made for this version or update the daemon"
        )
    try:
        return BundleManifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "manifest"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise BundleError(
            f"{file}: {where}: {first['msg']}{more}; export the bundle again"
        ) from None


def _verify_file(file: Path, entry: FileEntry) -> None:
    try:
        size = file.stat().st_size
        if size != entry.bytes:
            raise BundleError(
                f"{file} has {size} bytes, {MANIFEST} says {entry.bytes}: truncated or altered; "
                "copy the bundle again"
            )
        if _sha256(file) != entry.sha256:
            raise BundleError(
                f"{file} does not have the digest that {MANIFEST} names: altered; "
                "copy the bundle again"
            )
    except FileNotFoundError:
        raise BundleError(f"{file} is missing from the bundle; copy the bundle again") from None
    except OSError as error:
        raise BundleError(f"cannot read {file}: {error.strerror}") from error


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
