"""``kill -9`` at every step that reaches the disk: what was done is whole, or never was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from deploy.broker.checked import check
from deploy.broker.settings import BrokerProfile
from deploy.broker.written import write
from deploy.identity.authority import create, look_at, opened, revoke
from deploy.identity.enrolment import CERTIFICATE, enrol
from deploy.identity.folders import hidden
from deploy.identity.hosts import bounds
from deploy.identity.journal import Use
from deploy.identity.names import parse_identity
from tests.deploy.laboratory import NOW, PASSPHRASE

REPOSITORY = Path(__file__).parents[2]
SCOPE, SERVER = parse_identity("lab/scope-1"), parse_identity("server:broker")
AT_BROKER = Use(broker=("mqtts://broker.lab.example",))

# Does one thing, and is killed at the step that is given.
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.deploy import test_killed
folder, what, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
count = 0
def counted(real):
    def step(*arguments, **more):
        global count
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **more)
    return step
for name in ("fsync", "rename", "replace"):
    setattr(os, name, counted(getattr(os, name)))
getattr(test_killed, what)(folder)
"""


def enrol_scope(folder: Path) -> None:
    with opened(folder / "pki", PASSPHRASE) as authority:
        enrol(authority, SCOPE, AT_BROKER, folder / "out", NOW)


def revoke_scope(folder: Path) -> None:
    with opened(folder / "pki", PASSPHRASE) as authority:
        revoke(authority, authority.journal.of(SCOPE), "lost", NOW)


def write_broker(folder: Path) -> None:
    profile = BrokerProfile(address="127.0.0.1")
    write(folder / "broker", profile, folder / "server", [look_at(folder / "pki")], NOW)


def is_killed_at(folder: Path, what: str, step: int) -> bool:
    """False when it came to its end before that step."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), what, str(step)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create(tmp_path / "pki", "lab", bounds(["lab.example"]), PASSPHRASE, NOW)
    return tmp_path


STEPS = {"enrol_scope": 13, "revoke_scope": 6, "write_broker": 17}
"""Of each; the last of the tests comes to its end, which shows that none was left out."""


def steps(what: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("step", range(1, STEPS[what] + 2))


@steps("enrol_scope")
def test_an_enrolment_that_was_killed_is_made_up_for_by_the_next(folder: Path, step: int) -> None:
    assert is_killed_at(folder, "enrol_scope", step) == (step <= STEPS["enrol_scope"])
    known = {one.serial for one in look_at(folder / "pki").journal.issued}
    handed_out = folder / "out" / CERTIFICATE
    if handed_out.exists():
        assert x509.load_pem_x509_certificate(handed_out.read_bytes()).serial_number in known
    enrol_scope(folder)
    (one,) = look_at(folder / "pki").journal.issued
    assert x509.load_pem_x509_certificate(handed_out.read_bytes()) == one.x509
    assert known <= {one.serial}
    assert not hidden(folder / "out").exists()
    assert list((folder / "pki").glob("*.partial")) == []


@steps("revoke_scope")
def test_a_revocation_that_was_killed_is_never_carried_on_by_half(folder: Path, step: int) -> None:
    enrol_scope(folder)
    assert is_killed_at(folder, "revoke_scope", step) == (step <= STEPS["revoke_scope"])
    public = look_at(folder / "pki")
    assert public.list_is_complete or public.journal.revoked, "then the broker is not written"
    revoke_scope(folder)
    public = look_at(folder / "pki")
    assert public.list_is_complete
    assert len(public.journal.revoked) == 1


@steps("write_broker")
def test_a_broker_that_was_killed_while_it_was_written_is_the_old_or_the_new(
    folder: Path, step: int
) -> None:
    with opened(folder / "pki", PASSPHRASE) as authority:
        enrol(authority, SERVER, Use(hosts=("lab.example",)), folder / "server", NOW)
    write_broker(folder)
    enrol_scope(folder)
    assert is_killed_at(folder, "write_broker", step) == (step <= STEPS["write_broker"])
    if (folder / "broker").exists():  # or it is put back by the next call
        assert check(folder / "broker", NOW) == []
    write_broker(folder)
    assert check(folder / "broker", NOW) == []
    assert "user lab/scope-1" in (folder / "broker" / "access.acl").read_text()
    assert [path.name for path in folder.glob(".*")] == []
