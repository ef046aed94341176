"""``leuko-deploy push``: devices over SSH, by the playbooks in ``deploy/ansible``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deploy.commands.options import REGISTRY, Where

if TYPE_CHECKING:
    from deploy.push.hosts import Host

app = typer.Typer(
    help="Set devices up, and take them in hand when they cannot help themselves, over SSH.",
    no_args_is_help=True,
)

HostsOption = Annotated[Path, typer.Option("--hosts", help="File with the address of each device")]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="SITE/DEVICE", help="This device; may be given several times"),
]
Check = Annotated[bool, typer.Option("--check", help="Say what would change, and change nothing")]
HOSTS = Path("hosts.toml")


@app.command()
def inventory(
    hosts: HostsOption = HOSTS,
    registry: Where = REGISTRY,
    only: Only = None,
    out: Annotated[Path | None, typer.Option(help="File to write")] = None,
) -> None:
    """Print the inventory, for ansible-playbook without us."""
    import json

    from deploy.push.errors import PushError
    from deploy.push.inventory import inventory_of
    from edge_daemon.whole_files import write_whole

    text = json.dumps(inventory_of(_hosts(hosts, registry, only)), indent=2) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        write_whole(out, text.encode())
    except OSError as error:
        raise PushError(f"cannot write {out}: {error.strerror}") from None


@app.command()
def bootstrap(
    version: Annotated[str, typer.Option(help="Version of the daemon")],
    wheelhouse: Annotated[Path, typer.Option(help="Folder with its wheel and what it needs")],
    hosts: HostsOption = HOSTS,
    registry: Where = REGISTRY,
    only: Only = None,
    check: Check = False,
) -> None:
    """User, folders, a first version from a wheelhouse, and the configuration."""
    from deploy.push.errors import PushError

    if not any(wheelhouse.glob(f"leukoedge-{version}-*.whl")):
        raise PushError(f"{wheelhouse} has no wheel of leukoedge {version}; fill it, then again")
    variables = {"leuko_version": version, "leuko_wheelhouse": str(wheelhouse.absolute())}
    _play("bootstrap", _hosts(hosts, registry, only), variables, check=check)


@app.command()
def certificates(
    identities: Annotated[
        Path, typer.Option(help="Folder in which `pki enrol` or `pki renew` made SITE/DEVICE")
    ],
    hosts: HostsOption = HOSTS,
    registry: Where = REGISTRY,
    only: Only = None,
    check: Check = False,
) -> None:
    """The certificate of each device, which it uses from its next start on."""
    from deploy.push.identities import check_identities
    from edge_daemon.contract.envelope import utc_now

    found = _hosts(hosts, registry, only)
    check_identities(identities, found, utc_now())
    variables = {"leuko_identities": str(identities.absolute())}
    _play("certificates", found, variables, check=check)


@app.command()
def units(
    hosts: HostsOption = HOSTS, registry: Where = REGISTRY, only: Only = None, check: Check = False
) -> None:
    """The units of systemd, enabled and started."""
    _play("units", _hosts(hosts, registry, only), {}, check=check)


@app.command("break-glass")
def break_glass(
    action: Annotated[
        Literal["stop", "start", "pin", "unpin", "back"],
        typer.Argument(help="pin: no updates; back: to another version", show_default=False),
    ],
    only: Annotated[
        list[str], typer.Option("--only", metavar="SITE/DEVICE", help="Each device that is meant")
    ],
    to: Annotated[str | None, typer.Option("--to", help="Version to go back to")] = None,
    hosts: HostsOption = HOSTS,
    registry: Where = REGISTRY,
    check: Check = False,
) -> None:
    """Stop or start a daemon, keep updates away, or go back to a version, by hand."""
    from deploy.push.errors import PushError

    if (action == "back") != (to is not None):
        raise PushError("--to names the version for `back`, and is for `back` alone")
    variables = {"leuko_action": action, "leuko_to": to or ""}
    _play("break_glass", _hosts(hosts, registry, only), variables, check=check)


def _hosts(file: Path, registry: str, only: list[str] | None) -> dict[str, Host]:
    from deploy.push.hosts import check_known, chosen, read_hosts
    from deploy.registry.store import Registry

    hosts = read_hosts(file)
    with Registry(registry, create=False) as book:
        check_known(file, hosts, [device.name for device in book.devices()])
    return chosen(hosts, only or ())


def _play(name: str, hosts: dict[str, Host], variables: dict[str, Any], *, check: bool) -> None:
    from deploy.push.errors import PushError
    from deploy.push.inventory import inventory_of
    from deploy.push.playbook import play

    outcomes = play(name, inventory_of(hosts), variables, check=check)
    for outcome in outcomes:
        typer.echo(outcome.line, err=outcome.trouble is not None)
    if check:
        typer.echo("this was a check: nothing was changed")
    failed = [outcome.host for outcome in outcomes if outcome.trouble is not None]
    if failed:
        raise PushError(f"{len(failed)} of {len(outcomes)} did not come to the end")
