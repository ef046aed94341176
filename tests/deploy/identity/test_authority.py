"""An authority vouches within its bounds, for leaves only, and only for who has the passphrase."""

from __future__ import annotations

import ssl
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from deploy.identity import certificates
from deploy.identity.authority import JOURNAL, REVOKED, create, find, look_at, opened, revoke
from deploy.identity.enrolment import CERTIFICATE, KEY, TRUSTED
from deploy.identity.errors import IdentityError
from deploy.identity.hosts import bounds
from deploy.identity.names import identity, parse_identity
from tests.deploy.identity.handshake import shake_hands
from tests.deploy.laboratory import HERE, NOW, PASSPHRASE, Laboratory


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    return Laboratory(tmp_path / "lab")


def test_the_key_is_on_disk_under_the_passphrase_and_for_its_owner(laboratory: Laboratory) -> None:
    key = laboratory.pki / "ca.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(laboratory.pki.stat().st_mode) == 0o700
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in key.read_bytes()
    with pytest.raises(TypeError, match="Password was not given"):
        serialization.load_pem_private_key(key.read_bytes(), None)


def test_a_device_and_the_broker_believe_each_other(laboratory: Laboratory) -> None:
    broker, device = laboratory.enrol("server:broker"), laboratory.enrol("lab/scope-1")
    shake_hands(broker, device, HERE)


@pytest.mark.parametrize("within", [["lab.example"], ["127.0.0.0/8"], ["10.0.0.0/8", "::1/128"]])
@pytest.mark.parametrize("who", ["lab.example/scope.1", "controller:a.b", "dashboard:lab.example"])
def test_bounds_on_hosts_are_none_on_clients(tmp_path: Path, within: list[str], who: str) -> None:
    """OpenSSL takes a common name that looks like a host for one (X509v3 name constraints)."""
    laboratory = Laboratory(tmp_path / "lab", within=within)
    host = {"lab.example": "lab.example", "127.0.0.0/8": HERE}.get(within[0], "10.0.0.1")
    shake_hands(laboratory.enrol("server:b", hosts=[host]), laboratory.enrol(who), host)


def test_a_device_cannot_pass_for_the_broker(laboratory: Laboratory) -> None:
    one, other = laboratory.enrol("lab/scope-1"), laboratory.enrol("lab/scope-2")
    with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
        shake_hands(one, other, HERE)


def test_the_broker_s_certificate_is_no_way_in(laboratory: Laboratory) -> None:
    broker = laboratory.enrol("server:broker")
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake_hands(broker, broker, HERE)


@pytest.mark.parametrize("host", ["bank.example", "10.0.0.1"])
def test_openssl_refuses_what_the_authority_signs_outside_of_its_bounds(
    laboratory: Laboratory, host: str
) -> None:
    """Even whoever has stolen its key cannot pass for another host."""
    device = laboratory.enrol("lab/scope-1")
    wide = bounds(["0.0.0.0/0", "example"])
    forged = laboratory.folder / "forged"
    forged.mkdir()
    key = certificates.new_key()
    with opened(laboratory.pki, PASSPHRASE) as authority:
        certificate = certificates.issued_certificate(
            identity("broker", "server"),
            [wide.general_name(host)],
            key,
            authority.certificate,
            authority.key,
            NOW,
            timedelta(days=1),
        )
    (forged / CERTIFICATE).write_bytes(certificates.pem(certificate))
    (forged / KEY).write_bytes(certificates.key_pem(key))
    (forged / TRUSTED).write_bytes((laboratory.pki / "ca.pem").read_bytes())
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(forged, device, host)


def test_a_kind_of_host_that_was_not_asked_for_is_excluded() -> None:
    only_domains = bounds(["lab.example"]).extension()
    assert only_domains.excluded_subtrees is not None
    only_networks = bounds(["10.0.0.0/8"]).extension()
    assert only_networks.excluded_subtrees == [x509.DNSName("")]
    with pytest.raises(IdentityError, match="outside of what this authority vouches for"):
        bounds(["10.0.0.0/8"]).general_name("lab.example")


@pytest.mark.parametrize(
    ("within", "said"),
    [
        ([], "say for which domain or network"),
        (["Lab.Example"], "neither a domain in small letters nor a network"),
        (["10.0.0.1/8"], "neither a domain in small letters nor a network"),
        (["*.lab.example"], "neither a domain"),
    ],
)
def test_bounds_that_are_none(within: list[str], said: str) -> None:
    with pytest.raises(IdentityError, match=said):
        bounds(within)


def test_a_wrong_passphrase(laboratory: Laboratory) -> None:
    with (
        pytest.raises(IdentityError, match="passphrase does not open"),
        opened(laboratory.pki, "wrong"),
    ):
        pass


def test_a_short_passphrase_makes_no_authority(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="too short: take 16 characters"):
        create(tmp_path / "pki", "lab", bounds(["lab.example"]), "short", NOW)
    assert list(tmp_path.iterdir()) == []


def test_an_authority_is_never_written_over(laboratory: Laboratory) -> None:
    before = (laboratory.pki / "ca.pem").read_bytes()
    with pytest.raises(IdentityError, match="is there already"):
        create(laboratory.pki, "lab", bounds(["lab.example"]), PASSPHRASE, NOW)
    assert (laboratory.pki / "ca.pem").read_bytes() == before


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IdentityError, match="cannot be written: Not a directory"):
        create(tmp_path / "file" / "pki", "lab", bounds(["lab.example"]), PASSPHRASE, NOW)


def test_a_folder_without_an_authority(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="holds no authority: make one with"):
        look_at(tmp_path)


def test_an_expired_authority_issues_nothing(tmp_path: Path) -> None:
    old = Laboratory(tmp_path / "old", when=NOW - timedelta(days=3651))
    with pytest.raises(IdentityError, match=r"expired on .*make a new one"):
        old.enrol("lab/scope-1")
    assert look_at(old.pki).journal.issued == ()
    assert not (old.folder / "handed-out").exists()


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    old = Laboratory(tmp_path / "old", when=NOW - timedelta(days=3640))
    old.enrol("lab/scope-1")
    (one,) = old.issued("lab/scope-1")
    assert one.x509.not_valid_after_utc == look_at(old.pki).certificate.not_valid_after_utc


@pytest.mark.parametrize("damage", ["{", '{"event": "granted"}', '{"event": "issued"}'])
def test_a_damaged_journal_is_said_with_its_line(laboratory: Laboratory, damage: str) -> None:
    laboratory.enrol("lab/scope-1")
    with (laboratory.pki / JOURNAL).open("a") as journal:
        journal.write(damage + "\n")
    with pytest.raises(IdentityError, match=r"line 2 is not one of this journal: restore"):
        look_at(laboratory.pki)


def test_revoking_is_in_the_journal_and_in_the_list_and_stays(laboratory: Laboratory) -> None:
    laboratory.enrol("lab/scope-1")
    laboratory.enrol("lab/scope-2")
    laboratory.revoke("lab/scope-1")
    laboratory.revoke("lab/scope-1")
    public = look_at(laboratory.pki)
    (revoked,) = public.journal.of(parse_identity("lab/scope-1"))
    assert [one.serial_number for one in public.revoked] == [revoked.serial]
    assert list(public.journal.revoked) == [revoked.serial]
    assert public.journal.standing(revoked, NOW) == "revoked"
    assert public.list_is_complete


def test_the_list_never_goes_out_of_date_before_its_authority(laboratory: Laboratory) -> None:
    """OpenSSL lets nobody in once it has: the fleet would fall silent."""
    public = look_at(laboratory.pki)
    assert public.revoked.next_update_utc == public.certificate.not_valid_after_utc


def test_a_list_that_was_cut_off_is_seen_and_made_up_for(laboratory: Laboratory) -> None:
    laboratory.enrol("lab/scope-1")
    before = (laboratory.pki / REVOKED).read_bytes()
    laboratory.revoke("lab/scope-1")
    (laboratory.pki / REVOKED).write_bytes(before)  # as if it was killed after the journal
    assert not look_at(laboratory.pki).list_is_complete
    laboratory.revoke("lab/scope-1")
    assert look_at(laboratory.pki).list_is_complete


def test_who_was_never_enrolled_cannot_be_revoked(laboratory: Laboratory) -> None:
    with pytest.raises(IdentityError, match="lab/scope-9 was never enrolled here"):
        find(look_at(laboratory.pki), parse_identity("lab/scope-9"))


def test_revoking_that_cannot_be_written_changes_nothing(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.enrol("lab/scope-1")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deploy.identity.journal.write_whole", full)
    with (
        opened(laboratory.pki, PASSPHRASE) as authority,
        pytest.raises(IdentityError, match="cannot be written: No space left on device"),
    ):
        revoke(authority, list(authority.journal.issued), "lost", NOW)
    assert look_at(laboratory.pki).journal.revoked == {}
