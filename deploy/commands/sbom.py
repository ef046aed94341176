"""``leuko-deploy sbom``: what a daemon and a bundle are made of, and under which licences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from deploy.supply.sbom import Document

app = typer.Typer(help="Bills of materials in CycloneDX 1.6, and licences.", no_args_is_help=True)

Out = Annotated[Path | None, typer.Option(help="File to write [default: the terminal]")]
Lock = Annotated[Path, typer.Option(help="Lock of what is installed")]
LOCK = Path("requirements/daemon.txt")


@app.command()
def daemon(
    lock: Lock = LOCK,
    python: Annotated[
        str, typer.Option(help="Python of the device, such as 3.10 of JetPack 6")
    ] = "3.10",
    out: Out = None,
) -> None:
    """Everything that is installed with a daemon on Linux."""
    import re

    from deploy.supply.licences import load
    from deploy.supply.lock import read_lock
    from deploy.supply.sbom import daemon_sbom
    from edge_daemon.errors import ConfigError

    if re.fullmatch(r"3\.\d{1,2}", python) is None:
        raise ConfigError(f"--python {python[:20]!r}: write a version such as 3.10")
    pins = [pin for pin in read_lock(lock) if pin.applies(python)]
    _put(daemon_sbom(pins, load(), _source_date()), out)


@app.command()
def bundle(
    folder: Annotated[Path, typer.Argument(help="Folder of the bundle")],
    out: Out = None,
) -> None:
    """The files of a bundle, which are checked first, and the data it was taught on."""
    from deploy.supply.sbom import bundle_sbom
    from edge_daemon.contract.bundle import load_bundle

    _put(bundle_sbom(load_bundle(folder)), out)


@app.command()
def licences(lock: Lock = LOCK) -> None:
    """The licence of everything in a lock; fails where one is not allowed."""
    from deploy.supply.licences import load
    from deploy.supply.lock import read_lock

    known, wrong = load(), 0
    for name in sorted({pin.name for pin in read_lock(lock)}):
        licence, exempt = known.licence_of(name), known.exempt(name)
        why = f"  exception: {exempt.reason}" if exempt is not None else ""
        if not known.may_be(name):
            wrong, why = wrong + 1, "  NOT ALLOWED: deploy/supply/licences.toml"
        typer.echo(f"{name:<36} {licence}{why}")
    if wrong:
        raise typer.Exit(1)


def _source_date() -> datetime | None:
    """SOURCE_DATE_EPOCH, where whoever builds this has said it."""
    import os
    from datetime import datetime, timezone

    from edge_daemon.errors import ConfigError

    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is None:
        return None
    try:
        return datetime.fromtimestamp(int(given), timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"SOURCE_DATE_EPOCH {given[:40]!r} is no time in seconds") from None


def _put(document: Document, out: Path | None) -> None:
    from deploy.supply.sbom import as_json
    from edge_daemon.errors import ConfigError
    from edge_daemon.whole_files import write_whole

    text = as_json(document)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        write_whole(out, text.encode())
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror or error}") from None
    typer.echo(f"{out}: {len(document['components'])} components")
