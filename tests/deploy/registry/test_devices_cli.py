"""``leuko-deploy devices`` at the prompt."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.registry.errors import RegistryError
from deploy.registry.record import Desired, Reported
from deploy.registry.store import Registry
from edge_daemon.errors import BrokerError, ConfigError
from tests.deploy.laboratory import Laboratory
from tests.deploy.registry.fleet import NEW, NOW, OLD
from tests.deploy.test_deploy_cli import Prompt, done, prompt  # noqa: F401 - a fixture

ONE, TWO = "lab/scope-1", "ward/scope-2"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Two devices, one of which runs what it shall not."""
    laboratory = Laboratory(tmp_path)
    for who in (ONE, TWO, "dashboard:registry"):
        laboratory.enrol(who)
    return tmp_path


def reported(fleet: Path) -> None:
    with Registry(fleet / "registry.db") as book:
        book.desire({ONE: Desired(bundle=NEW, version="1.0.0", at=NOW, by="rollout 7")})
        with book.batch():
            said = Reported(state="online", version="1.0.0", bundle=OLD, seen_at=NOW)
            book.report({ONE: said, TWO: said.model_copy(update={"skew_s": 60.0})})


def test_the_registry_lies_where_it_is_told(
    prompt: Prompt,  # noqa: F811
    fleet: Path,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEUKO_REGISTRY", place)
    assert ONE in done(prompt("devices", "list"))
    done(prompt("pki", "revoke", ONE))
    done(prompt("devices", "forget", ONE))
    assert done(prompt("devices", "export", "all.json")) == "all.json: 1 devices\n"
    with Registry(place, create=False) as book:
        assert [one.name for one in book.devices()] == [TWO]


def test_for_people(prompt: Prompt, fleet: Path) -> None:  # noqa: F811
    listed = done(prompt("devices", "list")).splitlines()
    assert listed[0] == "nobody has listened ever: `leuko-deploy devices watch`"
    assert [line.split()[:2] for line in listed[1:]] == [
        ["device", "state"],
        [ONE, "-"],
        [TWO, "-"],
    ]
    reported(fleet)
    listed = done(prompt("devices", "list", "--site", "lab", "--drift")).splitlines()
    (line,) = listed[2:]
    assert line.endswith("shall run bundle 222222222222, reports 111111111111")
    shown = done(prompt("devices", "show", ONE))
    assert "desired: by              rollout 7" in shown
    assert "drift: bundle            shall run bundle" in shown


def test_for_programs(prompt: Prompt, fleet: Path) -> None:  # noqa: F811
    done(prompt("devices", "list"))
    reported(fleet)
    document = json.loads(done(prompt("devices", "list", "--json", "--skew", "100")))
    assert (document["schema"], document["listening"]) == ("leukoedge.devices/1", False)
    points = {one["name"]: [at["point"] for at in one["drift"]] for one in document["devices"]}
    assert points == {ONE: ["bundle"], TWO: []}
    shown = json.loads(done(prompt("devices", "show", TWO, "--json")))
    assert (shown["site"], shown["drift"][0]["point"]) == ("ward", "clock")


def test_exports(prompt: Prompt, fleet: Path) -> None:  # noqa: F811
    done(prompt("devices", "list"))
    reported(fleet)
    assert done(prompt("devices", "export", "all.json")) == "all.json: 2 devices\n"
    assert len(json.loads((fleet / "all.json").read_text())["devices"]) == 2
    rows = list(
        csv.DictReader(done(prompt("devices", "export", "-", "--format", "csv")).split("\n"))
    )
    assert [(row["device"], row["desired_bundle"], row["drift"]) for row in rows] == [
        (ONE, NEW, "bundle"),
        (TWO, "", "clock"),
    ]


def test_revoked_then_forgotten(prompt: Prompt, fleet: Path) -> None:  # noqa: F811
    done(prompt("devices", "list"))
    refused = prompt("devices", "forget", ONE)
    assert (refused.code, "is enrolled" in refused.err) == (RegistryError.exit_code, True)
    done(prompt("pki", "revoke", ONE))
    assert "its certificate is revoked" in done(prompt("devices", "list"))
    assert done(prompt("devices", "forget", ONE)) == f"{ONE} is forgotten\n"
    assert ONE not in done(prompt("devices", "list"))


def test_an_expired_certificate(prompt: Prompt, fleet: Path) -> None:  # noqa: F811
    laboratory = Laboratory(fleet / "other")
    laboratory.enrol(ONE, when=NOW - timedelta(days=9), lasts=timedelta(days=8))
    words = ["--pki", str(laboratory.pki), "--registry", "other.db"]
    assert ONE not in done(prompt("devices", "list", *words))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("show lab/scope-9", RegistryError.exit_code, "lab/scope-9 is not in the registry"),
        ("forget lab/scope-9", RegistryError.exit_code, "lab/scope-9 is not in the registry"),
        ("list --registry pki", RegistryError.exit_code, "registry pki cannot be opened"),
        ("list --registry postgresql://127.0.0.1:1/d", RegistryError.exit_code, "be opened: conn"),
        ("list --registry mysql://h/d", RegistryError.exit_code, "no place for the registry"),
        ("list --pki none", 17, "none holds no authority"),
        ("watch", ConfigError.exit_code, "say who listens with --identity"),
        ("watch --identity none", ConfigError.exit_code, "identity none: "),
        ("watch --broker mqtt://127.0.0.1:1", BrokerError.exit_code, "nothing listens there"),
        ("export no/such/folder.json", RegistryError.exit_code, "cannot be written"),
    ],
)
def test_bad_input_gets_one_line(
    prompt: Prompt,  # noqa: F811
    fleet: Path,
    words: str,
    code: int,
    said: str,
) -> None:
    told = prompt("devices", *words.split())
    assert told.code == code
    assert said in told.err
    assert len(told.err.splitlines()) == 1


def test_without_an_authority_at_hand_a_registry_must_be_there(
    prompt: Prompt,  # noqa: F811
    tmp_path: Path,
) -> None:
    assert "no registry at registry.db" in prompt("devices", "list").err
    assert list(tmp_path.iterdir()) == []


def test_help_loads_no_mqtt_no_database_and_no_cryptography() -> None:
    code = (
        "import sys; from deploy.cli import main\n"
        "sys.argv = ['leuko-deploy', 'devices', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stderr
    assert not {"cryptography", "paho", "sqlalchemy", "sqlite3"} & set(told.split())
