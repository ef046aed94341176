"""Where devices are reached: a small file beside the registry, read strictly.

[defaults]
user = "operator"

["haematology/microscope-1"]
address = "10.20.0.11"
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from deploy.push.errors import PushError
from edge_daemon.contract.base import StrictModel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULTS = "defaults"
_Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}$")]
_User = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,31}$")]
_Absolute = Annotated[str, StringConstraints(pattern=r"^(/[^\s\"']*)?$")]


class Host(StrictModel):
    """How a device is reached, and what is its own on it."""

    address: _Address
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: _User | None = None
    """Who logs in; who runs ansible when left out."""
    key: Path | None = None
    """Private key of that user; SSH's own choice when left out."""
    known_hosts: Path | None = None
    become: bool = True
    """Become root by sudo. Without it only files below ``prefix`` are put in place."""
    prefix: _Absolute = ""
    """Goes before every path on the device: empty but for trials."""
    python: str = "/usr/bin/python3"
    """On the device: ansible runs with it, and the daemon's environment is made of it."""
    system_site_packages: bool = False
    """On a Jetson: TensorRT comes with JetPack."""
    systemctl: str = "systemctl"
    config: Path | None = None
    """A whole configuration in the place of the one that is written from the keys below."""
    source: str = "camera://0"
    broker: str = ""
    repository: str = ""


def read_hosts(file: Path) -> dict[str, Host]:
    """Every host by the name of its device, with the defaults.

    Raises:
        PushError: the file cannot be read, or says something that it should not.
    """
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise PushError(f"cannot read {file}: {error.strerror}; name the file of hosts") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        twice = "Cannot declare" in str(error) or "Cannot overwrite" in str(error)
        hint = "; a device stands there twice" if twice else ""
        raise PushError(f"{file}: {error}{hint}") from None
    defaults = content.pop(DEFAULTS, {})
    found = {
        name: _host(file, name, {**defaults, **table} if isinstance(table, dict) else table)
        for name, table in content.items()
    }
    places: dict[tuple[str, int], str] = {}
    for name, host in found.items():
        other = places.setdefault((host.address, host.port), name)
        if other != name:
            raise PushError(
                f"{file}: {other} and {name} are both at {host.address}:{host.port}; correct one"
            )
    if not found:
        raise PushError(f'{file} names no device: a table for each, as ["SITE/DEVICE"]')
    return found


def check_known(file: Path, hosts: Iterable[str], registered: Iterable[str]) -> None:
    """Every host is a device of the registry. Raises :class:`PushError` where one is not."""
    known = set(registered)
    for name in hosts:
        if name not in known:
            raise PushError(
                f"{file}: {name} is not in the registry{_like(name, known)}; enrol it first "
                "(leuko-deploy pki enrol)"
            )


def chosen(hosts: dict[str, Host], only: Iterable[str]) -> dict[str, Host]:
    """Those that were named, or all. Raises :class:`PushError` where one is not there."""
    wanted = list(only)
    for name in wanted:
        if name not in hosts:
            raise PushError(f"{name} is not among the hosts{_like(name, hosts)}")
    return {name: host for name, host in hosts.items() if not wanted or name in wanted}


def _host(file: Path, name: str, table: Any) -> Host:
    if not isinstance(table, dict):
        raise PushError(f'{file}: {name} is no table; write ["{name}"] and its keys below')
    try:
        host = Host.model_validate(table)
    except ValidationError as error:
        # A misspelt key is the cause where the right one is then missing.
        faults = error.errors(include_url=False, include_input=False)
        fault = min(faults, key=lambda found: found["type"] != "extra_forbidden")
        key = ".".join(map(str, fault["loc"]))
        if fault["type"] == "extra_forbidden":
            hint = _like(key, Host.model_fields)
            raise PushError(f"{file}: {name}: there is no key {key!r}{hint}") from None
        raise PushError(f"{file}: {name}: {key}: {fault['msg']}") from None
    beside = {
        key: file.absolute().parent / path.expanduser()
        for key, path in (
            ("key", host.key),
            ("known_hosts", host.known_hosts),
            ("config", host.config),
        )
        if path is not None
    }
    if "config" in beside:
        _check_config(name, beside["config"])
    return host.model_copy(update=beside)


def _check_config(name: str, config: Path) -> None:
    """It is this device's: two devices of one name throw each other out."""
    try:
        device = tomllib.loads(config.read_text("utf-8")).get("device", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PushError(f"{config} of {name} cannot be read: {error}") from None
    said = f"{device.get('site')}/{device.get('name')}"
    if said != name:
        raise PushError(f"{config} is of {said}, and {name} is to have it; correct its [device]")


def _like(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; is it {near[0]}?" if near else ""
