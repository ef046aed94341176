"""``leuko-edge``: the command line of the device.

Commands only parse here; what they do is in :mod:`edge_daemon.commands`, imported when called, so
that ``--help`` answers at once. A user's mistake is one line on standard error and an exit code.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from edge_daemon import __version__
from edge_daemon.calibrate_cli import app as calibrate_app
from edge_daemon.cli_options import (
    BundleOption,
    DaemonConfigOption,
    EngineOption,
    JsonOption,
    OperatorOption,
    PrecisionOption,
    ScaleOption,
    SocketOption,
    ThreadsOption,
    console,
)
from edge_daemon.control_cli import app as control_app
from edge_daemon.engine_cli import app as engine_app
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import LeukoError
from edge_daemon.slide_cli import app as slide_app
from edge_daemon.update_cli import app as update_app

app = typer.Typer(
    name="leuko-edge",
    help="Screen blood smears at the microscope and publish the results over MQTT. "
    "Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: importing rich would take half of the answer's time
)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"leuko-edge {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr")] = False,
    version: Annotated[  # noqa: ARG001 - said by its callback
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version"),
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="TOML configuration file", show_default=False)],
) -> None:
    """Screen slides under the microscope, as the configuration says."""
    from edge_daemon.commands import run as command
    from edge_daemon.config import load_config

    command.run(load_config(config), console(), file=config)


@app.command()
def replay(
    source: Annotated[str, typer.Argument(help="Folder, picture, video, sim://..., camera://...")],
    bundle: BundleOption = None,
    broker: Annotated[
        str | None,
        typer.Option("--broker", help="Publish to mqtt://[user:password@]host[:port]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write one FrameResult per line; - is stdout")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Write every frame with its cells outlined into this folder")
    ] = None,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    second_opinion: Annotated[
        bool, typer.Option(help="Ask the bundle's larger network, if any, about suspicious cells")
    ] = True,
    scan: Annotated[
        bool, typer.Option("--scan", help="The pictures of a folder overlap: one slide")
    ] = False,
    um_per_px: ScaleOption = None,
    site: Annotated[str, typer.Option(help="Site in topics and messages")] = "lab",
    device: Annotated[str, typer.Option(help="Device in topics and messages")] = "replay",
    slide: Annotated[
        str | None, typer.Option(help="Name of the slide [default: from the source]")
    ] = None,
    outbox: Annotated[Path, typer.Option(help="Where results wait for the broker")] = Path(
        "leuko-edge-outbox.db"
    ),
    deliver_within: Annotated[
        float, typer.Option(min=0.0, help="Seconds to wait for the broker at the end")
    ] = 60.0,
) -> None:
    """Send pictures, a video or a simulated slide through the whole path of a frame."""
    from edge_daemon.commands import replay as command
    from edge_daemon.contract.topics import check_name
    from edge_daemon.delivery.settings import BrokerSettings

    for name, what in ((site, "site"), (device, "device"), (slide, "slide")):
        if name is not None:
            check_name(name, what)
    command.replay(
        command.ReplayRequest(
            source=source,
            bundle=bundle,
            broker=None if broker is None else BrokerSettings.from_url(broker),
            out=out,
            pictures=pictures,
            options=EngineOptions(engine, precision, threads),
            second_opinion=second_opinion,
            scan=scan,
            um_per_px=um_per_px,
            site=site,
            device=device,
            slide=slide,
            outbox=outbox,
            deliver_within_s=deliver_within,
        ),
        console(),
    )


@app.command()
def classify(
    folder: Annotated[Path, typer.Argument(help="Folder of single-cell pictures, searched deeply")],
    out: Annotated[Path, typer.Option("--out", help="JSON lines; - is stdout")],
    bundle: BundleOption = None,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    role: Annotated[
        Literal["classifier", "second_opinion"], typer.Option(help="Which network of the bundle")
    ] = "classifier",
    um_per_px: ScaleOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Classify pictures of single cells: one line each with source, p_blast and label."""
    from edge_daemon.commands.classify import classify_folder
    from edge_daemon.commands.models import open_models
    from edge_daemon.commands.output import open_lines

    with (
        open_models(bundle, EngineOptions(engine, precision, threads), (role,)) as models,
        open_lines(out) as lines,
    ):
        screen = console()
        done, failed = classify_folder(folder, models, lines, um_per_px, screen)
        screen.print(
            f"{done} pictures classified, {failed} could not be read; {out}", highlight=False
        )


@app.command()
def check(
    config: Annotated[Path, typer.Argument(help="TOML configuration file", show_default=False)],
) -> None:
    """Say whether this device will work: configuration, source, bundle, broker, disk."""
    from edge_daemon.commands import check as command

    if not command.check(config, console()):
        raise typer.Exit(1)


@app.command(name="gave-up", hidden=True)  # for leuko-edge-failed.service
def gave_up(
    config: Annotated[Path, typer.Argument(help="TOML configuration file", show_default=False)],
) -> None:
    """Publish that systemd has given up starting the daemon."""
    from edge_daemon.commands import gave_up as command
    from edge_daemon.config import load_config

    command.gave_up(load_config(config), console())


@app.command()
def doctor(
    config: Annotated[Path, typer.Argument(help="TOML configuration file", show_default=False)],
    out: Annotated[Path, typer.Option(help="The archive")] = Path("leuko-edge-doctor.tar.gz"),
    names: Annotated[bool, typer.Option("--names", help="Leave names and addresses in it")] = False,
) -> None:
    """Write one archive for whoever is to help: no picture, no name, no address in it."""
    from edge_daemon.commands import doctor as command

    command.doctor(config, out, console(), names=names)


@app.command()
def reproduce(
    recording: Annotated[Path, typer.Argument(help="Folder of a recorded slide")],
    source: Annotated[
        str | None, typer.Option(help="Its source, where only digests were recorded")
    ] = None,
    bundle: BundleOption = None,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Go through a recorded slide again and say whether every decision is the same."""
    from edge_daemon.commands import reproduce as command

    options = EngineOptions(engine, precision, threads)
    if not command.reproduce(recording, console(), source=source, bundle=bundle, options=options):
        raise typer.Exit(1)


@app.command("config")
def show_config() -> None:
    """Print a configuration file to start from: every key, its meaning, its default."""
    from edge_daemon.config_docs import template

    print(template(), end="")


@app.command()
def sources() -> None:
    """List the cameras that are plugged in, and the kinds of source that are known."""
    from edge_daemon.commands import sources as command

    command.list_sources(console())


@app.command()
def bench(
    source: Annotated[str, typer.Argument(help="What to screen, repeated as needed")] = "sim://",
    frames: Annotated[int, typer.Option(min=1, help="Frames to time")] = 200,
    bundle: BundleOption = None,
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
    networks: Annotated[
        bool, typer.Option("--networks", help="Time the networks alone, every precision by turns")
    ] = False,
    overhead: Annotated[
        bool, typer.Option("--overhead", help="The share of everything around the networks")
    ] = False,
) -> None:
    """Time every stage of the path of a frame on this machine."""
    if overhead:
        from edge_daemon.commands.bench_overhead import bench_overhead

        options = EngineOptions(engine, precision, threads)
        bench_overhead(bundle, options, console(), min(frames, 200))
        return
    if networks:
        from edge_daemon.commands.bench_networks import bench_networks

        bench_networks(bundle, EngineOptions(engine, "auto", threads), console())
        return
    from edge_daemon.commands import bench as command

    command.bench(source, frames, bundle, EngineOptions(engine, precision, threads), console())


@app.command("command")
def send_command(
    name: Annotated[str, typer.Argument(help="Such as status, bundle-activate, config-reload")],
    args: Annotated[str | None, typer.Argument(help="Its arguments, a JSON object")] = None,
    operator: OperatorOption = None,
    identity: Annotated[
        str | None, typer.Option("--id", help="32 hexadecimal digits: a repeat is not done again")
    ] = None,
    socket: SocketOption = None,
    config: DaemonConfigOption = None,
) -> None:
    """Send any command to the running daemon of this machine; prints its reply, JSON."""
    from edge_daemon.commands import ask

    at = ask.socket_of(socket, config)
    ask.command(at, name, args, operator=operator, identity=identity)


@app.command()
def ledger(
    what: Annotated[
        str | None,
        typer.Argument(help="A slide, or 'commands' for the audit [default: all slides]"),
    ] = None,
    day: Annotated[str | None, typer.Option("--day", help="Only this day, 2026-11-27, UTC")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many lines")] = 50,
    outbox: Annotated[
        Path | None, typer.Option("--outbox", help="File of the outbox, in which the ledger lies")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", help="Its configuration [default: /etc/leuko-edge/microscope.toml]"
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Read the ledger on disk: slides, their frames and ends, and every command."""
    from edge_daemon.commands import ledger as command

    command.ledger(command.outbox_of(outbox, config), what, day=day, limit=limit, as_json=json)


app.add_typer(engine_app, name="engine")
app.add_typer(slide_app, name="slide")
app.add_typer(calibrate_app, name="calibrate")
app.add_typer(control_app, name="control")
app.add_typer(update_app, name="update")


@app.command()
def demo(
    slide: Annotated[
        str | None, typer.Option(help="A slide sim://... of your own [default: 150 fields]")
    ] = None,
    bundle: BundleOption = None,
    broker: Annotated[
        str | None, typer.Option("--broker", help="Your broker instead of one started here")
    ] = None,
) -> None:
    """Show it all on this machine: broker, daemon on a simulated slide, subscriber."""
    from edge_daemon.commands import demo as command

    command.demo(console(), slide=slide or command.DEMO_SLIDE, bundle=bundle, broker=broker)


def main() -> None:
    """Entry point: one line for a user's mistake, never a traceback."""
    try:
        app()
    except LeukoError as error:
        print(f"leuko-edge: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
