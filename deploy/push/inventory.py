"""The hosts as an inventory of Ansible, which anybody can use without us."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from deploy.push.hosts import Host

Inventory = dict[str, Any]


def inventory_of(hosts: Mapping[str, Host]) -> Inventory:
    """One group for each site; each host bears the name of its device."""
    sites: dict[str, dict[str, Any]] = {}
    for name, host in sorted(hosts.items()):
        site = name.partition("/")[0]
        sites.setdefault(_group(site), {"hosts": {}})["hosts"][name] = _variables(name, host)
    return {"all": {"children": sites}}


def _variables(name: str, host: Host) -> dict[str, Any]:
    site, _, device = name.partition("/")
    found: dict[str, Any] = {
        "ansible_host": host.address,
        "ansible_port": host.port,
        "ansible_python_interpreter": host.python,
        "leuko_site": site,
        "leuko_device": device,
        "leuko_become": host.become,
        "leuko_prefix": host.prefix,
        "leuko_python": host.python,
        "leuko_system_site_packages": host.system_site_packages,
        "leuko_systemctl": host.systemctl,
        "leuko_source": host.source,
        "leuko_broker": host.broker,
        "leuko_repository": host.repository,
    }
    if host.config is not None:
        found["leuko_config"] = str(host.config)
    if host.user is not None:
        found["ansible_user"] = host.user
    if host.key is not None:
        found["ansible_ssh_private_key_file"] = str(host.key)
    if host.known_hosts is not None:
        option = shlex.quote(f"UserKnownHostsFile={host.known_hosts}")
        found["ansible_ssh_common_args"] = f"-o {option}"
    if host.prefix:
        found["ansible_remote_tmp"] = f"{host.prefix}/.ansible"
    return found


def _group(site: str) -> str:
    """A group's name: letters, digits and underscores."""
    return "site_" + re.sub(r"[^A-Za-z0-9]", "_", site)
