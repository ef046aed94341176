"""A bundle is loaded whole or not at all, and every refusal says which file and what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_daemon.contract.bundle import MANIFEST, load_bundle, newest_bundle, write_manifest
from edge_daemon.errors import BundleError
from tests.edge_daemon.tiny_bundle import write_tiny_bundle
from tests.soak import repeated

pytestmark = pytest.mark.soak

WARY = {"temperature": 2.0, "blast_threshold": 0.5, "abstain_band": [0.1, 0.9]}


def edit(bundle: Path, **changes: object) -> None:
    content = json.loads((bundle / MANIFEST).read_text())
    for key, value in changes.items():
        *tables, last = key.split("__")
        table = content
        for name in tables:
            table = table[name]
        if value is None:
            del table[last]
        else:
            table[last] = value
    (bundle / MANIFEST).write_text(json.dumps(content))


def test_a_good_bundle_loads_with_its_identity(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    assert bundle.label == "tiny-0.1.0"
    assert bundle.digest.startswith("sha256:")
    assert bundle.model("detector", "fp32") == tiny_bundle / "detector.fp32.onnx"


def test_the_identity_changes_with_any_file(tmp_path):
    one = load_bundle(write_tiny_bundle(tmp_path / "a"))
    other = load_bundle(write_tiny_bundle(tmp_path / "b", version="0.1.1"))
    assert one.digest != other.digest


def test_writing_what_was_read_gives_the_same_bytes(tiny_bundle):
    before = (tiny_bundle / MANIFEST).read_bytes()
    write_manifest(tiny_bundle, load_bundle(tiny_bundle).manifest)
    assert (tiny_bundle / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("name", ["detector.fp32.onnx", "classifier.fp32.onnx", "golden.npz"])
class TestFilesThatAreNotWhatTheManifestSays:
    def test_missing(self, tiny_bundle, name):
        (tiny_bundle / name).unlink()
        with pytest.raises(BundleError, match=f"{name} is missing from the bundle; copy"):
            load_bundle(tiny_bundle)

    def test_truncated(self, tiny_bundle, name):
        data = (tiny_bundle / name).read_bytes()
        (tiny_bundle / name).write_bytes(data[:-1])
        with pytest.raises(BundleError, match=f"{name} has {len(data) - 1} bytes, .* truncated"):
            load_bundle(tiny_bundle)

    def test_one_bit_altered(self, tiny_bundle, name):
        data = bytearray((tiny_bundle / name).read_bytes())
        data[len(data) // 2] ^= 1
        (tiny_bundle / name).write_bytes(data)
        with pytest.raises(BundleError, match=f"{name} does not have the digest"):
            load_bundle(tiny_bundle)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema": "leukoedge.bundle/2"}, "has schema 'leukoedge.bundle/2', this daemon reads"),
        ({"schema": None}, "has schema None"),
        ({"colour": "red"}, r"colour: Extra inputs are not permitted"),
        ({"version": "1.0"}, "version: String should match pattern"),
        ({"roles__detector": None}, "roles.detector: Field required"),
        ({"roles__classifier__calibrations": {"int8": WARY}}, "there is no int8 to calibrate"),
        (
            {"roles__classifier__calibrations": {"fp32": {**WARY, "novelty_limit": 2.0}}},
            "novelty_limit is in one of it and spec",
        ),
        (
            {"roles__classifier__calibrations": {"fp32": {**WARY, "abstain_band": [0.6, 0.9]}}},
            "abstain_band must enclose blast_threshold",
        ),
        ({"roles__detector__spec__strides": [7]}, "not a multiple of stride 7"),
        ({"roles__detector__spec__max_detections": 100}, "greater than or equal to 1000"),
        ({"roles__classifier__spec__abstain_band": [0.9, 0.1]}, "must enclose blast_threshold"),
        ({"roles__classifier__models": {"fp32": "../outside.onnx"}}, "should match pattern"),
        ({"roles__classifier__models": {"fp32": "other.onnx"}}, "'files' lacks other.onnx"),
    ],
)
def test_a_manifest_that_is_wrong_says_where(tiny_bundle, changes, told):
    edit(tiny_bundle, **changes)
    with pytest.raises(BundleError, match=told) as error:
        load_bundle(tiny_bundle)
    assert "\n" not in str(error.value)
    assert str(tiny_bundle / MANIFEST) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"schema": 1}'])
def test_a_manifest_that_is_no_manifest_is_refused(tiny_bundle, content):
    (tiny_bundle / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError):
        load_bundle(tiny_bundle)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"has no bundle\.json; name the folder of a bundle"):
        load_bundle(tmp_path)
    with pytest.raises(BundleError, match="is not a folder"):
        load_bundle(tmp_path / "nowhere")


@given(cut=st.floats(0, 1, exclude_max=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=repeated(25))
def test_a_manifest_cut_anywhere_is_refused(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("cut")
    bundle = write_tiny_bundle(folder)
    text = (bundle / MANIFEST).read_bytes()
    (bundle / MANIFEST).write_bytes(text[: int(cut * (len(text) - 2))])
    with pytest.raises(BundleError):
        load_bundle(bundle)
    shutil.rmtree(folder)


def test_the_newest_bundle_is_by_version_not_by_name(tmp_path):
    for version in ("0.9.0", "0.10.0", "0.2.11"):
        write_tiny_bundle(tmp_path, version=version)
    (tmp_path / "not-a-bundle-9.9.9").mkdir()
    assert newest_bundle(tmp_path) == tmp_path / "tiny-0.10.0"


def test_no_bundle_at_all_says_what_to_do(tmp_path):
    with pytest.raises(BundleError, match="name one with --bundle DIR"):
        newest_bundle(tmp_path)
