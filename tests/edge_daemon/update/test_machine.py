"""What an update must fit: never a guess."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import pytest

from edge_daemon import __version__
from edge_daemon.errors import UpdateError
from edge_daemon.update.machine import this_machine

PACKAGE = """\
Package: libc6
Status: install ok installed
Version: 2.35

Package: nvidia-jetpack
Status: {status}
Priority: standard
Version: 6.1+b123
"""


def jetson(root: Path, status: str | None) -> Path:
    for file in ("etc/nv_tegra_release", "var/lib/dpkg/status"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.0\n")
    if status is not None:
        (root / "var/lib/dpkg/status").write_text(PACKAGE.format(status=status))
    return root


def test_a_pc_has_no_jetpack(tmp_path: Path) -> None:
    machine = this_machine(root=tmp_path)

    assert (machine.daemon, machine.jetpack) == (__version__, None)


def test_a_jetson_says_which_jetpack_it_has(tmp_path: Path) -> None:
    assert this_machine(root=jetson(tmp_path, "install ok installed")).jetpack == "6.1"


@pytest.mark.parametrize("status", [None, "deinstall ok config-files"])
def test_a_jetson_that_does_not_say_takes_nothing_until_it_is_told(
    tmp_path: Path, status: str | None
) -> None:
    root = jetson(tmp_path, status)
    with pytest.raises(UpdateError, match=r"set \[update\] jetpack"):
        this_machine(root=root)
    assert this_machine("6.2", root).jetpack == "6.2"


def test_it_says_for_which_wheels_it_is(tmp_path: Path) -> None:
    machine = this_machine(root=tmp_path)

    assert machine.python == platform.python_version()
    assert machine.platform == f"linux_{platform.machine()}"
    assert machine.glibc is None or re.fullmatch(r"2\.\d+", machine.glibc)
