"""Fixtures of the push plane's tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.push.devices import Ward


@pytest.fixture(scope="session")
def sshd() -> Path:
    """The program; it insists on its own whole path."""
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None or shutil.which("ssh") is None:
        pytest.skip("sshd is not installed; on Debian: apt-get install openssh-server")
    if os.geteuid() == 0:  # a folder that only a root's sshd asks for, and that a boot makes
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    return Path(program)


@pytest.fixture(scope="module")
def ward(sshd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """The devices, for all tests of a module."""
    pytest.importorskip("ansible_runner", reason="pip install 'leukoedge[ansible]'")
    ward = Ward(tmp_path_factory.mktemp("ward"), sshd)
    try:
        ward.start()
        yield ward
    finally:
        ward.stop()
