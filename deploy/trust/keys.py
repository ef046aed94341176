"""Private keys: files that are named for what they may sign, in folders that are elsewhere.

Root and targets keys are offline: encrypted (PKCS#8, PEM), on a medium each that is put in when it
is needed. Snapshot and timestamp keys are online: not encrypted, because the machine that publishes
signs with them by itself, and readable by its user alone. A file is named ``ROLE-KEYID.pem`` with
the first twelve digits of the key's identifier, so that one can say which is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Key

from deploy.trust.errors import TrustError
from deploy.trust.passphrases import PassphraseOf, ask, choose
from edge_daemon.whole_files import to_disk

OFFLINE = ("root", "targets")
ONLINE = ("snapshot", "timestamp")
ROLES = (*OFFLINE, *ONLINE)

_DIGITS = 12
_ENCRYPTED = b"ENCRYPTED PRIVATE KEY"
_MAX_BYTES = 1 << 16


def key_file_name(role: str, keyid: str) -> str:
    """The name of the file that holds the private half of a role's key."""
    return f"{role}-{keyid[:_DIGITS]}.pem"


class KeyRing:
    """The folders at hand that keys are looked for in. The first is where new ones go."""

    def __init__(
        self, folders: Sequence[Path], passphrase: PassphraseOf = ask, chosen: PassphraseOf = choose
    ) -> None:
        """Nothing is read yet; passphrases are asked for when a key is used, once each."""
        self.folders = tuple(folders)
        self._passphrase, self._chosen = passphrase, chosen
        self._signers: dict[str, CryptoSigner] = {}
        self._made: list[Path] = []

    @contextmanager
    def no_strays(self) -> Iterator[None]:
        """Keys that are made meanwhile are deleted where it fails: nothing knows them then."""
        before = len(self._made)
        try:
            yield
        except BaseException:
            for file in self._made[before:]:
                file.unlink(missing_ok=True)
            raise

    def find(self, role: str, keyid: str) -> Path | None:
        """The file of a key, None when it is in none of the folders."""
        for folder in self.folders:
            file = folder / key_file_name(role, keyid)
            if file.is_file():
                return file
        return None

    def signer(self, role: str, key: Key) -> CryptoSigner:
        """What signs with a key.

        Raises:
            TrustError: it is missing, or its passphrase is wrong, or it is not that key.
        """
        if key.keyid not in self._signers:
            file = self.find(role, key.keyid)
            if file is None:
                raise self.missing(role, [key.keyid])
            self._signers[key.keyid] = self._open(file, key)
        return self._signers[key.keyid]

    def make(self, role: str) -> CryptoSigner:
        """A new key of a role, in the first folder.

        Raises:
            TrustError: it cannot be written, or gets no passphrase.
        """
        private = Ed25519PrivateKey.generate()
        signer = CryptoSigner(private)
        file = self.folders[0] / key_file_name(role, signer.public_key.keyid)
        protection: KeySerializationEncryption = NoEncryption()
        if role in OFFLINE:
            protection = BestAvailableEncryption(self._chosen(file).encode())
        self._made.append(file)
        _write(file, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
        self._signers[signer.public_key.keyid] = signer
        return signer

    def missing(self, role: str, keyids: Sequence[str]) -> TrustError:
        """The error of keys that are in no folder."""
        names = " or ".join(key_file_name(role, keyid) for keyid in keyids)
        where = ", ".join(map(str, self.folders)) or "no folder"
        return TrustError(
            f"the {role} key {names} is not in {where}; name the folder that has it with --keys"
        )

    def _open(self, file: Path, key: Key) -> CryptoSigner:
        try:
            with file.open("rb") as opened:
                mode = os.fstat(opened.fileno()).st_mode
                content = opened.read(_MAX_BYTES)
        except OSError as error:
            raise TrustError(f"cannot read the key {file}: {error.strerror}") from None
        password: bytes | None = None
        if _ENCRYPTED in content:
            password = self._passphrase(file).encode()
        elif mode & 0o077:
            raise TrustError(f"others can read the key {file}, which has no passphrase: chmod 600")
        try:
            private = load_pem_private_key(content, password)
        except (ValueError, TypeError):
            why = "its passphrase is wrong, or it is damaged" if password else "it is damaged"
            raise TrustError(f"the key {file} cannot be opened: {why}") from None
        if isinstance(private, Ed25519PrivateKey):
            signer = CryptoSigner(private)
            if signer.public_key.keyid == key.keyid:
                return signer
        raise TrustError(f"the key in {file} is another one than its name says; find the right one")


def _write(file: Path, content: bytes) -> None:
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
        to_disk(file)
        to_disk(file.parent)
    except OSError as error:
        raise TrustError(f"cannot write the key {file}: {error.strerror}") from None
