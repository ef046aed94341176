"""A bill of materials names everything, in the shape of CycloneDX 1.6, the same every time."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deploy.supply.licences import load
from deploy.supply.lock import read_lock
from deploy.supply.sbom import as_json, bundle_sbom, daemon_sbom
from edge_daemon import __version__
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.errors import BundleError, ConfigError
from tests.deploy.test_deploy_cli import Prompt, done, prompt  # noqa: F401 - a fixture
from tests.house.checkout import REPOSITORY

LOCK = REPOSITORY / "requirements" / "daemon.txt"
(BUNDLE,) = (REPOSITORY / "deploy" / "bundles").iterdir()

# The part of the specification's schema that these documents use, written from its text.
NAME = {"type": "string", "minLength": 1}
LICENCES = {
    "type": "array",
    "items": {
        "oneOf": [
            {
                "type": "object",
                "required": ["expression"],
                "additionalProperties": False,
                "properties": {"expression": NAME},
            },
            {
                "type": "object",
                "required": ["license"],
                "additionalProperties": False,
                "properties": {"license": {"type": "object", "required": ["name"]}},
            },
        ]
    },
}
COMPONENT = {
    "type": "object",
    "required": ["type", "name"],
    "additionalProperties": False,
    "properties": {
        "type": {"enum": ["application", "library", "file", "data", "machine-learning-model"]},
        "bom-ref": NAME,
        "name": NAME,
        "version": NAME,
        "description": NAME,
        "purl": {"type": "string", "pattern": r"^pkg:pypi/[a-z0-9.-]+@[^@]+$"},
        "scope": {"enum": ["required", "optional", "excluded"]},
        "hashes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["alg", "content"],
                "additionalProperties": False,
                "properties": {
                    "alg": {"const": "SHA-256"},
                    "content": {"type": "string", "pattern": "^[a-f0-9]{64}$"},
                },
            },
        },
        "licenses": LICENCES,
        "properties": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "value"],
                "additionalProperties": False,
                "properties": {"name": NAME, "value": {"type": "string"}},
            },
        },
    },
}
SHAPE = {
    "type": "object",
    "required": ["$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": "http://cyclonedx.org/schema/bom-1.6.schema.json"},
        "bomFormat": {"const": "CycloneDX"},
        "specVersion": {"const": "1.6"},
        "serialNumber": {
            "type": "string",
            "pattern": r"^urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$",
        },
        "version": {"type": "integer", "minimum": 1},
        "metadata": {
            "type": "object",
            "required": ["component"],
            "additionalProperties": False,
            "properties": {
                "timestamp": {"type": "string", "pattern": r"^\d{4}(-\d\d){2}T\d\d(:\d\d){2}\+"},
                "tools": {
                    "type": "object",
                    "properties": {"components": {"type": "array", "items": COMPONENT}},
                },
                "component": COMPONENT,
            },
        },
        "components": {"type": "array", "uniqueItems": True, "items": COMPONENT},
        "dependencies": {
            "type": "array",
            "uniqueItems": True,
            "items": {
                "type": "object",
                "required": ["ref"],
                "additionalProperties": False,
                "properties": {
                    "ref": NAME,
                    "dependsOn": {"type": "array", "uniqueItems": True, "items": NAME},
                },
            },
        },
    },
}


def of_the_daemon(python: str = "3.10") -> dict[str, Any]:
    return daemon_sbom([pin for pin in read_lock(LOCK) if pin.applies(python)], load())


def documents() -> dict[str, dict[str, Any]]:
    return {"daemon": of_the_daemon(), "bundle": bundle_sbom(load_bundle(BUNDLE))}


@pytest.mark.parametrize("kind", ["daemon", "bundle"])
def test_its_shape_is_that_of_the_specification(kind: str) -> None:
    document = documents()[kind]
    jsonschema.validate(document, SHAPE)
    refs = [one["bom-ref"] for one in document["components"]]
    refs.append(document["metadata"]["component"]["bom-ref"])
    assert len(set(refs)) == len(refs)
    assert {one["ref"] for one in document["dependencies"]} == set(refs)
    assert {ref for one in document["dependencies"] for ref in one["dependsOn"]} <= set(refs)


@pytest.mark.parametrize("kind", ["daemon", "bundle"])
def test_everything_in_it_is_needed_by_something(kind: str) -> None:
    document = documents()[kind]
    needs = {one["ref"]: one["dependsOn"] for one in document["dependencies"]}
    reached, coming = set(), [document["metadata"]["component"]["bom-ref"]]
    while coming:
        ref = coming.pop()
        if ref not in reached:
            reached.add(ref)
            coming += needs[ref]
    assert reached == set(needs)


def test_the_same_every_time_and_another_of_something_else() -> None:
    first, second = as_json(of_the_daemon()), as_json(of_the_daemon())
    assert first == second
    assert of_the_daemon()["serialNumber"] != of_the_daemon("3.12")["serialNumber"]


def test_the_daemons_names_every_release_with_its_digests_and_a_licence() -> None:
    document = of_the_daemon("3.12")
    found = {one["name"]: one for one in document["components"]}
    text = LOCK.read_text("utf-8")
    assert {"numpy", "openvino", "paho-mqtt", "pydantic"} <= set(found)
    for one in found.values():
        assert f"{one['name']}=={one['version']}" in text
        assert one["hashes"]
        assert one["licenses"]
        assert all(f"--hash=sha256:{digest['content']}" in text for digest in one["hashes"])
    assert document["metadata"]["component"]["version"] == __version__
    (root,) = [one for one in document["dependencies"] if "leukoedge" in one["ref"]]
    assert any(ref.startswith("pkg:pypi/numpy@") for ref in root["dependsOn"])


def test_what_one_python_needs_and_another_does_not() -> None:
    old, new = (
        {one["name"]: one["version"] for one in of_the_daemon(v)["components"]}
        for v in ("3.10", "3.12")
    )
    assert "tomli" in old
    assert "tomli" not in new
    assert "colorama" not in old  # Windows
    assert old["numpy"] != new["numpy"]


def test_a_bundles_names_every_file_and_every_source_of_data() -> None:
    document = bundle_sbom(load_bundle(BUNDLE))
    files = {one["name"]: one for one in document["components"] if "file:" in one["bom-ref"]}
    assert set(files) == {path.name for path in BUNDLE.iterdir()} - {"bundle.json"}
    for name, one in files.items():
        (digest,) = one["hashes"]
        assert digest["content"] == hashlib.sha256((BUNDLE / name).read_bytes()).hexdigest()
    data = {one["name"]: one for one in document["components"] if one["type"] == "data"}
    manifest = json.loads((BUNDLE / "bundle.json").read_text("utf-8"))
    sources = manifest["provenance"]["data"]
    assert {one["name"]: one["licence"] for one in sources} == {
        name: one["licenses"][0]["license"]["name"] for name, one in data.items()
    }
    (whole,) = document["metadata"]["component"]["hashes"]
    assert whole["content"] == hashlib.sha256((BUNDLE / "bundle.json").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("numpy>=1.26\n", "'numpy>=1.26' is no pinned release"),
        ("numpy==1.26\n", "numpy 1.26 has no digest"),
        ("# nothing\n", "pins nothing"),
        ("a==1 ; nonsense \\\n    --hash=sha256:" + "0" * 64, "a: "),
    ],
)
def test_a_lock_that_is_none_gets_one_line(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "lock.txt").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(line)):
        read_lock(tmp_path / "lock.txt")


def test_at_the_prompt(
    prompt: Prompt,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    words = ["sbom", "daemon", "--lock", str(LOCK)]
    assert re.fullmatch(r"out\.json: \d+ components\n", done(prompt(*words, "--out", "out.json")))
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["metadata"]["timestamp"] == "2026-01-01T00:00:00+00:00"
    assert json.loads(done(prompt(*words))) == written
    assert json.loads(done(prompt("sbom", "bundle", str(BUNDLE))))["bomFormat"] == "CycloneDX"
    assert "numpy " in done(prompt("sbom", "licences", "--lock", str(LOCK)))
    (tmp_path / "strange.txt").write_text("no-such-package==1 \\\n    --hash=sha256:" + "0" * 64)
    told = prompt("sbom", "licences", "--lock", "strange.txt")
    assert (told.code, "NOT ALLOWED" in told.out) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("daemon", ConfigError.exit_code, "requirements/daemon.txt cannot be read"),
        ("daemon --python three", ConfigError.exit_code, "write a version such as 3.10"),
        ("bundle none", BundleError.exit_code, "none"),
        (f"bundle {BUNDLE} --out no/such/file", ConfigError.exit_code, "cannot be written"),
    ],
)
def test_bad_input_gets_one_line(
    prompt: Prompt,  # noqa: F811
    words: str,
    code: int,
    said: str,
) -> None:
    told = prompt("sbom", *words.split())
    assert told.code == code
    assert said in told.err
    assert len(told.err.splitlines()) == 1
