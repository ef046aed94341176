"""``leuko-deploy broker``: the broker's configuration, written and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help="A broker that lets in who is enrolled, and nobody else.", no_args_is_help=True
)

Folder = Annotated[Path, typer.Argument(help="Folder of the broker's files")]


@app.command()
def write(
    folder: Folder,
    server: Annotated[
        list[Path], typer.Option(help="Folder of the server that was enrolled; one for each node")
    ],
    pki: Annotated[
        list[Path] | None,
        typer.Option(envvar="LEUKO_PKI", help="Authority; a second one is trusted beside it"),
    ] = None,
    profile: Annotated[
        Literal["mosquitto", "nats"], typer.Option(help="One Mosquitto, or a cluster of NATS")
    ] = "mosquitto",
    settings: Annotated[
        Path | None, typer.Option(help="TOML file; what is given here goes before it")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [default: 8883]")] = None,
    lies_at: Annotated[
        str | None, typer.Option(help="Where the files will lie on the broker's machine")
    ] = None,
    user: Annotated[str | None, typer.Option(help="User of the broker")] = None,
) -> None:
    """Write a broker's configuration, its access rules, and the files that they name."""
    from deploy.broker.cluster import write_cluster
    from deploy.broker.nats import NatsProfile
    from deploy.broker.settings import BrokerProfile, load_settings
    from deploy.broker.written import write as write_folder
    from deploy.identity.authority import look_at
    from edge_daemon.contract.envelope import utc_now
    from edge_daemon.errors import ConfigError

    given = {"address": address, "port": port, "lies_at": lies_at, "user": user}
    authorities = [look_at(one) for one in pki or [Path("pki")]]
    if profile == "nats":
        cluster = load_settings(NatsProfile, settings, given)
        done = write_cluster(folder, cluster, server, authorities, utc_now())
        where = ", ".join(f"{node.address}:{node.port}" for node in cluster.nodes)
        typer.echo(f"{folder}: NATS on {where} for {len(done.identities)} clients")
        typer.echo("Whatever has changed: restart one node after the other.")
        return
    if len(server) != 1:
        raise ConfigError("a Mosquitto is one server: give --server once")
    single = load_settings(BrokerProfile, settings, given)
    record = write_folder(folder, single, server[0], authorities, utc_now())
    where = f"{single.address}:{single.port}"
    typer.echo(f"{folder}: Mosquitto on {where} for {len(record.identities)} clients")
    typer.echo("New clients, its own certificate: reload it (SIGHUP). Revoked ones: restart it.")


@app.command()
def check(folder: Folder) -> None:
    """Say whether a written folder is whole, unchanged and in date; starts nothing."""
    from deploy.broker import checked, cluster
    from edge_daemon.contract.envelope import utc_now

    is_cluster = (folder / cluster.RECORD).is_file()
    judge = cluster.check_cluster if is_cluster else checked.check
    for warning in judge(folder, utc_now()):
        typer.echo(f"{folder}: {warning}")
    typer.echo(f"{folder}: as it was written")
