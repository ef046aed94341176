"""Enrolment hands out one folder, and its journal knows every certificate that there is."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.identity.authority import CERTIFICATE as AUTHORITY
from deploy.identity.authority import look_at, opened
from deploy.identity.enrolment import CONFIGURATION, enrol
from deploy.identity.errors import IdentityError
from deploy.identity.folders import hidden
from deploy.identity.journal import DUE, Use
from deploy.identity.names import parse_identity
from edge_daemon.config import load_config
from tests.deploy.laboratory import NOW, PASSPHRASE, Laboratory

SCOPE = parse_identity("lab/scope-1")
AT_BROKER = Use(broker=("mqtts://broker.lab.example:8883",))


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    return Laboratory(tmp_path / "lab")


def test_a_folder_holds_all_that_a_device_needs(laboratory: Laboratory) -> None:
    folder = laboratory.enrol("lab/scope-1")
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert files == {
        "identity.key": 0o600,
        "identity.pem": 0o644,
        "ca.pem": 0o644,
        "broker.toml": 0o644,
    }
    certificate = x509.load_pem_x509_certificate((folder / "identity.pem").read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=lab/scope-1"
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    (one,) = laboratory.issued("lab/scope-1")
    assert one.x509 == certificate
    assert "PRIVATE" not in (laboratory.pki / "journal.jsonl").read_text()


def test_the_section_of_its_configuration_is_read_by_the_device(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    use = Use(
        broker=("mqtts://n1.lab.example", "mqtts://n2.lab.example"), receipts=True, lies_at="/etc/x"
    )
    with opened(laboratory.pki, PASSPHRASE) as authority:
        done = enrol(authority, SCOPE, use, tmp_path / "out", NOW)
    file = tmp_path / "device.toml"
    section = (done.folder / CONFIGURATION).read_text()
    file.write_text(section + '[source]\nurl = "sim://"\n')
    config = load_config(file)
    assert (config.device.site, config.device.name) == ("lab", "scope-1")
    assert config.broker is not None
    assert config.broker.other_urls == ("mqtts://n2.lab.example",)
    assert str(config.broker.key_file) == "/etc/x/identity.key"
    assert config.broker.await_receipts


def test_a_device_that_is_enrolled_is_not_enrolled_twice(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    laboratory.enrol("lab/scope-1")
    with pytest.raises(IdentityError, match=r"lab/scope-1 is enrolled already, until .*renew it"):
        laboratory.enrol("lab/scope-1")
    assert len(laboratory.issued("lab/scope-1")) == 1


def test_the_same_call_again_changes_nothing(laboratory: Laboratory, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with opened(laboratory.pki, PASSPHRASE) as authority:
        assert enrol(authority, SCOPE, AT_BROKER, out, NOW).new
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with opened(laboratory.pki, PASSPHRASE) as authority:
        assert not enrol(authority, SCOPE, AT_BROKER, out, NOW).new
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert len(laboratory.issued("lab/scope-1")) == 1


def test_nothing_is_written_over(laboratory: Laboratory, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with (
        opened(laboratory.pki, PASSPHRASE) as authority,
        pytest.raises(IdentityError, match="out is there already: move it away"),
    ):
        enrol(authority, SCOPE, AT_BROKER, tmp_path / "out", NOW)
    assert laboratory.issued("lab/scope-1") == []


def test_a_folder_that_cannot_be_written_leaves_no_certificate(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with (
        opened(laboratory.pki, PASSPHRASE) as authority,
        pytest.raises(IdentityError, match="cannot be written"),
    ):
        enrol(authority, SCOPE, AT_BROKER, tmp_path / "file" / "out", NOW)
    assert laboratory.issued("lab/scope-1") == []


def test_a_journal_that_cannot_be_written_hands_out_nothing(
    laboratory: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deploy.identity.journal.write_whole", full)
    with (
        opened(laboratory.pki, PASSPHRASE) as authority,
        pytest.raises(IdentityError, match="No space left on device"),
    ):
        enrol(authority, SCOPE, AT_BROKER, tmp_path / "out", NOW)
    assert not (tmp_path / "out").exists()
    assert not hidden(tmp_path / "out").exists()
    assert laboratory.issued("lab/scope-1") == []


def test_a_renewal_has_a_new_key_and_the_old_certificate_counts_on(
    laboratory: Laboratory,
) -> None:
    old = laboratory.enrol("lab/scope-1")
    new = laboratory.enrol("lab/scope-1", again=True, when=NOW + timedelta(days=300))
    assert (old / "identity.key").read_bytes() != (new / "identity.key").read_bytes()
    assert (old / "broker.toml").read_bytes() == (new / "broker.toml").read_bytes()
    journal = look_at(laboratory.pki).journal
    then = NOW + timedelta(days=301)
    assert [journal.standing(one, then) for one in journal.issued] == ["replaced", "valid"]


def test_a_certificate_is_due_long_before_it_expires(laboratory: Laboratory) -> None:
    laboratory.enrol("lab/scope-1", lasts=timedelta(days=100))
    journal = look_at(laboratory.pki).journal
    (one,) = journal.issued
    moments = [timedelta(days=1), timedelta(days=101) - DUE, timedelta(days=101)]
    assert [journal.standing(one, NOW + moment) for moment in moments] == [
        "valid",
        "due",
        "expired",
    ]


def test_a_machine_is_replaced_by_revoking_it_and_enrolling_its_name_again(
    laboratory: Laboratory,
) -> None:
    laboratory.enrol("lab/scope-1")
    laboratory.revoke("lab/scope-1")
    with pytest.raises(IdentityError, match="is not enrolled, or was revoked: enrol it"):
        laboratory.enrol("lab/scope-1", again=True)
    laboratory.enrol("lab/scope-1")
    journal = look_at(laboratory.pki).journal
    assert [journal.standing(one, NOW) for one in journal.issued] == ["revoked", "valid"]


def test_an_expired_device_can_be_renewed(laboratory: Laboratory) -> None:
    laboratory.enrol("lab/scope-1", lasts=timedelta(days=1), when=NOW - timedelta(days=30))
    laboratory.enrol("lab/scope-1", again=True)
    journal = look_at(laboratory.pki).journal
    assert [journal.standing(one, NOW) for one in journal.issued] == ["expired", "valid"]


def test_during_a_change_of_authorities_a_device_trusts_both(
    laboratory: Laboratory, tmp_path: Path
) -> None:
    other = (Laboratory(tmp_path / "other").pki / AUTHORITY).read_bytes()
    folder = laboratory.enrol("lab/scope-1", also_trusted=other)
    assert len(x509.load_pem_x509_certificates((folder / "ca.pem").read_bytes())) == 2


@pytest.mark.parametrize(
    ("who", "use", "said"),
    [
        ("lab/scope-1", Use(), "say where its broker is: --broker"),
        ("lab/scope-1", Use(broker=("mqtt://b",)), "write mqtts://HOST"),
        ("lab/scope-1", Use(broker=("mqtts://a:b@c",)), "write mqtts://HOST"),
        ("lab/scope-1", Use(broker=("mqtts://b:port",)), "write mqtts://HOST"),
        ("lab/scope-1", Use(hosts=("lab.example",)), "only a server or a node has host names"),
        ("server:b", Use(), "say under which names it is reached: --host"),
        ("server:b", Use(hosts=("bank.example",)), "bank.example is outside of what"),
        ("server:b", Use(hosts=("b_.lab.example",)), "write a name in small letters"),
        ("server:b", Use(hosts=("lab.example",), broker=("mqtts://b",)), "no client of a broker"),
    ],
)
def test_what_does_not_fit_an_identity_issues_nothing(
    laboratory: Laboratory, tmp_path: Path, who: str, use: Use, said: str
) -> None:
    with (
        opened(laboratory.pki, PASSPHRASE) as authority,
        pytest.raises(IdentityError, match=said),
    ):
        enrol(authority, parse_identity(who), use, tmp_path / "out", NOW)
    assert look_at(laboratory.pki).journal.issued == ()
    assert not (tmp_path / "out").exists()


def test_many_at_once_wait_for_each_other(laboratory: Laboratory) -> None:
    names = [f"lab/scope-{number}" for number in range(6)]

    def enrol_one(name: str) -> None:
        with opened(laboratory.pki, PASSPHRASE) as authority:
            enrol(authority, parse_identity(name), AT_BROKER, laboratory.folder / name, NOW)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(enrol_one, names))
    assert sorted(one.name for one in look_at(laboratory.pki).journal.issued) == names
