"""One playbook on some hosts, by ansible-runner. Ansible itself is a program that it starts.

ansible-core is under the GPL: it is started, and never imported (decision 33).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deploy.push.errors import PushError
from deploy.push.inventory import Inventory

PLAYBOOKS = Path(__file__).parents[1] / "ansible"
_MOST_LINE = 400
_OF_A_COMMAND = "non-zero return code"
_LONGEST_SOCKETS = 45
"""The kernel takes 107 bytes of a path, and ssh adds names of its own."""
_ENVIRONMENT = {
    "ANSIBLE_HOST_KEY_CHECKING": "True",
    "ANSIBLE_SSH_USETTY": "False",
    "ANSIBLE_TIMEOUT": "20",
    "ANSIBLE_PIPELINING": "True",
    "ANSIBLE_NOCOWS": "True",
    "ANSIBLE_RETRY_FILES_ENABLED": "False",
    "ANSIBLE_DEPRECATION_WARNINGS": "False",
}


@dataclass(frozen=True)
class Outcome:
    """What became of one host."""

    host: str
    changed: int
    trouble: str | None
    """Why it did not come to the end; None when it did."""

    @property
    def line(self) -> str:
        """For people."""
        if self.trouble is not None:
            return f"{self.host}: {self.trouble}"
        return f"{self.host}: {self.changed} changed" if self.changed else f"{self.host}: as it was"


def play(
    name: str, inventory: Inventory, variables: Mapping[str, Any], *, check: bool
) -> list[Outcome]:
    """Run a playbook; what became of each host, by name.

    Args:
        name: of the playbook, without its suffix.
        inventory: the hosts, all of which are meant.
        variables: of the roles.
        check: say what would change, and change nothing.

    Raises:
        PushError: Ansible is not installed, or did not even begin.
    """
    if find_spec("ansible_runner") is None:
        raise PushError("push needs Ansible: pip install 'leukoedge[ansible]'")
    import ansible_runner

    with tempfile.TemporaryDirectory(prefix="leuko-push-") as scratch:
        place = Path(scratch)
        (place / "inventory").mkdir()
        (place / "inventory" / "hosts.json").write_text(json.dumps(inventory))
        programs = Path(sys.executable).parent
        ran = ansible_runner.run(
            private_data_dir=str(place),
            project_dir=str(PLAYBOOKS),
            playbook=f"{name}.yml",
            inventory=str(place / "inventory" / "hosts.json"),
            extravars=dict(variables),
            envvars={
                **_ENVIRONMENT,
                **_ssh(place / "c"),
                "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                "ANSIBLE_LOCAL_TEMP": str(place / "tmp"),
                "ANSIBLE_HOME": str(place / "home"),
            },
            cmdline="--check" if check else None,
            forks=16,
            quiet=True,
            suppress_env_files=True,
        )
        events = list(ran.events)
        said = "" if events else ran.stdout.read()
    hosts = [host for site in inventory["all"]["children"].values() for host in site["hosts"]]
    outcomes = outcomes_of(sorted(hosts), events)
    if not any(event["event"] == "playbook_on_stats" for event in events):
        raise PushError(f"ansible did not come to its end: {_one_line(said) or ran.status}")
    return outcomes


def outcomes_of(hosts: Iterable[str], events: Iterable[Mapping[str, Any]]) -> list[Outcome]:
    """What the events of a run say of each host."""
    trouble: dict[str, str] = {}
    changed: dict[str, int] = {}
    for event in events:
        data = event.get("event_data", {})
        host, result = str(data.get("host", "")), data.get("res", {})
        if event["event"] == "runner_on_unreachable":
            trouble[host] = f"cannot be reached: {_said(result)}"
        elif event["event"] == "runner_on_failed" and not data.get("ignore_errors"):
            trouble[host] = f"{data.get('task', 'a task')}: {_said(result)}"
        elif event["event"] == "playbook_on_stats":
            changed = data.get("changed", {})
    return [Outcome(host, changed.get(host, 0), trouble.get(host)) for host in hosts]


def _said(result: Mapping[str, Any]) -> str:
    """What a module said of its failure."""
    for item in result.get("results", ()):
        if item.get("failed") or item.get("unreachable"):
            return _said(item)
    said = str(result.get("stderr") or "")
    errors = [line for line in said.splitlines() if line.startswith("ERROR:")]
    message = str(result.get("msg") or "")
    if message == _OF_A_COMMAND:  # what the command itself said tells more
        message = said or message
    return _one_line(errors[-1] if errors else message or said)


def _ssh(sockets: Path) -> dict[str, str]:
    """One connection to a host for all of a run, and never that of a run before.

    A connection that outlives its run would hide a host that has died since.
    """
    held = "-o ControlMaster=no"
    if len(str(sockets)) <= _LONGEST_SOCKETS:
        held = "-o ControlMaster=auto -o ControlPersist=5s"
    alive = "-o ServerAliveInterval=5 -o ServerAliveCountMax=4 -o ConnectTimeout=20"
    return {
        "ANSIBLE_SSH_ARGS": f"{held} {alive} -o BatchMode=yes",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MOST_LINE]
