"""What leaves the dashboard, as commands: tokens of programs, a data set, a purge, and a demo."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.passphrases import Passphrase
from edge_daemon.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from deploy.dashboard.database.opening import Database

app = typer.Typer()
token_app = typer.Typer(help="What programs come in with.", no_args_is_help=True)
app.add_typer(token_app, name="token")

Where = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="LEUKO_DATABASE",
        help="File of the database, or postgresql://user@host/name",
    ),
]
Patients = Annotated[
    Path | None, typer.Option(help="CSV of the site: slide,patient (a FHIR reference)")
]
By = Annotated[str, typer.Option("--by", help="User of the dashboard who asks for it")]
DATABASE = "dashboard.db"
_CONSOLE = "(console)"


@token_app.command("add")
def add_token(
    name: Annotated[str, typer.Argument(help="Of the token, to revoke it by")],
    user: Annotated[str, typer.Option(help="User of the dashboard for whom it acts")],
    role: Annotated[str, typer.Option(help="viewer, reviewer or lead; never above the user's")] = (
        "viewer"
    ),
    days: Annotated[float, typer.Option(min=0.01, max=366, help="It ends after so many")] = 90,
    database: Where = DATABASE,
) -> None:
    """Make a token for the API, and print it once; only its digest is kept."""
    from deploy.dashboard.access import tokens
    from deploy.dashboard.review.records import record
    from edge_daemon.contract.envelope import utc_now

    with _opened(database) as opened, opened.writing() as connection:
        said = tokens.make(connection, name, user, role, days, utc_now())
        record(connection, _CONSOLE, "token added", name, acts_for=user, role=role, days=days)
    typer.echo(said)


@token_app.command("list")
def list_tokens(database: Where = DATABASE) -> None:
    """All tokens there ever were."""
    from deploy.dashboard.access import tokens
    from edge_daemon.contract.envelope import utc_now

    with _opened(database) as opened, opened.reading() as connection:
        found = tokens.listed(connection)
    now = utc_now()
    for one in found:
        seen = "never used" if one.seen_at is None else f"used {one.seen_at:%Y-%m-%d}"
        state = "revoked" if one.revoked_at else "" if one.counts(now) else "over"
        line = f"{one.name:<20} {one.user:<16} {one.role:<9} until {one.expires_at:%Y-%m-%d}"
        typer.echo(f"{line}  {seen}  {state}".rstrip())
    if not found:
        typer.echo("none yet: `leuko-deploy dashboard token add NAME --user USER`")


@token_app.command("revoke")
def revoke_token(name: str, database: Where = DATABASE) -> None:
    """Let nobody in with a token any more."""
    from deploy.dashboard.access import tokens
    from deploy.dashboard.review.records import record
    from edge_daemon.contract.envelope import utc_now

    with _opened(database) as opened, opened.writing() as connection:
        tokens.revoke(connection, name, utc_now())
        record(connection, _CONSOLE, "token revoked", name)
    typer.echo(f"nobody comes in with {name} any more")


@app.command("export-dataset")
def export_dataset(
    out: Annotated[Path, typer.Option(help="New folder; must not be there yet")],
    by: By,
    since: Annotated[
        datetime | None, typer.Option(help="Only cells decided about since then, UTC")
    ] = None,
    patients: Patients = None,
    database: Where = DATABASE,
) -> None:
    """Write the cells that people decided about as a data set for `leuko-train data import`.

    A group is a slide, or a patient where --patients tells whose slides these are; a group lies on
    one side of the split, in this export and in every later one.
    """
    from deploy.dashboard.access import users
    from deploy.dashboard.exports.dataset import export_dataset as export
    from deploy.dashboard.exports.patients import read_patients
    from edge_daemon.contract.envelope import utc_now

    known = read_patients(patients)
    with _opened(database) as opened:
        with opened.reading() as connection:
            users.find(connection, by)
        done = export(opened, out, by, utc_now(), since=_in_utc(since), patients=known)
    blasts = f"{done.blasts} blasts, {done.cells - done.blasts} normal"
    typer.echo(f"{done.cells} cells in {done.groups} groups: {blasts}")
    for why, count in done.left_out.items():
        typer.echo(f"{count} cells {why} left out")
    typer.echo(f"written to {out}: `leuko-train data import {out} --out FOLDER`")


@app.command()
def purge(
    by: By,
    reason: Annotated[str, typer.Option(help="Why; it stands in the audit")],
    before: Annotated[
        datetime | None, typer.Option(help="Frames, crops and health from before then go, UTC")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="TOML with [retention]: frames_days, crops_days, ...")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="With --before: frames, crops or health alone")
    ] = None,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Slides that nobody signed, too")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go")] = False,
    key: Annotated[
        Path | None, typer.Option(help="Ed25519 key that signs the certificate, PEM")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the certificate, JSON")] = None,
    database: Where = DATABASE,
) -> None:
    """Delete what is old; the audit says what went. Never a decision, signature or count.

    Frames and crops go by whole slides that are signed, or controls. One transaction; the ingest
    waits for it and loses nothing.
    """
    import json
    from typing import get_args

    from deploy.dashboard.retention.certificate import certificate
    from deploy.dashboard.retention.limits import KINDS, Kind, Limits, read_limits
    from deploy.dashboard.retention.purge import purge as delete
    from edge_daemon.contract.envelope import utc_now
    from edge_daemon.whole_files import write_whole

    now = utc_now()
    if (before is None) == (settings is None):
        raise ConfigError("say --before DATE, or --settings FILE with days for each kind")
    wrong = set(only or ()) - set(get_args(Kind))
    if wrong:
        raise ConfigError(f"--only is one of {', '.join(KINDS)}")
    signer = _signer(key)
    if settings is not None:
        limits = read_limits(settings, now)
    else:
        kinds = tuple(one for one in KINDS if not only or one in only)
        limits = Limits.at(_in_utc(before) or now, kinds)
    with _opened(database) as opened:
        done = delete(opened, limits, by, reason, now, unsigned=unsigned, dry_run=dry_run)
        for kind, one in done.gone.items():
            of_slides = f" of {one.slides} slides" if kind != "health" else ""
            size = f"{one.bytes / 1e6:.1f} MB"
            typer.echo(f"{kind}: {one.rows} rows{of_slides}, {size}, sha256 {one.sha256}")
        for month in done.months:
            typer.echo(f"{month} {'would be' if dry_run else 'is'} dropped as a whole")
        if done.unsigned:
            typer.echo(f"{done.unsigned} slides are old and stay: nobody has signed them")
        if done.number is None:
            typer.echo("nothing was deleted")
            return
        typer.echo(f"deleted; row {done.number} of the audit says so")
        if out is not None:
            with opened.reading() as connection:
                text = json.dumps(certificate(connection, done.number, signer), indent=2)
            write_whole(out, f"{text}\n".encode())
            typer.echo(f"certificate in {out}")


@app.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option("--for", min=1, help="End after so many seconds")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="End when three devices' slides are shown; for CI")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = 8470,
    fields: Annotated[int, typer.Option(min=4, help="Frames of each simulated slide")] = 150,
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle to run [default: the one that ships]")
    ] = None,
) -> None:
    """Three simulated microscopes, a broker, and this dashboard on what they say; on this machine.

    Nothing is kept. Ctrl-C ends all of it.
    """
    from rich.console import Console

    from deploy.dashboard.demo.running import run

    run(Console(), seconds=seconds, check=check, port=port, fields=fields, bundle=bundle)


def _signer(key: Path | None) -> Ed25519PrivateKey | None:
    from deploy.dashboard.review.anchor import private_key
    from deploy.dashboard.review.errors import ChainError

    if key is None:
        return None
    try:
        encrypted = b"ENCRYPTED" in key.read_bytes()
    except OSError as error:
        raise ConfigError(f"{key} cannot be read: {error.strerror}") from None
    wanted = Passphrase(f"the key {key}", ["LEUKO_ANCHOR_PASSPHRASE"], ChainError)
    return private_key(key, wanted.ask() if encrypted else None)


def _in_utc(at: datetime | None) -> datetime | None:
    from datetime import timezone

    return None if at is None else at.replace(tzinfo=timezone.utc)


def _opened(place: str) -> Database:
    from deploy.dashboard.database.opening import Database

    database = Database(place)
    database.require()
    return database
