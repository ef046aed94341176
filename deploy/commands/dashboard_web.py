"""The web application's part of ``leuko-deploy dashboard``: serve it, keep users, check chains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.passphrases import Passphrase
from edge_daemon.errors import ConfigError

if TYPE_CHECKING:
    from deploy.dashboard.database.opening import Database

app = typer.Typer()
user_app = typer.Typer(help="Who may come in, and what they may do.", no_args_is_help=True)
app.add_typer(user_app, name="user")

Where = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="LEUKO_DATABASE",
        help="File of the database, or postgresql://user@host/name",
    ),
]
Name = Annotated[str, typer.Argument(help="As it is typed at the login")]
RoleOption = Annotated[str, typer.Option(help="viewer, reviewer, lead or admin")]
Json = Annotated[bool, typer.Option("--json", help="For programs")]
DATABASE = "dashboard.db"
_CONSOLE = "(console)"
"""Stands in the audit for whoever may run this program: no user of the dashboard is called so."""


@app.command()
def serve(
    database: Where = DATABASE,
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = 8470,
    certificate: Annotated[
        Path | None, typer.Option(help="PEM with the chain, for TLS here")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Its key, PEM")] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(help="Address or network of a proxy that ends TLS; more than once"),
    ] = None,
    second_reader: Annotated[
        str,
        typer.Option(help="When a second person has to sign: optional, positive or always"),
    ] = "optional",
    patients: Annotated[
        Path | None, typer.Option(help="CSV of the site: slide,patient; for FHIR alone")
    ] = None,
    idle_minutes: Annotated[
        float, typer.Option(min=1, help="A session ends when it is idle for so long")
    ] = 30,
    session_hours: Annotated[
        float, typer.Option(min=0.1, help="And after so long in any case")
    ] = 12,
    watch: Annotated[
        bool, typer.Option("--watch", help="Watch for alerts too, without `dashboard watch`")
    ] = False,
    webhook: Annotated[
        list[str] | None, typer.Option(help="With --watch: as of `dashboard watch`")
    ] = None,
    webhook_secret: Annotated[
        Path | None, typer.Option(help="With --watch: as of `dashboard watch`")
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option(envvar="LEUKO_ALERTS_IDENTITY", help="With --watch: as of `dashboard watch`"),
    ] = None,
    broker: Annotated[
        str | None, typer.Option(help="With --watch: as of `dashboard watch`")
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(help="Registry of `leuko-deploy devices`, for what devices shall run"),
    ] = None,
    rollouts: Annotated[
        Path | None, typer.Option(help="Folder of a rollout, or of several, to be shown")
    ] = None,
    previews: Annotated[
        Path | None,
        typer.Option(help="TOML file of devices whose picture may be shown [default: none]"),
    ] = None,
    bundles: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of unpacked bundles, or one bundle, to show what moved the verdict on a "
            "cell; more than once [default: not shown]"
        ),
    ] = None,
) -> None:
    """Show the dashboard to browsers, until stopped."""
    import logging
    import sys
    from datetime import timedelta
    from typing import get_args

    from deploy.dashboard.access.sessions import Lifetimes
    from deploy.dashboard.alerts.options import settings_of
    from deploy.dashboard.application import create_application
    from deploy.dashboard.review.signing import SecondReader
    from deploy.dashboard.web.serving import serve as serve_pages
    from deploy.dashboard.web.settings import WebSettings

    if second_reader not in get_args(SecondReader):
        raise ConfigError("--second-reader is one of optional, positive, always")
    if not watch and (webhook or webhook_secret or broker):
        raise ConfigError("--webhook and --broker tell of alerts: give --watch too")
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    settings = WebSettings(
        database=database,
        host=host,
        port=port,
        certificate=certificate,
        key=key,
        trusted_proxy=tuple(trusted_proxy or ()),
        second_reader=second_reader,  # type: ignore[arg-type]
        patients=patients,
        lifetimes=Lifetimes(timedelta(minutes=idle_minutes), timedelta(hours=session_hours)),
        watch=settings_of(webhook or (), webhook_secret, identity, broker) if watch else None,
        registry=registry,
        rollouts=rollouts,
        previews=previews,
        bundles=tuple(bundles or ()),
    )
    serve_pages(settings, typer.echo, create_application)


@user_app.command("add")
def add_user(
    name: Name,
    role: RoleOption = "viewer",
    full_name: Annotated[str | None, typer.Option(help="As colleagues know them")] = None,
    database: Where = DATABASE,
) -> None:
    """Let somebody in; the password is asked for, or taken from LEUKO_USER_PASSWORD."""
    from deploy.dashboard.access import users
    from deploy.dashboard.review.records import record

    password = _password(name)
    with _opened(database) as opened, opened.writing() as connection:
        users.add(connection, name, role, password, full_name, _CONSOLE)
        record(connection, _CONSOLE, "user added", name, role=role)
    typer.echo(f"{name} may come in as {role}")


@user_app.command("list")
def list_users(database: Where = DATABASE, json: Json = False) -> None:
    """Everybody who may come in, or might once."""
    import json as text

    from deploy.dashboard.access import users

    with _opened(database) as opened, opened.reading() as connection:
        found = users.everyone(connection)
    if json:
        rows = [
            {
                "name": one.name,
                "full_name": one.full_name,
                "role": one.role,
                "active": one.active,
                "created_at": one.created_at.isoformat(timespec="seconds"),
            }
            for one in found
        ]
        typer.echo(text.dumps(rows, indent=2))
        return
    for one in found:
        state = "" if one.active else "  disabled"
        typer.echo(f"{one.name:<20} {one.role:<9} {one.full_name or ''}{state}".rstrip())
    if not found:
        typer.echo("nobody yet: `leuko-deploy dashboard user add NAME --role admin`")


@user_app.command("password")
def set_password(name: Name, database: Where = DATABASE) -> None:
    """Give somebody another password; the open sessions of the old one end."""
    from deploy.dashboard.access import users
    from deploy.dashboard.review.records import record

    with _opened(database) as opened:
        with opened.reading() as connection:
            users.find(connection, name)
        password = _password(name)
        with opened.writing() as connection:
            users.set_password(connection, name, password)
            record(connection, _CONSOLE, "password", name)
    typer.echo(f"{name} has another password")


@user_app.command("role")
def set_role(
    name: Name,
    role: Annotated[str, typer.Argument(help="viewer, reviewer, lead or admin")],
    database: Where = DATABASE,
) -> None:
    """Let somebody do more, or less; it counts at once."""
    from deploy.dashboard.access import users
    from deploy.dashboard.review.records import record

    with _opened(database) as opened, opened.writing() as connection:
        users.set_role(connection, name, role)
        record(connection, _CONSOLE, "role", name, role=role)
    typer.echo(f"{name} is {role}")


@user_app.command("disable")
def disable_user(
    name: Name,
    again: Annotated[bool, typer.Option("--enable", help="Let them in again instead")] = False,
    database: Where = DATABASE,
) -> None:
    """Let somebody in no longer; what they decided stays, and their open sessions end."""
    from deploy.dashboard.access import users
    from deploy.dashboard.review.records import record

    with _opened(database) as opened, opened.writing() as connection:
        users.set_active(connection, name, again)
        record(connection, _CONSOLE, "user enabled" if again else "user disabled", name)
    typer.echo(f"{name} may come in again" if again else f"{name} may come in no longer")


@app.command()
def verify(
    database: Where = DATABASE,
    anchor: Annotated[Path | None, typer.Option(help="File that `anchor` wrote before")] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="The anchor has to be signed with the key of this, PEM")
    ] = None,
) -> None:
    """Go through the chains of decisions and of access; name the first row that is broken."""
    from deploy.dashboard.review.anchor import public_key as key_of
    from deploy.dashboard.review.anchor import read, verify_all
    from deploy.dashboard.review.errors import ChainError

    if public_key is not None and anchor is None:
        raise ConfigError("--public-key says who signed an anchor: give --anchor too")
    held = None
    if anchor is not None:
        try:
            text = anchor.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise ChainError(f"{anchor} cannot be read: give what `anchor` wrote") from None
        held = read(text, None if public_key is None else key_of(public_key))
    with _opened(database) as opened, opened.reading() as connection:
        heads = verify_all(connection, held)
    for name, head in heads.items():
        typer.echo(f"{name}: {head.rows} rows hold, the last is {head.hash}")
    if held is None:
        typer.echo("held to no anchor: whether the end was cut off is not known")
    else:
        typer.echo(f"held to the anchor of {held.at}: nothing that was there then is missing")


@app.command()
def anchor(
    database: Where = DATABASE,
    key: Annotated[
        Path | None,
        typer.Option(help="Ed25519 key that signs it, PEM; passphrase in LEUKO_ANCHOR_PASSPHRASE"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write [default: print it]")] = None,
) -> None:
    """Say where the chains end now; kept elsewhere, it shows later whether the end was cut off."""
    from deploy.dashboard.review.anchor import make, private_key, verify_all
    from deploy.dashboard.review.errors import ChainError
    from edge_daemon.whole_files import write_whole

    signer = None
    if key is not None:
        passphrase = None
        if b"ENCRYPTED" in _content(key):
            wanted = Passphrase(f"the anchor's key {key}", ["LEUKO_ANCHOR_PASSPHRASE"], ChainError)
            passphrase = wanted.ask()
        signer = private_key(key, passphrase)
    with _opened(database) as opened, opened.reading() as connection:
        verify_all(connection)  # nobody signs a broken chain
        line = make(connection, signer).to_json()
    if out is None:
        typer.echo(line)
    else:
        write_whole(out, f"{line}\n".encode())
        typer.echo(f"{out}: keep it where whoever keeps the database does not come")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None


def _password(name: str) -> str:
    import getpass
    import os
    import sys

    given = os.environ.get("LEUKO_USER_PASSWORD")
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise ConfigError("nobody can be asked for the password: set LEUKO_USER_PASSWORD")
    chosen = getpass.getpass(f"Password for {name}: ")
    if chosen != getpass.getpass("Once more: "):
        raise ConfigError("the two passwords differ; nothing was changed")
    return chosen


def _opened(place: str) -> Database:
    from deploy.dashboard.database.opening import Database

    database = Database(place)
    database.require()
    return database
