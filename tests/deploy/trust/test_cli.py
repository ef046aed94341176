"""``leuko-deploy repo`` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.trust.passphrases import VARIABLE
from edge_daemon.errors import UpdateError
from edge_daemon.update.trust import provision
from tests.deploy.trust.fleet import PASSPHRASE, Device, write_paper_bundle, write_wheel
from tests.edge_daemon.update.web import served

Deploy = Callable[..., subprocess.CompletedProcess[str]]

PROGRAM = """
import sys
from deploy.cli import main
sys.argv[0] = "leuko-deploy"
main()
"""


@pytest.fixture
def deploy(tmp_path: Path, repository: Path) -> Deploy:
    def run(*arguments: object, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "repo", *map(str, arguments)],
            cwd=repository,
            env={"PATH": "", VARIABLE: PASSPHRASE},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == expect or (expect is None and done.returncode), done.stderr
        return done

    return run


@pytest.fixture
def made(deploy: Deploy, tmp_path: Path) -> Path:
    deploy("init", tmp_path / "repo", "--keys", tmp_path / "keys")
    return tmp_path / "repo"


def test_from_nothing_to_a_device(deploy: Deploy, made: Path, tmp_path: Path) -> None:
    """The way of docs/fleet/trust.md, over HTTP at the end."""
    keys = ("--keys", tmp_path / "keys")
    bundle = write_paper_bundle(tmp_path / "in", "0.1.0")
    deploy("add", made, bundle, *keys, "--min-daemon", "0.1", "--jetpack", ">=6.1,<7")
    deploy("add", made, write_wheel(tmp_path / "dist", "0.2.0"), *keys, "--tensorrt", ">=10.3")
    deploy("add", made, bundle, *keys, "--as-version", "0.3.0")
    waiting = json.loads(deploy("show", made, "--json").stdout)
    deploy("publish", made, *keys)
    shown = json.loads(deploy("show", made, "--json").stdout)
    checked = deploy("check", made).stdout

    assert {one["path"]: one["published"] for one in waiting["targets"]} == {
        "bundles/paper-0.1.0.tar": False,
        "bundles/paper-0.3.0.tar": False,
        "daemon/leukoedge-0.2.0-py3-none-any.whl": False,
    }
    assert all(one["published"] for one in shown["targets"])
    assert shown["targets"][0]["compatibility"] == {
        "min_daemon": "0.1",
        "jetpack": {"at_least": "6.1", "below": "7"},
    }
    assert shown["targets"][1]["reissue_of"] == "0.1.0"
    assert checked.endswith("sound, 3 on offer\n")
    with served(made) as web:
        over_http = deploy("check", web.url, "--root", made / "metadata" / "1.root.json").stdout
    assert over_http.endswith("sound, 3 on offer\n")


def test_keys_are_exchanged_and_lists_renewed(deploy: Deploy, made: Path, tmp_path: Path) -> None:
    keys = ("--keys", tmp_path / "keys")
    root = min((tmp_path / "keys").glob("root-*.pem"))
    for role in ("targets", "snapshot", "timestamp"):
        said = deploy("rotate", made, role, *keys).stdout
        assert (tmp_path / "keys" / said.partition(": ")[0]).is_file()
    deploy("rotate", made, "root", "--replace", root.stem.removeprefix("root-"), *keys)
    root.unlink()
    deploy("renew", made, "root", *keys)
    assert "now publish" in deploy("renew", made, "targets", *keys).stdout
    deploy("publish", made, *keys)

    assert "root      v9 " in deploy("show", made).stdout
    deploy("check", made)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "REPO", "ABSENT", "--keys", "KEYS"), "name a bundle's folder or a daemon's wheel"),
        (("add", "REPO", "REPO", "--keys", "KEYS"), "has no bundle.json"),
        (("add", "ABSENT", "BUNDLE", "--keys", "KEYS"), "cannot work in"),
        (("add", "REPO", "BUNDLE", "--keys", "ABSENT"), "name the folder that has it with --keys"),
        (("add", "REPO", "BUNDLE", "--keys", "KEYS", "--jetpack", "6.1"), "is no range such as"),
        (("add", "REPO", "BUNDLE", "--keys", "KEYS", "--jetpack", ">=7,<6"), "is no range such as"),
        (("add", "REPO", "BUNDLE", "--keys", "KEYS", "--min-daemon", "new"), "is no version such"),
        (("publish", "KEYS", "--keys", "KEYS"), "is no repository; make one with"),
        (("rotate", "REPO", "root", "--replace", "0", "--keys", "KEYS"), "say which to replace"),
        (("show", "KEYS"), "is no repository; make one with"),
        (("check", "KEYS"), "name the root that devices pin with --root"),
        (("init", "REPO", "--keys", "KEYS"), "is not an empty folder"),
    ],
)
def test_a_mistake_is_one_line(
    deploy: Deploy, made: Path, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    places = {
        "REPO": made,
        "KEYS": tmp_path / "keys",
        "ABSENT": tmp_path / "absent",
        "BUNDLE": write_paper_bundle(tmp_path / "in", "0.1.0"),
    }
    done = deploy(*(places.get(one, one) for one in arguments), expect=None)

    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_that_the_device_would_refuse_does_not_pass(
    deploy: Deploy, made: Path, tmp_path: Path
) -> None:
    (made / "metadata" / "1.snapshot.json").write_bytes(b"")
    done = deploy("check", made, expect=UpdateError.exit_code)

    assert "copied halfway" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_first_root_is_what_a_device_pins(made: Path, tmp_path: Path) -> None:
    provision(tmp_path / "device", (made / "metadata" / "1.root.json").read_bytes())

    assert Device(tmp_path / "device", str(made)).versions() == []


def test_help_loads_no_tuf_and_no_cryptography(repository: Path) -> None:
    ask = (
        "import sys\nfrom deploy.cli import main\nsys.argv = ['leuko-deploy', 'repo', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert not {'tuf', 'cryptography', 'urllib3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", ask], cwd=repository, check=True, capture_output=True)
