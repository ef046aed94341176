"""``leuko-deploy pki``: a laboratory's own certificate authority, and who is enrolled with it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from deploy.identity.enrolment import Enrolled

app = typer.Typer(
    help="Certificates: one for each device, and for whoever else the broker lets in.",
    no_args_is_help=True,
)

Pki = Annotated[
    Path, typer.Option("--pki", envvar="LEUKO_PKI", help="Folder of the certificate authority")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="New folder to write [default: named like the identity]"),
]
Days = Annotated[int, typer.Option(min=1, max=825, help="How long the certificate counts")]
AlsoTrust = Annotated[
    Path | None,
    typer.Option(help="ca.pem of another authority that may vouch for the broker, for a while"),
]
Json = Annotated[bool, typer.Option("--json", help="For programs")]
DEFAULT = Path("pki")


@app.command()
def init(
    within: Annotated[
        list[str],
        typer.Option(help="Domain or network for which the authority may vouch; more than once"),
    ],
    pki: Pki = DEFAULT,
    name: Annotated[str, typer.Option(help="How it is called in its certificate")] = "LeukoEdge",
    years: Annotated[int, typer.Option(min=1, max=30, help="How long it counts")] = 10,
) -> None:
    """Make a certificate authority; its key is kept under a passphrase."""
    from deploy.identity.authority import create
    from deploy.identity.hosts import bounds
    from deploy.identity.passphrase import AUTHORITY
    from edge_daemon.contract.envelope import utc_now

    lasts = timedelta(days=365 * years)
    create(pki, name, bounds(within), AUTHORITY.choose(), utc_now(), lasts)
    typer.echo(
        f"{pki}: an authority for {', '.join(within)}, {years} years. Keep a copy elsewhere."
    )


@app.command()
def enrol(
    who: Annotated[str, typer.Argument(metavar="DEVICE", help="SITE/DEVICE, or ROLE:NAME")],
    pki: Pki = DEFAULT,
    broker: Annotated[
        list[str] | None,
        typer.Option(help="mqtts://HOST[:PORT]; more than once for the nodes of a cluster"),
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Name or address of a server; more than once")
    ] = None,
    receipts: Annotated[
        bool, typer.Option("--receipts", help="It keeps messages until a receiver has them")
    ] = False,
    out: Out = None,
    lies_at: Annotated[str, typer.Option(help="Where the files will lie on that machine")] = "",
    days: Days = 397,
    also_trust: AlsoTrust = None,
) -> None:
    """Enrol a device, or a server, dashboard, receiver or controller: writes its folder.

    ROLE is dashboard, receiver, controller, server (a broker) or node (one of a cluster).
    """
    from deploy.identity.authority import opened
    from deploy.identity.enrolment import enrol as enrol_one
    from deploy.identity.journal import Use
    from deploy.identity.names import parse_identity
    from deploy.identity.passphrase import AUTHORITY
    from edge_daemon.contract.envelope import utc_now

    identity = parse_identity(who)
    use = Use(
        hosts=tuple(host or ()),
        broker=tuple(broker or ()),
        receipts=receipts,
        lies_at=lies_at,
    )
    folder = out or _folder_of(who)
    with opened(pki, AUTHORITY.ask()) as authority:
        done = enrol_one(
            authority,
            identity,
            use,
            folder,
            utc_now(),
            timedelta(days=days),
            _trusted(also_trust),
        )
    _say(done)


@app.command()
def renew(
    who: Annotated[
        list[str] | None, typer.Argument(metavar="[DEVICE]...", help="SITE/DEVICE or ROLE:NAME")
    ] = None,
    pki: Pki = DEFAULT,
    due: Annotated[bool, typer.Option("--due", help="All that expire within 60 days")] = False,
    out: Annotated[Path, typer.Option(help="Folder that gets a folder for each")] = Path("renewed"),
    days: Days = 397,
    also_trust: AlsoTrust = None,
) -> None:
    """New keys and certificates; the old ones count until they expire or are revoked."""
    from deploy.identity.authority import look_at, opened
    from deploy.identity.enrolment import renew as renew_one
    from deploy.identity.names import parse_identity
    from deploy.identity.passphrase import AUTHORITY
    from edge_daemon.contract.envelope import utc_now
    from edge_daemon.errors import ConfigError

    now = utc_now()
    wanted = [parse_identity(one) for one in who or ()]
    if due:
        journal = look_at(pki).journal
        wanted += [one.who for one in journal.issued if journal.standing(one, now) == "due"]
    if not wanted and not due:
        raise ConfigError("name what is to be renewed, or say --due")
    if not wanted:
        typer.echo("nothing is due")
        return
    secret = AUTHORITY.ask()
    for identity in dict.fromkeys(wanted):
        with opened(pki, secret) as authority:
            folder = out / _folder_of(str(identity))
            lasts = timedelta(days=days)
            done = renew_one(authority, identity, folder, now, lasts, _trusted(also_trust))
        _say(done)


@app.command()
def revoke(
    who: Annotated[str, typer.Argument(metavar="DEVICE", help="SITE/DEVICE, or ROLE:NAME")],
    pki: Pki = DEFAULT,
    replaced: Annotated[
        bool, typer.Option("--replaced", help="Only those that a newer one has replaced")
    ] = False,
    reason: Annotated[str, typer.Option(help="For the journal")] = "not given",
) -> None:
    """Take certificates back; the broker is told with `leuko-deploy broker write`."""
    from deploy.identity import authority as pki_authority
    from deploy.identity.names import parse_identity
    from deploy.identity.passphrase import AUTHORITY
    from edge_daemon.contract.envelope import utc_now

    now, identity = utc_now(), parse_identity(who)
    with pki_authority.opened(pki, AUTHORITY.ask()) as authority:
        found = pki_authority.find(authority, identity)
        journal = authority.journal
        which = [one for one in found if not replaced or journal.standing(one, now) == "replaced"]
        pki_authority.revoke(authority, which, reason, now)
    for one in which:
        typer.echo(f"{identity}: {one.serial:x} is revoked")
    typer.echo("Now `leuko-deploy broker write`, and restart the broker: until then it lets it in.")


@app.command("list")
def list_all(
    pki: Pki = DEFAULT,
    due: Annotated[bool, typer.Option("--due", help="Only what is to be renewed")] = False,
    json: Json = False,
) -> None:
    """Every certificate, and how it stands."""
    from deploy.identity.authority import look_at
    from deploy.identity.listing import as_json, lines
    from edge_daemon.contract.envelope import utc_now

    public, now = look_at(pki), utc_now()
    chosen = [
        one
        for one in public.journal.issued
        if not due or public.journal.standing(one, now) in ("due", "expired")
    ]
    typer.echo(as_json(public, chosen, now) if json else "\n".join(lines(public, chosen, now)))


@app.command()
def show(
    who: Annotated[str, typer.Argument(metavar="DEVICE", help="SITE/DEVICE, or ROLE:NAME")],
    pki: Pki = DEFAULT,
    json: Json = False,
) -> None:
    """All there is of one identity."""
    from deploy.identity.authority import find, look_at
    from deploy.identity.listing import as_json, details
    from deploy.identity.names import parse_identity
    from edge_daemon.contract.envelope import utc_now

    public, now = look_at(pki), utc_now()
    found = find(public, parse_identity(who))
    typer.echo(as_json(public, found, now) if json else "\n".join(details(public, found, now)))


def _folder_of(who: str) -> Path:
    return Path(*who.replace(":", "/").split("/"))


def _trusted(path: Path | None) -> bytes:
    from cryptography import x509

    from deploy.identity.certificates import pem
    from deploy.identity.errors import IdentityError

    if path is None:
        return b""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise IdentityError(f"{path} cannot be used as a certificate: {error}") from None
    return b"".join(pem(one) for one in found)


def _say(done: Enrolled) -> None:
    from deploy.identity.enrolment import LIES_AT

    one, until = done.issued, f"{done.issued.x509.not_valid_after_utc:%Y-%m-%d}"
    if not done.new:
        typer.echo(f"{one.who}: enrolled already, until {until}: {done.folder}")
        return
    typer.echo(f"{one.who}: until {until}: {done.folder}")
    if one.who.is_client:
        typer.echo(f"  carry it there as {one.use.lies_at or LIES_AT}, then delete it here")
        typer.echo("  and tell the broker: leuko-deploy broker write")
