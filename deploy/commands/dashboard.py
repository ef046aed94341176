"""``leuko-deploy dashboard``: every result in one database, and the pages on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.commands import dashboard_export, dashboard_web

if TYPE_CHECKING:
    from deploy.dashboard.database.opening import Database

app = typer.Typer(
    help="The central dashboard: every result of every device in one database.",
    no_args_is_help=True,
)
app.add_typer(dashboard_web.app)
app.add_typer(dashboard_export.app)

Where = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="LEUKO_DATABASE",
        help="File of the database, or postgresql://user@host/name",
    ),
]
DATABASE = "dashboard.db"


@app.command()
def migrate(database: Where = DATABASE) -> None:
    """Make the tables, or bring them to this program's version; nothing or all of it."""
    from deploy.dashboard.database.migrating import migrate as bring

    with _named(database) as opened:
        before, after = bring(opened)
        if before == after:
            typer.echo(f"{opened.name} has version {after} already")
        else:
            typer.echo(f"{opened.name}: from {before or 'nothing'} to version {after}")


@app.command()
def check(database: Where = DATABASE) -> None:
    """Say whether the database can be used, how it is kept, and who takes in messages."""
    from deploy.dashboard.errors import DatabaseError
    from deploy.dashboard.queries.fleet import listening
    from edge_daemon.contract.envelope import utc_now

    with _named(database) as opened:
        faults = opened.check()
        with opened.reading() as connection:
            heard = listening(connection, utc_now())
        if faults:
            raise DatabaseError("; ".join(faults))
        typer.echo(f"{opened.name} is well")
        for one in heard.workers:
            word = (
                "listens" if one in heard.active else f"was last here {one.until:%d %b %H:%M} UTC"
            )
            typer.echo(f"worker {one.name} {word}, {one.messages} messages")
        if heard.since is None:
            typer.echo("nobody takes in messages now")


@app.command()
def ingest(
    database: Where = DATABASE,
    identity: Annotated[
        Path | None,
        typer.Option(envvar="LEUKO_IDENTITY", help="Folder of who listens, as it was handed out"),
    ] = None,
    broker: Annotated[
        str | None, typer.Option(help="Address that goes before the folder's")
    ] = None,
    worker: Annotated[
        str, typer.Option(help="Name of this worker, another one for each that runs")
    ] = "1",
    share: Annotated[
        str | None,
        typer.Option(
            help="Group of a shared subscription: workers of one group share the messages"
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0.1, help="End after so many seconds")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Counts, an object every 5 s")] = False,
) -> None:
    """Take in what devices say, each message once, until stopped."""
    import logging
    import sys

    from deploy.dashboard.ingest.command import run
    from deploy.dashboard.ingest.worker import Worker
    from deploy.registry.connection import settings_of
    from edge_daemon.contract.topics import check_name

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    check_name(worker, "worker")
    if share is not None:
        check_name(share, "group")
    settings = settings_of(identity, broker)
    with _named(database) as opened:
        run(
            lambda: Worker(settings, opened, name=worker, share=share),
            typer.echo,
            seconds=seconds,
            json=json,
        )


@app.command()
def watch(
    database: Where = DATABASE,
    webhook: Annotated[
        list[str] | None,
        typer.Option(help="https address that is told each alert; more than once for several"),
    ] = None,
    webhook_secret: Annotated[
        Path | None,
        typer.Option(help="File with the key that signs, whsec_... [or LEUKO_WEBHOOK_SECRET]"),
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option(
            envvar="LEUKO_ALERTS_IDENTITY", help="Folder of an identity `dashboard:NAME`, for MQTT"
        ),
    ] = None,
    broker: Annotated[
        str | None, typer.Option(help="Address that goes before the folder's")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0.1, help="End after so many seconds")
    ] = None,
) -> None:
    """Watch for what people have to know at once, and tell them, until stopped."""
    import logging
    import sys

    from deploy.dashboard.alerts.command import run
    from deploy.dashboard.alerts.options import settings_of

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    settings = settings_of(webhook or (), webhook_secret, identity, broker)
    with _named(database) as opened:
        opened.require()
        run(opened, settings, typer.echo, seconds=seconds)


def _named(place: str) -> Database:
    from deploy.dashboard.database.opening import Database

    return Database(place)
