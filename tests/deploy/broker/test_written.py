"""A broker's folder is written whole, of settings that are read strictly, and is held to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.broker.checked import check
from deploy.broker.settings import BrokerProfile, load_settings
from deploy.broker.written import write
from deploy.identity.authority import REVOKED, look_at
from edge_daemon.contract.messages import CellResult
from edge_daemon.errors import ConfigError
from tests.deploy.laboratory import NOW, Laboratory


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    made = Laboratory(tmp_path / "lab")
    made.enrol("lab/scope-1")
    return made


@pytest.fixture
def server(laboratory: Laboratory) -> Path:
    return laboratory.enrol("server:broker")


def lines(path: Path) -> list[str]:
    return [one for one in path.read_text().splitlines() if one and one[0] != "#"]


def test_there_is_one_listener_and_no_way_in_without_a_certificate(
    laboratory: Laboratory, server: Path
) -> None:
    written = lines(laboratory.write_broker(server) / "mosquitto.conf")
    assert [one for one in written if one.startswith("listener")] == [
        f"listener {laboratory.port} 127.0.0.1"
    ]
    assert {"allow_anonymous false", "require_certificate true", "tls_version tlsv1.2"} <= {
        *written
    }
    assert len({one.split()[0] for one in written if not one.startswith("log_type")}) == len(
        [one for one in written if not one.startswith("log_type")]
    ), "of two lines with the same name the last would win"


def test_access_names_who_counts_and_nobody_else(laboratory: Laboratory, server: Path) -> None:
    laboratory.enrol("lab/scope-2")
    laboratory.enrol("lab/old", when=NOW - timedelta(days=9), lasts=timedelta(days=5))
    laboratory.enrol("controller:central")
    laboratory.revoke("lab/scope-2")
    written = lines(laboratory.write_broker(server) / "access.acl")
    users = [one for one in written if one.startswith("user")]
    assert users == ["user controller:central", "user lab/old", "user lab/scope-1"], (
        "who has expired keeps its name, or what it left retained would vanish"
    )
    assert not any("pattern" in one or "%" in one or "deny" in one for one in written)


def test_the_same_again_is_the_same(laboratory: Laboratory, server: Path) -> None:
    folder = laboratory.write_broker(server)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    laboratory.write_broker(server)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert check(folder, NOW) == []
    assert [path.name for path in laboratory.folder.glob(".*")] == []


def test_a_writer_that_was_killed_between_two_folders_is_made_up_for(
    laboratory: Laboratory, server: Path
) -> None:
    folder = laboratory.write_broker(server)
    folder.rename(folder.with_name(".broker.old"))
    with pytest.raises(ConfigError, match="cannot be read"):
        laboratory.write_broker(laboratory.folder / "nowhere")
    assert check(folder, NOW) == [], "the older one is there again"
    laboratory.write_broker(server)
    assert not folder.with_name(".broker.old").exists()


def _append(name: str, text: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with (folder / name).open("a") as file:
            file.write(text)

    return damage


def _unlink(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (_append("mosquitto.conf", "listener 1883\n"), "is not as it was written \\('listener 1883'"),
    (_append("access.acl", "topic #\n"), "access.acl, line .* is not as it was written"),
    (_unlink("access.acl"), "access.acl cannot be read: No such file"),
    (_unlink("crl.pem"), "crl.pem cannot be read"),
    (lambda folder: (folder / "crl.pem").write_text(""), "the broker would let nobody in"),
    (lambda folder: (folder / "ca.pem").write_text("x"), "ca.pem is damaged"),
    (lambda folder: (folder / "broker.key").chmod(0o644), "can be read by others: chmod 600"),
    (lambda folder: (folder / "written.json").write_text("{}"), "damaged: write the folder again"),
    (_unlink("written.json"), "holds no broker written by this program"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGE, ids=[said[:30] for _, said in DAMAGE])
def test_check_sees_what_was_changed(
    laboratory: Laboratory, server: Path, damage: Callable[[Path], None], said: str
) -> None:
    folder = laboratory.write_broker(server)
    damage(folder)
    with pytest.raises(ConfigError, match=said):
        check(folder, NOW)


def test_check_sees_a_shortened_file(laboratory: Laboratory, server: Path) -> None:
    folder = laboratory.write_broker(server)
    whole = (folder / "access.acl").read_text().splitlines(keepends=True)
    (folder / "access.acl").write_text("".join(whole[:-1]))
    with pytest.raises(ConfigError, match=r"not as it was written \(the end\)"):
        check(folder, NOW)


def test_check_warns_in_time_and_refuses_when_it_is_too_late(
    laboratory: Laboratory, server: Path
) -> None:
    folder = laboratory.write_broker(server)
    assert check(folder, NOW + timedelta(days=380)) == [
        "server:broker expires in 16 days: renew it"
    ]
    with pytest.raises(ConfigError, match=r"server:broker expired on .*renew it"):
        check(folder, NOW + timedelta(days=398))


def test_another_key_is_seen(laboratory: Laboratory, server: Path) -> None:
    folder = laboratory.write_broker(server)
    other = laboratory.enrol("server:other")
    (folder / "broker.key").write_bytes((other / "identity.key").read_bytes())
    with pytest.raises(ConfigError, match="is not about the key beside it"):
        check(folder, NOW)


def test_what_cannot_be_written_leaves_what_was_there(
    laboratory: Laboratory, server: Path, tmp_path: Path
) -> None:
    folder = laboratory.write_broker(server)
    before = (folder / "access.acl").read_bytes()
    device = laboratory.enrol("lab/scope-2")
    with pytest.raises(ConfigError, match="is the certificate of lab/scope-2: enrol a server"):
        laboratory.write_broker(device)
    foreign = Laboratory(tmp_path / "foreign").enrol("server:broker")
    with pytest.raises(ConfigError, match=r"is of an authority that ca\.pem does not name"):
        laboratory.write_broker(foreign)
    laboratory.revoke("server:broker")
    with pytest.raises(ConfigError, match="the broker's own certificate is revoked"):
        laboratory.write_broker(server)
    assert (folder / "access.acl").read_bytes() == before


def test_a_list_that_was_cut_off_is_not_carried_on(laboratory: Laboratory, server: Path) -> None:
    before = (laboratory.pki / REVOKED).read_bytes()
    laboratory.revoke("lab/scope-1")
    (laboratory.pki / REVOKED).write_bytes(before)
    with pytest.raises(ConfigError, match="was cut off: call `leuko-deploy pki revoke` again"):
        laboratory.write_broker(server)


def test_an_expired_authority_writes_no_broker(tmp_path: Path) -> None:
    old = Laboratory(tmp_path / "old", when=NOW - timedelta(days=3640))
    server = old.enrol("server:broker")
    with pytest.raises(ConfigError, match="expired on"):
        write(tmp_path / "out", old.profile(), server, [look_at(old.pki)], NOW + timedelta(days=20))


def test_a_foreign_folder_is_left_alone(laboratory: Laboratory, server: Path) -> None:
    (laboratory.folder / "broker").mkdir()
    with pytest.raises(ConfigError, match="is no folder of such a broker: give another one"):
        laboratory.write_broker(server)


def test_a_folder_that_cannot_be_written(
    laboratory: Laboratory, server: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    authorities = [look_at(laboratory.pki)]
    with pytest.raises(ConfigError, match="cannot be written: Not a directory"):
        write(tmp_path / "file" / "out", laboratory.profile(), server, authorities, NOW)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = 8883", "address: Field required"),
        ('address = "::1"\nport = 0', "port: Input should be greater"),
        ('address = "::1"\nprot = 1', "prot: Extra inputs are not permitted"),
        ('address = "0.0.0.0\\nallow_anonymous true"', "address: String should match"),
        ('address = "::1"\nlies_at = "/etc/a b"', "lies_at: String should match"),
        ('address = "::1"\n[limits]\nqueued_messages = 0', "limits.queued_messages: Input should"),
        ("address = ", "broker settings .*Invalid value"),
    ],
)
def test_settings_are_read_strictly(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "broker.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said) as told:
        load_settings(BrokerProfile, file, {})
    assert "\n" not in str(told.value)


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "broker.toml"
    file.write_text('address = "10.0.0.1"\nport = 1\n')
    profile = load_settings(BrokerProfile, file, {"port": 2, "address": None})
    assert (profile.address, profile.port) == ("10.0.0.1", 2)


def test_the_largest_frame_fits() -> None:
    """At least 1,000 cells of a frame are kept; four times as many pass."""
    cell = CellResult(
        id=9999,
        box=(1234.5678, 1234.5678, 1334.5678, 1334.5678),
        kind="wbc",
        score=0.987654321,
        p_blast=0.123456789,
        label="uncertain",
        unique_id=123456,
    )
    limits = BrokerProfile(address="::1").limits
    assert 4000 * (len(cell.model_dump_json()) + 1) < limits.message_bytes / 2


def test_the_key_is_for_its_owner(laboratory: Laboratory, server: Path) -> None:
    folder = laboratory.write_broker(server)
    assert oct(os.stat(folder / "broker.key").st_mode & 0o777) == "0o600"  # noqa: PTH116
