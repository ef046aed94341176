"""The file of hosts: each mistake in it is one line, before anything is reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.push.errors import PushError
from deploy.push.hosts import check_known, chosen, read_hosts
from deploy.push.inventory import inventory_of
from deploy.push.playbook import outcomes_of

GOOD = """
[defaults]
user = "operator"
key = "keys/operator"
["north/scope-1"]
address = "10.20.0.11"
["north/scope-2"]
address = "10.20.0.12"
user = "other"
system_site_packages = true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "hosts.toml"
    place.write_text(GOOD)
    return place


def test_defaults_hold_where_a_host_says_nothing_else(file: Path) -> None:
    hosts = read_hosts(file)

    assert [host.user for host in hosts.values()] == ["operator", "other"]
    assert hosts["north/scope-1"].key == file.parent / "keys/operator"
    north = inventory_of(hosts)["all"]["children"]["site_north"]["hosts"]
    assert north["north/scope-2"]["ansible_host"] == "10.20.0.12"
    assert north["north/scope-2"]["leuko_device"] == "scope-2"
    assert north["north/scope-2"]["leuko_system_site_packages"] is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('["north/scope-1"]\nadress = "10.0.0.9"', "no key 'adress'; is it address?"),
        ('["north/scope-1"]\nport = 22', "address: Field required"),
        ('["north/scope-1"]\naddress = "10.0.0.9"\nport = 99999', "port: Input should be less"),
        ('["north/scope-1"]\naddress = "-oProxyCommand=x"', "address: String should match"),
        ('["north/scope-1"]\naddress = "a"\nprefix = "tmp"', "prefix: String should match"),
        (GOOD + '["north/scope-1"]\naddress = "10.0.0.9"', "a device stands there twice"),
        (GOOD + '["north/scope-3"]\naddress = "10.20.0.11"', "are both at 10.20.0.11:22"),
        ('"north/scope-1" = "10.0.0.9"', "is no table"),
        ("[defaults]", "names no device"),
        ("[north", "hosts.toml: "),
        (
            '["north/scope-1"]\naddress = "a"\nconfig = "other.toml"',
            "is of north/scope-9, and north",
        ),
        ('["north/scope-1"]\naddress = "a"\nconfig = "absent.toml"', "cannot be read"),
    ],
)
def test_what_is_wrong_in_it_is_said_in_a_line(file: Path, text: str, why: str) -> None:
    file.write_text(text)
    other = '[device]\nsite = "north"\nname = "scope-9"\n'
    file.with_name("other.toml").write_text(other)
    with pytest.raises(PushError) as caught:
        read_hosts(file)

    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PushError, match="name the file of hosts"):
        read_hosts(tmp_path / "absent.toml")


def test_a_device_that_is_not_enrolled_is_not_reached(file: Path) -> None:
    with pytest.raises(PushError, match="north/scope-2 is not in the registry; is it north/scope"):
        check_known(file, read_hosts(file), ["north/scope-1"])
    with pytest.raises(PushError, match="north/scope-9 is not among the hosts; is it north/"):
        chosen(read_hosts(file), ["north/scope-9"])
    assert list(chosen(read_hosts(file), ["north/scope-2"])) == ["north/scope-2"]


def test_who_names_nothing_for_break_glass_is_told(file: Path) -> None:
    done = CliRunner().invoke(app, ["push", "break-glass", "stop", "--hosts", str(file)])
    assert done.exit_code == 2
    assert "--only" in done.output


def test_what_a_host_said_becomes_one_line() -> None:
    events = [
        {
            "event": "runner_on_failed",
            "event_data": {
                "host": "north/scope-1",
                "task": "The daemon",
                "res": {"msg": "non-zero return code", "stderr": "WARNING: x\nERROR: no\nERROR: b"},
            },
        },
        {
            "event": "runner_on_unreachable",
            "event_data": {"host": "north/scope-2", "res": {"msg": "Failed\nto connect"}},
        },
        {
            "event": "runner_on_failed",
            "event_data": {
                "host": "north/scope-5",
                "task": "They start",
                "res": {"msg": "non-zero return code", "stderr": "Job failed.\nSee its journal.\n"},
            },
        },
        {"event": "playbook_on_stats", "event_data": {"changed": {"north/scope-3": 2}}},
    ]
    lines = [one.line for one in outcomes_of([f"north/scope-{n}" for n in range(1, 6)], events)]

    assert lines == [
        "north/scope-1: The daemon: ERROR: b",
        "north/scope-2: cannot be reached: Failed to connect",
        "north/scope-3: 2 changed",
        "north/scope-4: as it was",
        "north/scope-5: They start: Job failed. See its journal.",
    ]
