"""What comes into the repository: sound, described, and never changed afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.trust.add import Added, add
from deploy.trust.errors import TrustError
from edge_daemon import __version__
from edge_daemon.commands.models import find_bundle
from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.target import Compatibility, ReleaseRange, TargetAbout
from edge_daemon.errors import BundleError, LeukoError
from tests.deploy.trust.fleet import Fleet, write_paper_bundle, write_wheel


@pytest.fixture
def put(fleet: Fleet) -> Callable[..., Added]:
    def put(source: Path, **options: object) -> Added:
        return add(fleet.repository, source, fleet.ring(), utc_now(), **options)  # type: ignore[arg-type]

    return put


def about(fleet: Fleet, path: str) -> TargetAbout:
    root = fleet.repository.root().signed
    return TargetAbout.model_validate(
        fleet.repository.newest_targets(root).signed.targets[path].custom
    )


def unchanged(fleet: Fleet) -> Callable[[], bool]:
    """Is everything but the lock as it is now?"""

    def state() -> dict[Path, bytes]:
        files = (path for path in fleet.repository.folder.rglob("*") if path.is_file())
        return {path: path.read_bytes() for path in files}

    before = state()
    return lambda: state() == before


class TestBundles:
    def test_it_is_described_with_version_compatibility_and_figures(
        self, fleet: Fleet, put: Callable[..., Added], tmp_path: Path
    ) -> None:
        source = write_paper_bundle(tmp_path / "in", "0.1.0")
        fits = Compatibility(min_daemon="0.4.0", tensorrt=ReleaseRange(at_least="10.3"))
        put(source, compatibility=fits)
        said = about(fleet, "bundles/paper-0.1.0.tar")

        assert (said.kind, said.name, said.version) == ("bundle", "paper", "0.1.0")
        assert said.digest == load_bundle(source).digest
        assert said.compatibility == fits
        figures = {name: float(value) for name, value in said.figures.items()}
        assert figures == load_bundle(source).manifest.metrics

    def test_the_same_folder_is_the_same_bytes(
        self, fleet: Fleet, put: Callable[..., Added], tmp_path: Path
    ) -> None:
        """Neither order, times, owners, rights nor strangers in the folder come into it."""
        source = write_paper_bundle(tmp_path / "in", "0.1.0")
        put(source)
        other = Fleet.founded(tmp_path / "other")
        copy = tmp_path / "copy" / "any-name"
        copy.mkdir(parents=True)
        for file in sorted(source.iterdir(), reverse=True):
            shutil.copyfile(file, copy / file.name)
            os.utime(copy / file.name, (1, 1))
            (copy / file.name).chmod(0o600)
        (copy / "notes.txt").write_text("not of the bundle")
        add(other.repository, copy, other.ring(), utc_now())

        names = [
            sorted(file.name for file in (one.repository.targets / "bundles").iterdir())
            for one in (fleet, other)
        ]
        assert names[0] == names[1]  # which begin with the digest

    def test_the_archive_is_a_plain_tar_that_anybody_can_look_into(
        self, fleet: Fleet, put: Callable[..., Added], tmp_path: Path
    ) -> None:
        put(write_paper_bundle(tmp_path / "in", "0.1.0"))
        (file,) = (fleet.repository.targets / "bundles").iterdir()
        with tarfile.open(file, "r:") as tar:
            names = tar.getnames()

        assert names == [
            "paper-0.1.0/bundle.json",
            "paper-0.1.0/classifier.fp32.onnx",
            "paper-0.1.0/detector.fp32.onnx",
            "paper-0.1.0/golden.npz",
        ]

    @pytest.mark.parametrize("fault", ["altered", "missing", "no manifest", "another schema"])
    def test_what_the_daemon_refuses_is_refused(
        self, fleet: Fleet, put: Callable[..., Added], tmp_path: Path, fault: str
    ) -> None:
        source = write_paper_bundle(tmp_path / "in", "0.1.0")
        is_unchanged = unchanged(fleet)
        if fault == "altered":
            (source / "golden.npz").write_bytes(b"x" * 17)
        elif fault == "missing":
            (source / "golden.npz").unlink()
        elif fault == "no manifest":
            (source / "bundle.json").unlink()
        else:
            manifest = json.loads((source / "bundle.json").read_text())
            manifest["schema"] = "leukoedge.bundle/9"
            (source / "bundle.json").write_text(json.dumps(manifest))
        with pytest.raises(BundleError):
            put(source)

        assert is_unchanged()

    def test_the_very_same_again_is_no_fault_and_no_change(
        self, fleet: Fleet, put: Callable[..., Added], tmp_path: Path
    ) -> None:
        source = write_paper_bundle(tmp_path / "in", "0.1.0")
        assert not put(source).was_there
        is_unchanged = unchanged(fleet)

        assert put(source).was_there
        assert is_unchanged()

    @pytest.mark.parametrize("published", [True, False])
    def test_a_version_never_changes_its_content(
        self, fleet: Fleet, put: Callable[..., Added], tmp_path: Path, published: bool
    ) -> None:
        put(write_paper_bundle(tmp_path / "one", "0.1.0", b"this"))
        if published:
            fleet.publish()
        is_unchanged = unchanged(fleet)
        with pytest.raises(TrustError, match="with other content: a published version never"):
            put(write_paper_bundle(tmp_path / "two", "0.1.0", b"that"))

        assert is_unchanged()

    def test_nor_its_description(self, put: Callable[..., Added], tmp_path: Path) -> None:
        source = write_paper_bundle(tmp_path / "in", "0.1.0")
        put(source)
        with pytest.raises(TrustError, match="described otherwise"):
            put(source, compatibility=Compatibility(min_daemon="9.0.0"))

    @pytest.mark.parametrize("version", ["0.1.0", "0.0.9", "next"])
    def test_old_content_comes_back_only_under_a_higher_version(
        self, put: Callable[..., Added], tmp_path: Path, version: str
    ) -> None:
        source = write_paper_bundle(tmp_path / "in", "0.1.0")
        with pytest.raises(TrustError, match=r"is not higher than 0\.1\.0"):
            put(source, as_version=version)

    def test_a_reissue_is_a_semantic_version_as_every_bundle(
        self, fleet: Fleet, put: Callable[..., Added], tmp_path: Path
    ) -> None:
        source = write_paper_bundle(tmp_path / "in", "0.1.0")
        is_unchanged = unchanged(fleet)
        with pytest.raises(BundleError, match="version"):
            put(source, as_version="7")

        assert is_unchanged()

    def test_the_bundle_that_ships_goes_in(self, fleet: Fleet, put: Callable[..., Added]) -> None:
        shipped = find_bundle(None)
        put(shipped.path)
        said = about(fleet, f"bundles/{shipped.label}.tar")

        figure = shipped.manifest.metrics["classifier.on_black.auroc"]
        assert float(said.figures["classifier.on_black.auroc"]) == figure


class TestWheels:
    def test_a_daemon_goes_in_as_it_is(
        self, fleet: Fleet, put: Callable[..., Added], tmp_path: Path
    ) -> None:
        wheel = write_wheel(tmp_path / "dist", "0.2.0")
        added = put(wheel, compatibility=Compatibility(jetpack=ReleaseRange(at_least="6.1")))
        fleet.publish()

        assert added.path == "daemon/leukoedge-0.2.0-py3-none-any.whl"
        assert fleet.device().fetched("0.2.0").read_bytes() == wheel.read_bytes()
        assert about(fleet, added.path).compatibility.jetpack == ReleaseRange(at_least="6.1")

    def test_the_wheel_of_this_checkout_goes_in(
        self, put: Callable[..., Added], tmp_path: Path, repository: Path
    ) -> None:
        pytest.importorskip("hatchling", reason="make venv installs the build backend")
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
        subprocess.run(build, cwd=repository, check=True, capture_output=True)
        (wheel,) = tmp_path.glob("*.whl")

        assert put(wheel).path == f"daemon/leukoedge-{__version__}-py3-none-any.whl"

    def test_a_version_never_changes_its_content(
        self, put: Callable[..., Added], tmp_path: Path
    ) -> None:
        put(write_wheel(tmp_path / "one", "0.2.0"))
        with pytest.raises(TrustError, match="a published version never changes"):
            put(write_wheel(tmp_path / "two", "0.2.0", code="# another"))

    def test_nor_under_another_name_of_the_file(
        self, put: Callable[..., Added], tmp_path: Path
    ) -> None:
        put(write_wheel(tmp_path / "dist", "0.2.0"))
        again = write_wheel(tmp_path / "other", "0.2.0", code="# another")
        with pytest.raises(TrustError, match="a published version never changes"):
            put(again.rename(again.with_name("leukoedge-0.2.0-py3-none-linux_aarch64.whl")))

    def test_a_wheel_cannot_be_given_another_version(
        self, put: Callable[..., Added], tmp_path: Path
    ) -> None:
        with pytest.raises(TrustError, match="a wheel says its version inside"):
            put(write_wheel(tmp_path / "dist", "0.2.0"), as_version="0.3.0")

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    @pytest.mark.parametrize(
        ("damage", "why"),
        [
            ("another package", "named leukoedge-VERSION"),
            ("renamed", "inside it says that it is numpy 0.2.0"),
            ("version in its name only", "there is no METADATA"),
            ("no zip", "is no sound wheel"),
            ("truncated", "is no sound wheel"),
            ("altered inside", "is not what its RECORD says"),
            ("a stranger inside", "in one of it and its RECORD"),
            ("zip-slip", "leads out of it"),
            ("absolute", "leads out of it"),
            ("symbolic link", "is not a plain file"),
            ("twice", "is in it twice"),
        ],
    )
    def test_what_is_no_leukoedge_wheel_is_refused(
        self, fleet: Fleet, put: Callable[..., Added], tmp_path: Path, damage: str, why: str
    ) -> None:
        wheel = damaged(write_wheel(tmp_path / "dist", "0.2.0"), damage)
        is_unchanged = unchanged(fleet)
        with pytest.raises(TrustError, match=why) as caught:
            put(wheel)

        assert "\n" not in str(caught.value)
        assert is_unchanged()


@pytest.mark.parametrize("source", ["absent", "text.txt"])
def test_what_is_neither_is_refused(put: Callable[..., Added], tmp_path: Path, source: str) -> None:
    (tmp_path / "text.txt").write_text("a note")
    with pytest.raises(LeukoError, match=r"name a bundle's folder|is refused"):
        put(tmp_path / source)


def damaged(wheel: Path, damage: str) -> Path:
    """A wheel as somebody might hand it over."""
    if damage == "another package":
        return write_wheel(wheel.parent, "0.2.0", name="numpy")
    if damage == "renamed":
        other = write_wheel(wheel.parent, "0.2.0", name="numpy")
        with zipfile.ZipFile(other) as before, zipfile.ZipFile(wheel, "w") as after:
            for entry in before.infolist():
                name = entry.filename.replace("numpy-", "leukoedge-")
                after.writestr(name, before.read(entry).replace(b"numpy-", b"leukoedge-"))
        return wheel
    if damage == "version in its name only":
        return wheel.rename(wheel.with_name("leukoedge-0.3.0-py3-none-any.whl"))
    if damage == "no zip":
        wheel.write_bytes(b"a wheel")
    elif damage == "truncated":
        wheel.write_bytes(wheel.read_bytes()[:-30])
    elif damage == "altered inside":
        with zipfile.ZipFile(wheel) as before:
            entries = {entry.filename: before.read(entry) for entry in before.infolist()}
        with zipfile.ZipFile(wheel, "w") as after:
            for name, inner in entries.items():
                after.writestr(name, inner + (b"#" if name.endswith("__init__.py") else b""))
    else:
        _add_entry(wheel, damage)
    return wheel


def _add_entry(wheel: Path, damage: str) -> None:
    name = {
        "a stranger inside": "edge_daemon/stranger.py",
        "zip-slip": "../../evil.py",
        "absolute": "/evil.py",
        "symbolic link": "edge_daemon/link.py",
        "twice": "edge_daemon/__init__.py",
    }[damage]
    entry = zipfile.ZipInfo(name)
    if damage == "symbolic link":
        entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(entry, b"/etc/shadow")
