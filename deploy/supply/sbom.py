"""A software bill of materials in CycloneDX 1.6 JSON, of the daemon and of a bundle.

Written by hand, for it is a small document (ECMA-424); its shape is held by the tests. The same
input gives the same bytes: the serial number is made of the content, and a time stands in it only
where it is known without a clock.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from deploy.supply.licences import UNKNOWN, Allowed
from deploy.supply.lock import Pin
from edge_daemon import __version__
from edge_daemon.contract.bundle import MANIFEST, Bundle, DataSource

SPECIFICATION = "1.6"
_NAMESPACE = uuid.UUID("6d0f3c1e-5d1b-5c39-9a43-0b7c5f0f4e55")
"""Of our serial numbers."""
_DAEMON = "leukoedge"
_MODEL, _DATA = "machine-learning-model", "data"

Document = dict[str, Any]


def daemon_sbom(pins: Iterable[Pin], known: Allowed, made_at: datetime | None = None) -> Document:
    """What is installed with a daemon: every release, its digests, licence, and who needs it."""
    chosen = sorted(pins, key=lambda pin: pin.name)
    root = _purl(_DAEMON, __version__)
    refs = {_DAEMON: root, **{pin.name: _purl(pin.name, pin.version) for pin in chosen}}
    needs: dict[str, set[str]] = {ref: set() for ref in refs.values()}
    for pin in chosen:
        for name in pin.asked_by:
            if name in refs:
                needs[refs[name]].add(refs[pin.name])
    main = {
        "type": "application",
        "bom-ref": root,
        "name": _DAEMON,
        "version": __version__,
        "purl": root,
        "licenses": _licences("Apache-2.0"),
    }
    parts = [_library(pin, known) for pin in chosen]
    return _document(main, parts, needs, made_at)


def bundle_sbom(bundle: Bundle) -> Document:
    """What a bundle is made of: its files with their digests, and the data it was taught on."""
    manifest = bundle.manifest
    root = f"bundle:{bundle.digest}"
    main = {
        "type": _MODEL,
        "bom-ref": root,
        "name": manifest.name,
        "version": manifest.version,
        "hashes": _hashes([bundle.digest.removeprefix("sha256:")]),
        "properties": [
            {"name": "leukoedge:digest-of", "value": MANIFEST},
            {"name": "leukoedge:command", "value": manifest.provenance.command},
            *(
                {"name": f"leukoedge:software:{name}", "value": version}
                for name, version in sorted(manifest.provenance.software.items())
            ),
        ],
    }
    files = [
        {
            "type": _MODEL if name.endswith(".onnx") else "file",
            "bom-ref": f"file:{name}",
            "name": name,
            "hashes": _hashes([entry.sha256]),
            "properties": [{"name": "leukoedge:bytes", "value": str(entry.bytes)}],
        }
        for name, entry in sorted(manifest.files.items())
    ]
    data = [_source(number, one) for number, one in enumerate(manifest.provenance.data)]
    parts = files + data
    needs = {root: {str(part["bom-ref"]) for part in files}}
    taught_on = {str(one["bom-ref"]) for one in data}
    needs |= {str(one["bom-ref"]): taught_on if one["type"] == _MODEL else set() for one in files}
    needs |= {ref: set() for ref in taught_on}
    return _document(main, parts, needs, manifest.provenance.created)


def as_json(document: Document) -> str:
    """The same text for the same document."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _library(pin: Pin, known: Allowed) -> Document:
    ref = _purl(pin.name, pin.version)
    return {
        "type": "library",
        "bom-ref": ref,
        "name": pin.name,
        "version": pin.version,
        "purl": ref,
        "scope": "required",
        "hashes": _hashes(pin.sha256),
        "licenses": _licences(known.licence_of(pin.name)),
    }


def _source(number: int, one: DataSource) -> Document:
    return {
        "type": _DATA,
        "bom-ref": f"data:{number}",
        "name": one.name,
        "description": one.citation,
        "licenses": [{"license": {"name": one.licence}}],
    }


def _document(
    main: Document, parts: list[Document], needs: dict[str, set[str]], made_at: datetime | None
) -> Document:
    tool = {"type": "application", "name": "leuko-deploy", "version": __version__}
    metadata: Document = {"tools": {"components": [tool]}, "component": main}
    if made_at is not None:
        moment = made_at.astimezone(timezone.utc).isoformat(timespec="seconds")
        metadata = {"timestamp": moment, **metadata}
    body = {
        "version": 1,
        "metadata": metadata,
        "components": parts,
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(on)} for ref, on in sorted(needs.items())
        ],
    }
    serial = uuid.uuid5(_NAMESPACE, json.dumps(body, sort_keys=True))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": serial.urn,
        **body,
    }


def _licences(expression: str) -> list[Document]:
    """An SPDX expression; a licence that SPDX does not know goes by its name."""
    if expression == UNKNOWN:
        return []
    if expression.startswith("LicenseRef-"):
        return [{"license": {"name": expression.removeprefix("LicenseRef-")}}]
    return [{"expression": expression}]


def _hashes(digests: Iterable[str]) -> list[Document]:
    return [{"alg": "SHA-256", "content": digest} for digest in digests]


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"
