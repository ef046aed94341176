"""A daemon with all that it needs: what is missing, doubled or for another machine is told."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.trust.add import add
from deploy.trust.errors import TrustError
from deploy.trust.wheelhouse import read_wheelhouse
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.target import Machine, TargetAbout
from tests.deploy.trust.fleet import PASSPHRASE, Fleet
from tests.edge_daemon.update.versions import write_stand_in

JETSON = "manylinux2014_aarch64.manylinux_2_17_aarch64"


def write_dependency(
    folder: Path, name: str, tags: str = "py3-none-any", requires: str = ""
) -> Path:
    """A wheel of nothing but what it says of itself."""
    info = f"{name}-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    wheel = folder / f"{name}-1.0-{tags}.whl"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}"
        )
    return wheel


@pytest.fixture
def house(tmp_path: Path) -> Path:
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    return folder


@pytest.fixture
def daemon(tmp_path: Path) -> Callable[[str], Path]:
    return lambda requires="": write_stand_in(tmp_path / "dist", "0.2.0", requires=requires)


def test_an_archive_holds_the_wheels_and_a_lock_of_them(
    fleet: Fleet, daemon: Callable[[str], Path], house: Path
) -> None:
    write_dependency(house, "deep", f"cp310-cp310-{JETSON}", requires="deeper>=1")
    write_dependency(house, "deeper", "cp37-abi3-manylinux_2_28_aarch64")
    added = add(fleet.repository, daemon("deep"), fleet.ring(), utc_now(), wheelhouse=house)
    fleet.publish()

    assert added.path == "daemon/leukoedge-0.2.0-cp310-linux_aarch64.tar"
    with tarfile.open(fleet.device().fetched("0.2.0"), "r:") as tar:
        names = [name.removeprefix("leukoedge-0.2.0/") for name in tar.getnames()]
        lock = tar.extractfile("leukoedge-0.2.0/requirements.txt")
        assert lock is not None
        lines = lock.read().decode().splitlines()
    assert sorted(names) == sorted(
        [
            "leukoedge-0.2.0-py3-none-any.whl",
            f"deep-1.0-cp310-cp310-{JETSON}.whl",
            "deeper-1.0-cp37-abi3-manylinux_2_28_aarch64.whl",
            "requirements.txt",
        ]
    )
    assert [line.partition(" --hash=sha256:")[0] for line in lines] == [
        "leukoedge[update]==0.2.0",
        "deep==1.0",
        "deeper==1.0",
    ]


def test_it_is_said_which_machines_it_is_for(
    fleet: Fleet, daemon: Callable[[str], Path], house: Path
) -> None:
    write_dependency(house, "deep", f"cp310-cp310-{JETSON}")
    write_dependency(house, "deeper", "cp37-abi3-manylinux_2_28_aarch64")
    added = add(fleet.repository, daemon(""), fleet.ring(), utc_now(), wheelhouse=house)
    root = fleet.repository.root().signed
    custom = fleet.repository.newest_targets(root).signed.targets[added.path].custom
    fits = TargetAbout.model_validate(custom).compatibility

    jetson = Machine("0.1.0", python="3.10.12", glibc="2.35", platform="linux_aarch64")
    assert fits.objection(jetson) is None
    for other, why in (
        ({"python": "3.12.3"}, "it is for Python >=3.10,<3.11, and here is 3.12.3"),
        ({"glibc": "2.27"}, "it is for glibc >=2.28, and here is 2.27"),
        ({"platform": "linux_x86_64"}, "it is for linux_aarch64, and this is linux_x86_64"),
    ):
        changed = Machine(**{**jetson.__dict__, **other})
        assert fits.objection(changed) == why


def test_one_version_is_there_once_for_each_kind_of_machine(
    fleet: Fleet, daemon: Callable[[str], Path], house: Path, tmp_path: Path
) -> None:
    wheel = daemon("")
    write_dependency(house, "deep", f"cp310-cp310-{JETSON}")
    other = tmp_path / "other"
    write_dependency(other, "deep", "cp311-cp311-manylinux_2_28_x86_64")
    for folder in (house, other):
        add(fleet.repository, wheel, fleet.ring(), utc_now(), wheelhouse=folder)
    assert add(fleet.repository, wheel, fleet.ring(), utc_now(), wheelhouse=house).was_there

    write_dependency(house, "another")
    with pytest.raises(TrustError, match="a published version never changes"):
        add(fleet.repository, wheel, fleet.ring(), utc_now(), wheelhouse=house)


@pytest.mark.parametrize(
    ("fill", "requires", "why"),
    [
        ((), "deep>=1", "lacks deep>=1, which leukoedge needs"),
        (("deep",), "deep>=2", "has deep 1.0, and leukoedge needs deep>=2"),
        ((), 'deep; extra == "update"', "lacks deep"),
        (("deep:deeper",), "deep", "lacks deeper, which deep needs"),
        (("deep", "deep@cp310-cp310-linux_aarch64"), "", "deep is there in several files"),
        (("a@cp310-cp310-linux_aarch64", "b@cp311-cp311-linux_aarch64"), "", "several Pythons"),
        (("a@cp310-cp310-linux_aarch64", "b@cp310-cp310-linux_x86_64"), "", "several processors"),
        (("a@cp310-cp310-win_amd64",), "", "is not for Linux"),
        (("notes.txt",), "", "is no wheel; a wheelhouse holds nothing else"),
        (("deep-1.0-py3-none-any.whl",), "", "is no sound wheel"),
    ],
)
def test_what_would_not_install_is_refused_before_anybody_signs(
    daemon: Callable[[str], Path], house: Path, fill: tuple[str, ...], requires: str, why: str
) -> None:
    for what in fill:
        if "." in what:
            (house / what).write_text("not a wheel")
            continue
        name, _, tags = what.partition("@")
        name, _, needs = name.partition(":")
        write_dependency(house, name, tags or "py3-none-any", needs)

    with pytest.raises(TrustError, match=why) as caught:
        read_wheelhouse(daemon(requires), house)

    assert "\n" not in str(caught.value)


def test_a_wheelhouse_that_is_not_there_and_one_for_a_bundle_are_refused(
    fleet: Fleet, daemon: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(TrustError, match="name a wheelhouse"):
        read_wheelhouse(daemon(""), tmp_path / "absent")
    with pytest.raises(TrustError, match="goes with a daemon's wheel"):
        add(fleet.repository, tmp_path, fleet.ring(), utc_now(), wheelhouse=tmp_path)


def test_the_command_line_takes_it(
    fleet: Fleet, daemon: Callable[[str], Path], house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUKO_REPO_PASSPHRASE", PASSPHRASE)
    place, keys = str(fleet.repository.folder), str(fleet.keys)
    arguments = ["repo", "add", place, str(daemon("")), "--keys", keys, "--wheelhouse", str(house)]
    said = CliRunner().invoke(app, arguments)
    assert "daemon/leukoedge-0.2.0-py3-any.tar: " in said.output, said.output
    shown = json.loads(CliRunner().invoke(app, ["repo", "show", place, "--json"]).output)
    assert shown["targets"][0]["compatibility"] == {"python": {"at_least": "3.10"}}
