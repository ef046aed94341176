"""``leuko-deploy pki`` and ``broker`` at the prompt: from nothing to a broker with a device."""

from __future__ import annotations

import getpass
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.identity.errors import IdentityError
from deploy.identity.passphrase import VARIABLE
from edge_daemon.delivery.broker import free_port
from edge_daemon.delivery.link import check_broker
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import ConfigError
from tests.mosquitto import Mosquitto

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - of tests
USAGE = 2


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Prompt = Callable[..., Said]


@pytest.fixture
def prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Prompt:
    """``prompt("pki", "list")`` in a folder of its own; nothing ends in a traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    monkeypatch.delenv("LEUKO_PKI", raising=False)

    def typed(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["leuko-deploy", *words])
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        assert code is None or isinstance(code, int)
        return Said(code or 0, *capsys.readouterr())

    return typed


def done(said: Said) -> str:
    assert said.code == 0, said.err
    return said.out


class Written(Mosquitto):
    """Mosquitto with a configuration that lies there."""

    def __init__(self, program: Path, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self._program, self._process, self._config = program, None, folder / "mosquitto.conf"


def test_from_nothing_to_a_broker_that_a_device_reaches(
    prompt: Prompt, mosquitto: Path, tmp_path: Path
) -> None:
    port = free_port()
    url = f"mqtts://127.0.0.1:{port}"
    done(prompt("pki", "init", "--within", "127.0.0.1/32", "--within", "lab.example"))
    here = str(tmp_path / "lab" / "scope-1")
    device = done(prompt("pki", "enrol", "lab/scope-1", "--broker", url, "--lies-at", here))
    assert f"carry it there as {here}, then delete it here" in device
    done(prompt("pki", "enrol", "server:broker", "--host", "127.0.0.1"))
    (tmp_path / "state").mkdir()
    (tmp_path / "broker.toml").write_text(f'address = "127.0.0.1"\nstate = "{tmp_path}/state"\n')
    write = ["broker", "write", "out", "--server", "server/broker", "--settings", "broker.toml"]
    write += ["--port", str(port), "--user", getpass.getuser()]
    assert "for 1 clients" in done(prompt(*write))
    assert done(prompt("broker", "check", "out")) == "out: as it was written\n"
    settings = BrokerSettings(
        url=url,
        ca_file=Path(here) / "ca.pem",
        cert_file=Path(here) / "identity.pem",
        key_file=Path(here) / "identity.key",
    )
    with Written(mosquitto, tmp_path / "out", port):
        assert "answers with MQTT 5 over TLS" in check_broker(settings, 30.0)
    assert "is revoked" in done(prompt("pki", "revoke", "lab/scope-1", "--reason", "lost"))
    assert "for 0 clients" in done(prompt(*write))


def test_listing_and_showing_for_people_and_programs(prompt: Prompt) -> None:
    done(prompt("pki", "init", "--within", "lab.example"))
    for name in ("lab/scope-1", "lab/scope-2"):
        done(prompt("pki", "enrol", name, "--broker", "mqtts://lab.example", "--days", "30"))
    done(prompt("pki", "revoke", "lab/scope-2", "--reason", "stolen"))
    listed = done(prompt("pki", "list"))
    assert "for lab.example" in listed
    assert [line.split()[:2] for line in listed.splitlines()[1:]] == [
        ["lab/scope-1", "due"],
        ["lab/scope-2", "revoked"],
    ]
    assert len(done(prompt("pki", "list", "--due")).splitlines()) == 2
    (shown,) = json.loads(done(prompt("pki", "show", "lab/scope-2", "--json")))
    assert (shown["standing"], shown["reason"]) == ("revoked", "stolen")
    assert "mqtts://lab.example" in done(prompt("pki", "show", "lab/scope-1"))


def test_all_that_is_due_is_renewed_at_once_and_then_nothing_is(
    prompt: Prompt, tmp_path: Path
) -> None:
    done(prompt("pki", "init", "--within", "lab.example"))
    for name, days in (("lab/scope-1", "30"), ("lab/scope-2", "300"), ("dashboard:ward", "30")):
        done(prompt("pki", "enrol", name, "--broker", "mqtts://lab.example", "--days", days))
    done(prompt("pki", "renew", "--due"))
    made = sorted(str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("identity.pem"))
    assert [one for one in made if one.startswith("renewed")] == [
        "renewed/dashboard/ward",
        "renewed/lab/scope-1",
    ]
    assert done(prompt("pki", "renew", "--due")) == "nothing is due\n"
    done(prompt("pki", "revoke", "lab/scope-1", "--replaced"))
    standings = [one["standing"] for one in json.loads(done(prompt("pki", "list", "--json")))]
    assert standings == ["revoked", "valid", "replaced", "valid", "valid"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("pki enrol scope-1 --broker mqtts://b", IdentityError.exit_code, "write SITE/DEVICE"),
        ("pki enrol lab/scope-1", IdentityError.exit_code, "say where its broker is: --broker"),
        ("pki enrol lab/a#b --broker mqtts://b", IdentityError.exit_code, "is no valid name"),
        ("pki enrol server:b --host bank.example", IdentityError.exit_code, "is outside of what"),
        ("pki enrol lab/a --broker mqtts://b --pki no", IdentityError.exit_code, "no authority"),
        (
            "pki enrol lab/a --broker mqtts://b --also-trust no",
            IdentityError.exit_code,
            "no cannot",
        ),
        ("pki init --within lab.example", IdentityError.exit_code, "pki is there already"),
        ("pki revoke lab/scope-9", IdentityError.exit_code, "was never enrolled here"),
        ("pki show lab/scope-9", IdentityError.exit_code, "was never enrolled here"),
        ("pki renew lab/scope-9", IdentityError.exit_code, "is not enrolled, or was revoked"),
        ("pki renew", ConfigError.exit_code, "name what is to be renewed, or say --due"),
        ("broker check no", ConfigError.exit_code, "no holds no broker"),
        ("broker write out --server no", ConfigError.exit_code, "address: Field required"),
        (
            "broker write out --server no --address ::1",
            ConfigError.exit_code,
            "identity.key cannot",
        ),
        ("broker write out --server a --server b --address ::1", ConfigError.exit_code, "once"),
        ("broker write out --server a --settings no.toml", ConfigError.exit_code, "No such file"),
        ("broker write out --server a --profile nats", ConfigError.exit_code, "nodes: Field"),
    ],
)
def test_bad_input_gets_one_line_and_changes_nothing(
    prompt: Prompt, tmp_path: Path, words: str, code: int, said: str
) -> None:
    done(prompt("pki", "init", "--within", "lab.example"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    told = prompt(*words.split())
    assert told.code == code
    assert said in told.err
    assert len(told.err.splitlines()) == 1
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path in after if path.name != "lock"} == set(before)
    assert all(after[path] == before[path] for path in before)


def test_a_wrong_passphrase_or_none(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    done(prompt("pki", "init", "--within", "lab.example"))
    enrol = ["pki", "enrol", "lab/scope-1", "--broker", "mqtts://lab.example"]
    monkeypatch.setenv(VARIABLE, "another one that is long enough")
    assert "the passphrase does not open" in prompt(*enrol).err
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert f"no passphrase: set {VARIABLE}, or call from a terminal" in prompt(*enrol).err
    asked = []

    def typed(text: str) -> str:
        asked.append(text)
        return PASSPHRASE

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", typed)  # which shows nothing
    assert "enrolled" not in done(prompt(*enrol))
    done(prompt("pki", "init", "--within", "lab.example", "--pki", "second"))
    assert asked == [
        "Passphrase of the authority: ",
        "New passphrase for the authority: ",
        "Once more: ",
    ]


def test_help_loads_no_cryptography() -> None:
    code = (
        "import sys; from deploy.cli import main; sys.argv = ['leuko-deploy', 'pki', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stderr
    assert "cryptography" not in told.split()
