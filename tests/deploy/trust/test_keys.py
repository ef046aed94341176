"""Keys: where they are, who can read them, and what is said when one is not at hand."""

from __future__ import annotations

import shutil
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from deploy import passphrases
from deploy.trust.add import add
from deploy.trust.create import RootKeys, create
from deploy.trust.errors import TrustError
from deploy.trust.keys import KeyRing
from deploy.trust.passphrases import VARIABLE, ask, choose
from deploy.trust.publish import publish
from deploy.trust.rotate import renew
from edge_daemon.contract.envelope import utc_now
from tests.deploy.trust.fleet import PASSPHRASE, Fleet, key_ring, passphrase, write_paper_bundle

KEY = Path("root-0123456789ab.pem")


class TestWhatIsMade:
    def test_three_root_keys_of_which_two_sign_and_one_key_for_each_other_role(
        self, fleet: Fleet
    ) -> None:
        roles = fleet.repository.root().signed.roles

        assert {role: (len(one.keyids), one.threshold) for role, one in roles.items()} == {
            "root": (3, 2),
            "targets": (1, 1),
            "snapshot": (1, 1),
            "timestamp": (1, 1),
        }
        assert fleet.repository.root().signed.consistent_snapshot

    def test_root_and_targets_keys_are_encrypted_and_online_keys_are_for_one_user(
        self, fleet: Fleet
    ) -> None:
        for file in fleet.keys.iterdir():
            offline = file.name.startswith(("root-", "targets-"))
            assert (b"BEGIN ENCRYPTED PRIVATE KEY" in file.read_bytes()) == offline
            assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_no_private_key_is_in_the_repository(self, fleet: Fleet) -> None:
        files = [path for path in fleet.repository.folder.rglob("*") if path.is_file()]

        assert files
        assert not any(b"PRIVATE KEY" in path.read_bytes() for path in files)

    @pytest.mark.parametrize("keys", ["repository", "repository/keys", "repository/metadata/k"])
    def test_keys_are_not_kept_where_everybody_reads(self, tmp_path: Path, keys: str) -> None:
        with pytest.raises(TrustError, match="which everybody can read; keep keys elsewhere"):
            create(tmp_path / "repository", key_ring(tmp_path / keys), utc_now())

    def test_a_repository_is_made_once(self, fleet: Fleet) -> None:
        with pytest.raises(TrustError, match="is not an empty folder"):
            create(fleet.repository.folder, fleet.ring(), utc_now())

    @pytest.mark.parametrize(("number", "threshold"), [(3, 1), (1, 1), (2, 3)])
    def test_a_root_takes_two_signatures_at_least(self, number: int, threshold: int) -> None:
        with pytest.raises(TrustError, match=r"2 or more|can never make"):
            RootKeys(number, threshold)

    def test_a_passphrase_that_can_be_guessed_makes_no_key(self, tmp_path: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(VARIABLE, "leukaemia")
            with pytest.raises(TrustError, match="take 16 characters or more"):
                create(tmp_path / "repository", KeyRing([tmp_path / "keys"]), utc_now())
        assert not (tmp_path / "repository").exists()


class TestWhatIsNotAtHand:
    def test_a_wrong_passphrase(self, fleet: Fleet, tmp_path: Path) -> None:
        ring = KeyRing([fleet.keys], lambda _: "wrong", passphrase)
        with pytest.raises(
            TrustError, match=r"targets-.*\.pem cannot be opened: its passphrase is"
        ):
            add(fleet.repository, write_paper_bundle(tmp_path / "in", "0.1.0"), ring, utc_now())

        assert fleet.device().versions() == []

    def test_a_missing_key_is_named_with_where_it_was_looked_for(
        self, fleet: Fleet, tmp_path: Path
    ) -> None:
        (key,) = fleet.key_files("timestamp")
        key.unlink()
        with pytest.raises(TrustError, match=f"{key.name} is not in {fleet.keys}; name the folder"):
            publish(fleet.repository, fleet.ring(), utc_now() + timedelta(days=1))

        assert fleet.device().versions() == []

    def test_keys_on_several_media_are_found(self, fleet: Fleet, tmp_path: Path) -> None:
        media = [tmp_path / f"stick-{number}" for number in range(3)]
        for stick, key in zip(media, fleet.key_files("root"), strict=True):
            stick.mkdir()
            shutil.move(key, stick)
        renew(fleet.repository, key_ring(*media[1:]), utc_now(), "root")

        assert fleet.repository.root().signed.version == 2
        assert fleet.device().versions() == []

    def test_one_root_key_of_three_signs_no_root(self, fleet: Fleet) -> None:
        for key in fleet.key_files("root")[1:]:
            key.unlink()
        with pytest.raises(TrustError, match="takes 2 signatures of its keys, and 1 could be made"):
            renew(fleet.repository, fleet.ring(), utc_now(), "root")

        assert fleet.repository.root().signed.version == 1

    def test_a_key_that_others_can_read_signs_nothing(self, fleet: Fleet) -> None:
        (key,) = fleet.key_files("snapshot")
        key.chmod(0o640)
        with pytest.raises(TrustError, match=r"others can read the key .*: chmod 600"):
            publish(fleet.repository, fleet.ring(), utc_now() + timedelta(days=80))

    def test_a_key_under_the_name_of_another(self, fleet: Fleet) -> None:
        first, second, third = fleet.key_files("root")
        shutil.copy(first, second)
        third.unlink()
        with pytest.raises(TrustError, match="is another one than its name says"):
            renew(fleet.repository, fleet.ring(), utc_now(), "root")

    @pytest.mark.parametrize("content", [b"", b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"\0" * 99])
    def test_a_damaged_key(self, fleet: Fleet, content: bytes) -> None:
        (key,) = fleet.key_files("targets")
        key.write_bytes(content)
        with pytest.raises(TrustError, match="cannot be opened"):
            renew(fleet.repository, fleet.ring(), utc_now(), "targets")


class TestPassphrases:
    def test_one_variable_serves_all_keys_and_a_longer_one_a_single_key(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(VARIABLE, PASSPHRASE)
        monkeypatch.setenv(f"{VARIABLE}_ROOT_0123456789AB", "of this one alone")

        assert ask(KEY) == "of this one alone"
        assert ask(Path("root-ffffffffffff.pem")) == PASSPHRASE

    def test_where_nobody_can_be_asked_it_says_which_variable(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(VARIABLE, raising=False)
        with pytest.raises(TrustError, match=f"{VARIABLE}_ROOT_0123456789AB or {VARIABLE}"):
            ask(KEY)

    def test_a_new_one_is_asked_for_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(VARIABLE, raising=False)
        answers = iter([PASSPHRASE, PASSPHRASE, PASSPHRASE, "mistyped"])
        monkeypatch.setattr(passphrases.sys.stdin, "isatty", lambda: True)
        monkeypatch.setattr(passphrases.getpass, "getpass", lambda _: next(answers))

        assert choose(KEY) == PASSPHRASE
        with pytest.raises(TrustError, match="differ"):
            choose(KEY)
