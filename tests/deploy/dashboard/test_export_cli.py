"""The commands that take something out of the dashboard, or delete it."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from deploy.commands.dashboard import app
from edge_daemon.errors import LeukoError
from tests.deploy.dashboard.web.conftest import day, filled  # noqa: F401 - fixtures


@pytest.fixture
def said(filled: Path):  # noqa: F811
    """``said("token", "list")``: what the command prints, or its error in a line."""

    def call(*words: str) -> str:
        run = CliRunner().invoke(app, [*words, "--database", str(filled)])
        if isinstance(run.exception, LeukoError):
            return f"error: {run.exception}"
        assert run.exit_code == 0, run.output
        return run.output

    return call


def test_a_token_is_said_once_listed_and_revoked(said) -> None:
    made = said("token", "add", "lis", "--user", "rosa", "--role", "reviewer", "--days", "30")
    assert made.startswith("leuko_")
    assert said("token", "add", "lis", "--user", "rosa").startswith("error: token lis is there")

    listed = said("token", "list")
    assert "lis" in listed
    assert "rosa" in listed
    assert made.strip() not in listed
    said("token", "revoke", "lis")
    assert "revoked" in said("token", "list")


def test_a_purge_is_tried_done_and_certified(said, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    file = tmp_path / "key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    words = ("purge", "--by", "lena", "--reason", "a test", "--unsigned")

    tried = said(*words, "--before", "2000-01-01", "--dry-run")
    assert "frames: 0 rows" in tried
    assert "nothing was deleted" in tried
    (tmp_path / "r.toml").write_text("[retention]\nframes_days = 1\n")
    days = ("--settings", str(tmp_path / "r.toml"))
    told = said(*words, *days, "--dry-run").splitlines()[0]  # one slide is older than a day
    assert "of 1 slides" in told
    certificate = tmp_path / "certificate.json"
    done = said(*words, *days, "--key", str(file), "--out", str(certificate))
    assert told in done
    entry = json.loads(certificate.read_text())["entry"]
    assert (entry["what"], entry["user_name"], entry["reason"]) == ("purge", "lena", "a test")
    assert entry["gone"]["frames"]["sha256"] in told
    assert said(*words).startswith("error: say --before DATE")
    assert "error: rosa may not" in said(
        "purge", "--by", "rosa", "--reason", "x", "--before", "2000-01-01"
    )


def test_a_data_set_is_written_by_a_user_that_there_is(said, tmp_path: Path) -> None:
    out = str(tmp_path / "out")

    assert said("export-dataset", "--out", out, "--by", "nobody").startswith("error: there is no")
    assert "no cell to export" in said("export-dataset", "--out", out, "--by", "rosa")
    assert not Path(out).exists()


def test_the_certificate_is_signed_over_all_it_says(filled: Path) -> None:  # noqa: F811
    from deploy.dashboard.database.opening import Database
    from deploy.dashboard.retention.certificate import certificate
    from deploy.dashboard.review.records import record

    key = Ed25519PrivateKey.generate()
    with Database(filled) as database:
        with database.writing() as connection:
            number = record(connection, "lena", "purge", "frames before then", gone={})
        with database.reading() as connection:
            said = certificate(connection, number, key)

    signature = b64decode(said.pop("signature"))
    line = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    key.public_key().verify(signature, line)
