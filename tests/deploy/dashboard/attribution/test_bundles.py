"""The bundle that judged a cell is found by its digest, or named as missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.dashboard.attribution.bundles import Bundles
from deploy.dashboard.attribution.errors import AttributionError
from deploy.dashboard.attribution.networks import MOST_OPEN, Networks
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.errors import ConfigError
from tests.edge_daemon.tiny_bundle import write_tiny_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bundles").mkdir()
    return tmp_path / "bundles"


def test_a_folder_of_bundles_and_a_bundle_are_both_looked_into(folder: Path) -> None:
    one, other = write_tiny_bundle(folder, "0.1.0"), write_tiny_bundle(folder, "0.2.0")
    (folder / "half-copied").mkdir()
    (folder / "half-copied" / "bundle.json").write_text('{"name": "ti')
    (folder / "notes.txt").write_text("not a bundle")

    assert Bundles([folder]).find(load_bundle(other).digest, None) == other
    assert Bundles([one]).find(load_bundle(one).digest, "tiny-0.1.0") == one
    with pytest.raises(AttributionError):
        Bundles([one]).find(load_bundle(other).digest, None)


def test_one_that_is_copied_there_later_is_found_without_a_start(folder: Path) -> None:
    bundles = Bundles([folder])
    bundle = write_tiny_bundle(folder.parent / "elsewhere")
    digest = load_bundle(bundle).digest
    with pytest.raises(AttributionError, match=r"the bundle tiny-0\.1\.0 \(sha256:.{12}\), which"):
        bundles.find(digest, "tiny-0.1.0")

    shutil.copytree(bundle, folder / bundle.name)

    assert bundles.find(digest, "tiny-0.1.0") == folder / bundle.name


def test_the_same_name_with_other_content_is_not_taken_for_it(folder: Path) -> None:
    write_tiny_bundle(folder)
    with pytest.raises(AttributionError, match=r"is another one than judged this cell"):
        Bundles([folder]).find("sha256:" + "a" * 64, "tiny-0.1.0")


def test_a_cell_of_no_known_bundle_says_so(folder: Path) -> None:
    with pytest.raises(AttributionError, match="did not say which bundle"):
        Bundles([folder]).find(None, None)
    with pytest.raises(AttributionError, match="of unknown name"):
        Bundles([folder]).find("sha256:" + "a" * 64, None)


def test_what_is_no_folder_is_refused_at_the_start(folder: Path) -> None:
    (folder / "file").write_text("")
    for wrong in (folder / "absent", folder / "file"):
        with pytest.raises(ConfigError, match=f"--bundles {wrong} is no folder"):
            Bundles([wrong])


def test_few_bundles_are_kept_open(folder: Path) -> None:
    versions = [write_tiny_bundle(folder, f"0.{n}.0") for n in range(MOST_OPEN + 1)]
    networks = Networks(Bundles([folder]))
    digests = [load_bundle(one).digest for one in versions]
    opened = [networks.judge_of(digest, None) for digest in digests]

    assert networks.judge_of(digests[-1], None) is opened[-1]
    assert networks.judge_of(digests[0], None) is not opened[0], "the oldest was let go"
    networks.close()


@pytest.mark.parametrize("harm", ["altered", "truncated", "without its golden set"])
def test_a_bundle_that_is_not_what_its_manifest_says_is_told_in_a_line(
    folder: Path, harm: str
) -> None:
    bundle = write_tiny_bundle(folder)
    digest = load_bundle(bundle).digest
    network = bundle / "classifier.fp32.onnx"
    if harm == "altered":
        network.write_bytes(network.read_bytes()[:-1] + b"?")
    elif harm == "truncated":
        network.write_bytes(network.read_bytes()[:100])
    else:
        (bundle / "golden.npz").unlink()

    with pytest.raises(AttributionError, match=r"on this server cannot be used: .*copy the bundle"):
        Networks(Bundles([folder])).judge_of(digest, "tiny-0.1.0")
