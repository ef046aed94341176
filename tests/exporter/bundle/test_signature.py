"""A signature vouches for every file of a bundle, and any tool of its kind can read it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from typer.testing import CliRunner

from edge_daemon.errors import BundleError
from exporter.bundle.signature import PASSWORD_VARIABLE, sign_bundle, signature_of, verify_signature
from exporter.cli import app
from exporter.errors import ExportError
from tests.edge_daemon.tiny_bundle import write_tiny_bundle

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def write_keys(folder: Path, name: str, key: Key, password: bytes | None = None) -> Path:
    """``<name>.pem`` and ``<name>.pub`` as openssl writes them."""
    pem = serialization.Encoding.PEM
    hidden = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, hidden)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.pem").write_bytes(private)
    (folder / f"{name}.pub").write_bytes(public)
    return folder / f"{name}.pem"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    write_keys(tmp_path, "stranger", ec.generate_private_key(ec.SECP256R1()))
    return write_keys(tmp_path, "maker", ec.generate_private_key(ec.SECP256R1()))


def test_what_was_signed_is_known_again(bundle: Path, key: Path) -> None:
    signature = sign_bundle(bundle, key)
    assert signature == bundle.with_name("tiny-0.1.0.sig")
    verify_signature(bundle, signature, key.with_suffix(".pub"))


def test_the_tool_of_openssf_reads_it(bundle: Path, key: Path) -> None:
    signature = sign_bundle(bundle, key)
    options = ["--signature", signature, "--public_key", key.with_suffix(".pub")]
    checked = subprocess.run(
        [sys.executable, "-m", "model_signing", "verify", "key", bundle, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("tampered", ["altered", "gone", "more"])
def test_a_folder_that_was_touched_is_refused(bundle: Path, key: Path, tampered: str) -> None:
    signature = sign_bundle(bundle, key)
    if tampered == "altered":
        (bundle / "golden.npz").write_bytes(b"other")
    elif tampered == "gone":
        (bundle / "golden.npz").unlink()
    else:
        (bundle / "extra.onnx").write_bytes(b"mine")
    with pytest.raises(ExportError, match=r"is not what .*tiny-0\.1\.0\.sig vouches for.*mismatch"):
        verify_signature(bundle, signature, key.with_suffix(".pub"))


def test_another_key_vouches_for_nothing(bundle: Path, key: Path) -> None:
    signature = sign_bundle(bundle, key)
    with pytest.raises(ExportError, match="Key mismatch"):
        verify_signature(bundle, signature, key.with_name("stranger.pub"))


def test_a_bundle_that_is_not_sound_is_not_signed(bundle: Path, key: Path) -> None:
    (bundle / "golden.npz").write_bytes(b"other")
    with pytest.raises(BundleError, match="golden"):
        sign_bundle(bundle, key)
    assert not signature_of(bundle).exists()


def test_a_signature_inside_the_bundle_would_change_it(bundle: Path, key: Path) -> None:
    with pytest.raises(ExportError, match="inside the bundle"):
        sign_bundle(bundle, key, bundle / "own.sig")


def test_keys_that_cannot_sign_are_one_line(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no private key .*openssl ecparam"):
        sign_bundle(bundle, tmp_path / "none.pem")
    other = write_keys(tmp_path, "rsa", rsa.generate_private_key(65537, 2048))
    with pytest.raises(ExportError, match=r"rsa\.pem cannot sign .*elliptic-curve key"):
        sign_bundle(bundle, other)
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(ExportError, match=r"junk\.pem cannot sign"):
        sign_bundle(bundle, tmp_path / "junk.pem")


def test_signatures_and_keys_that_are_none_are_one_line(bundle: Path, key: Path) -> None:
    public = key.with_suffix(".pub")
    with pytest.raises(ExportError, match="no signature"):
        verify_signature(bundle, signature_of(bundle), public)
    signature_of(bundle).write_text("junk")
    with pytest.raises(ExportError, match=r"is not what .* vouches for"):
        verify_signature(bundle, signature_of(bundle), public)
    with pytest.raises(ExportError, match="no elliptic-curve public key"):
        verify_signature(bundle, signature_of(bundle), signature_of(bundle))


def test_by_command_with_a_password(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = ec.generate_private_key(ec.SECP384R1())
    key = write_keys(tmp_path, "locked", curve, b"a secret")
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    told = CliRunner().invoke(app, ["sign", str(bundle), "--key", str(key)])
    assert isinstance(told.exception, ExportError)
    assert PASSWORD_VARIABLE in str(told.exception)
    monkeypatch.setenv(PASSWORD_VARIABLE, "a secret")
    signed = CliRunner().invoke(app, ["sign", str(bundle), "--key", str(key)])
    assert signed.output.strip() == str(signature_of(bundle))
    public = str(key.with_suffix(".pub"))
    checked = CliRunner().invoke(app, ["verify", str(bundle), "--public-key", public])
    assert f"signed by the owner of {public}" in checked.output, checked.exception
