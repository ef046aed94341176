"""``leuko-deploy devices``: which devices there are, and whether they are as they should be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deploy.commands.options import REGISTRY, Pki, Where

if TYPE_CHECKING:
    from deploy.registry.drift import Limits
    from deploy.registry.store import Registry

app = typer.Typer(
    help="Devices: what each shall run, what it says it runs, when it was heard.",
    no_args_is_help=True,
)

Silent = Annotated[
    float, typer.Option("--silent-after", min=1, help="Seconds after which silence is told")
]
Skew = Annotated[float, typer.Option("--skew", min=0, help="Seconds that a clock may be off")]
Site = Annotated[str | None, typer.Option(help="Only this site")]
Json = Annotated[bool, typer.Option("--json", help="For programs")]
Name = Annotated[str, typer.Argument(metavar="SITE/DEVICE")]
SILENT_S, SKEW_S = 300.0, 5.0


@app.command("list")
def list_all(
    registry: Where = REGISTRY,
    pki: Pki = None,
    site: Site = None,
    drifting: Annotated[bool, typer.Option("--drift", help="Only those with drift")] = False,
    silent_after: Silent = SILENT_S,
    skew: Skew = SKEW_S,
    json: Json = False,
) -> None:
    """Every device, its state, and where it is not as it should be."""
    from deploy.registry.drift import drift
    from deploy.registry.listing import as_json, lines
    from edge_daemon.contract.envelope import utc_now

    limits = _limits(silent_after, skew)
    with opened(registry, pki) as book:
        now, listened = utc_now(), book.listened
        found = [
            one for one in book.devices(site) if not drifting or drift(one, listened, now, limits)
        ]
        aside = [one for one in book.aside() if site is None or one.name.startswith(f"{site}/")]
    if json:
        typer.echo(as_json(found, aside, listened, now, limits))
    else:
        typer.echo("\n".join(lines(found, aside, listened, now, limits)))


@app.command()
def show(
    device: Name,
    registry: Where = REGISTRY,
    pki: Pki = None,
    silent_after: Silent = SILENT_S,
    skew: Skew = SKEW_S,
    json: Json = False,
) -> None:
    """All there is of one device."""
    import json as text

    from deploy.registry.listing import as_record, details
    from edge_daemon.contract.envelope import utc_now

    limits = _limits(silent_after, skew)
    with opened(registry, pki) as book:
        one, listened, now = book.device(device), book.listened, utc_now()
    if json:
        typer.echo(text.dumps(as_record(one, listened, now, limits), indent=2))
    else:
        typer.echo("\n".join(details(one, listened, now, limits)))


@app.command()
def watch(
    registry: Where = REGISTRY,
    pki: Pki = None,
    identity: Annotated[
        Path | None,
        typer.Option(envvar="LEUKO_IDENTITY", help="Folder of who listens, as it was handed out"),
    ] = None,
    broker: Annotated[
        str | None, typer.Option(help="Address that goes before the folder's")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--for", min=0.1, help="End after so many seconds")
    ] = None,
    silent_after: Silent = SILENT_S,
    skew: Skew = SKEW_S,
    json: Json = False,
) -> None:
    """Listen to the devices and keep the registry, until stopped; a line for each change."""
    import logging
    import sys

    from deploy.registry.connection import settings_of
    from deploy.registry.watch import watch as watch_fleet

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    limits = _limits(silent_after, skew)
    settings = settings_of(identity, broker)
    with opened(registry, pki) as book:
        watch_fleet(book, settings, _pki(pki), limits, typer.echo, seconds=seconds, json=json)


@app.command()
def forget(device: Name, registry: Where = REGISTRY, pki: Pki = None) -> None:
    """Delete a device that is revoked or expired, and all that was kept of it."""
    with opened(registry, pki) as book:
        book.forget(device)
    typer.echo(f"{device} is forgotten")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="File to write; - for the terminal")],
    registry: Where = REGISTRY,
    pki: Pki = None,
    site: Site = None,
    form: Annotated[Literal["json", "csv"], typer.Option("--format", help="Its form")] = "json",
    silent_after: Silent = SILENT_S,
    skew: Skew = SKEW_S,
) -> None:
    """Write all devices into a file, whole or not at all."""
    from deploy.registry.errors import RegistryError
    from deploy.registry.listing import as_csv, as_json
    from edge_daemon.contract.envelope import utc_now
    from edge_daemon.whole_files import write_whole

    limits = _limits(silent_after, skew)
    with opened(registry, pki) as book:
        found, listened, now = book.devices(site), book.listened, utc_now()
        aside = [one for one in book.aside() if site is None or one.name.startswith(f"{site}/")]
    if form == "json":
        text = as_json(found, aside, listened, now, limits) + "\n"
    else:
        text = as_csv(found, listened, now, limits)
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        write_whole(file, text.encode())
    except OSError as error:
        raise RegistryError(f"{file} cannot be written: {error.strerror or error}") from None
    typer.echo(f"{file}: {len(found)} devices")


def opened(registry: str, pki: Path | None) -> Registry:
    """The registry, with who is enrolled now where the authority is at hand."""
    from deploy.registry.enrolled import enrolments
    from deploy.registry.store import Registry
    from edge_daemon.contract.envelope import utc_now

    folder = _pki(pki)
    if folder is None:
        return Registry(registry, create=False)
    from deploy.identity.authority import look_at

    journal = look_at(folder).journal
    book = Registry(registry)
    try:
        book.enrol(enrolments(journal, utc_now()))
    except BaseException:
        book.close()
        raise
    return book


def _pki(given: Path | None) -> Path | None:
    """The authority's folder: as given, or the usual one where it is there."""
    usual = Path("pki")
    return given if given is not None or not usual.is_dir() else usual


def _limits(silent_after: float, skew: float) -> Limits:
    from deploy.registry.drift import Limits

    return Limits(silent_s=silent_after, skew_s=skew)
