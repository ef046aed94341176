"""Who made this bundle: a detached signature in the format of OpenSSF Model Signing.

A bundle's own digests say that it is whole, not who made it. The signature does, over every file of
the folder, and any tool that knows the format (https://github.com/sigstore/model-transparency)
can check it; no other party takes part. It lies beside the folder, so the bundle's digest stays.

The fleet trusts its repository, not this file (``deploy``); this is for whoever passes a bundle on.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import Any

from edge_daemon.contract.bundle import load_bundle
from exporter.errors import ExportError
from trainer.whole_files import written_whole

SUFFIX = ".sig"
"""Of the signature's name; the rest is the bundle folder's."""
PASSWORD_VARIABLE = "LEUKO_SIGNING_PASSWORD"  # noqa: S105 - a name, not a password
"""Of the environment: holds the key's password, where it has one."""
HOW_TO_INSTALL = "pip install 'leukoedge[sign]'"
HOW_TO_MAKE_A_KEY = "openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem"


def signature_of(bundle: Path) -> Path:
    """Where the signature of a bundle lies unless it is told otherwise: beside the folder."""
    folder = bundle.resolve()
    return folder.with_name(folder.name + SUFFIX)


def sign_bundle(
    bundle: Path, key: Path, out: Path | None = None, password: str | None = None
) -> Path:
    """Sign every file of a sound bundle; the file of the signature, beside the folder by default.

    Args:
        bundle: folder of the bundle.
        key: private key on an elliptic curve (P-256, P-384, P-521), PEM.
        out: where to write the signature, not inside the bundle.
        password: of the key, where it has one.

    Raises:
        BundleError: the bundle is not sound, so nobody should vouch for it.
        ExportError: the key or the place cannot be used, or the library is not installed.
        DataError: the signature cannot be written.
    """
    load_bundle(bundle)
    folder = bundle.resolve()
    place = out or signature_of(bundle)
    if folder in place.resolve().parents:
        raise ExportError(
            f"{place} is inside the bundle, which it would change; write it beside the folder"
        )
    try:
        from model_signing.signing import Config
    except ImportError:
        raise _not_installed() from None
    if not key.is_file():
        raise ExportError(f"no private key {key}; make one: {HOW_TO_MAKE_A_KEY}")
    secret: Any = password.encode() if password else None  # the library says str and wants bytes
    try:
        signing = Config().use_elliptic_key_signer(private_key=key, password=secret)
    except (ValueError, TypeError, AttributeError) as error:  # another kind of key has no curve
        raise ExportError(
            f"{key} cannot sign ({_brief(error)}); it takes an elliptic-curve key, and its "
            f"password in {PASSWORD_VARIABLE}: {HOW_TO_MAKE_A_KEY}"
        ) from None
    with written_whole(place) as file:
        signing.sign(folder, Path(file.name))
    return place


def verify_signature(bundle: Path, signature: Path, public_key: Path) -> None:
    """Hold a bundle, to the last file, against a signature.

    Raises:
        ExportError: it is not what the owner of ``public_key`` signed, or one of the files cannot
            be read, or the library is not installed.
    """
    try:
        from model_signing.verifying import Config
    except ImportError:
        raise _not_installed() from None
    for file, what in ((signature, "signature"), (public_key, "public key")):
        if not file.is_file():
            raise ExportError(f"no {what} {file}; name the file that came with the bundle")
    try:
        verifying = Config().use_elliptic_key_verifier(public_key=public_key)
    except (ValueError, TypeError, AttributeError) as error:
        raise ExportError(
            f"{public_key} is no elliptic-curve public key in PEM: {_brief(error)}"
        ) from None
    try:
        verifying.verify(bundle, signature)
    except Exception as error:
        raise ExportError(
            f"{bundle} is not what {signature} vouches for under {public_key} ({_brief(error)}); "
            "do not use it, fetch both again from who made it"
        ) from error


def _brief(error: Exception) -> str:
    return shorten(str(error) or type(error).__name__, 100, placeholder="...")


def _not_installed() -> ExportError:
    return ExportError(f"signatures need OpenSSF Model Signing: {HOW_TO_INSTALL}")
