"""``leuko-export``: trained runs in, a proven bundle out.

The modules that do the work import torch and ONNX, so they are imported when a command runs, and
``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edge_daemon.errors import LeukoError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

app = typer.Typer(
    name="leuko-export",
    help="Write trained models as bundles that a device can trust, and prove them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def bundle(
    detector: Annotated[Path, typer.Option(help="Run folder of a detector.")],
    classifier: Annotated[Path, typer.Option(help="Run folder of a classifier.")],
    name: Annotated[str, typer.Option(help="Name of the bundle.")],
    version: Annotated[str, typer.Option(help="Semantic version, such as 1.0.0.")],
    second_opinion: Annotated[
        Path | None, typer.Option(help="Run folder of a larger classifier, asked when in doubt.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of bundles.")] = Path("deploy/bundles"),
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="LEUKO_DATA", help="Real data for INT8, if not where the runs found it."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write what the gate said as HTML, lost cells as pictures.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace a bundle of this name and version.")] = False,
    max_mb: Annotated[
        float, typer.Option(help="Refuse more than that beside float32, in MB.", min=1)
    ] = 30.0,
) -> None:
    """Export trained networks, prove them, and write OUT/NAME-VERSION."""
    from exporter.bundle.assemble import assemble
    from exporter.bundle.writer import write_bundle

    draft = assemble(detector, classifier, second_opinion, name=name, version=version, data=data)
    written = write_bundle(
        draft, out, force=force, max_bytes=round(max_mb * 1e6), report=report, tell=typer.echo
    )
    typer.echo(f"{written.path}  {written.digest}")


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.")],
    public_key: Annotated[
        Path | None, typer.Option(help="Of who made it, PEM: checks the signature as well.")
    ] = None,
    signature: Annotated[
        Path | None, typer.Option(help="Of the bundle [default: BUNDLE.sig beside it].")
    ] = None,
) -> None:
    """Check digests, graphs and golden set of BUNDLE in ONNX Runtime; with a key, who made it."""
    from exporter.bundle.signature import signature_of, verify_signature
    from exporter.bundle.writer import verify_bundle

    if signature is not None and public_key is None:
        raise typer.BadParameter("--signature says nothing without --public-key")
    if public_key is not None:
        verify_signature(path, signature or signature_of(path), public_key)
        typer.echo(f"signed by the owner of {public_key}")
    for proof in verify_bundle(path):
        typer.echo(str(proof))
    typer.echo(f"{path}: sound")


@app.command()
def sign(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.")],
    key: Annotated[Path, typer.Option(help="Private key on an elliptic curve, PEM.")],
    out: Annotated[
        Path | None, typer.Option(help="The signature [default: BUNDLE.sig beside it].")
    ] = None,
) -> None:
    """Sign BUNDLE in the format of OpenSSF Model Signing, for whoever it is passed on to."""
    from exporter.bundle.signature import PASSWORD_VARIABLE, sign_bundle

    typer.echo(f"{sign_bundle(path, key, out, os.environ.get(PASSWORD_VARIABLE))}")


@app.command()
def engine(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.")],
    target: Annotated[
        str, typer.Option("--for", help="Compute capability of the GPU, such as 8.6.")
    ] = "8.6",
    out: Annotated[
        Path | None, typer.Option(help="Keep the engines in this folder [default: do not].")
    ] = None,
) -> None:
    """Build every graph of BUNDLE with NVIDIA's own library; no GPU is needed."""
    from edge_daemon.contract.bundle import load_bundle
    from exporter.nvidia import build_all

    for built in build_all(load_bundle(path), target, out):
        typer.echo(str(built))


@app.command()
def sensitivity(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.")],
    data: Annotated[
        Path, typer.Option(envvar="LEUKO_DATA", help="Folder with bccd, txl-pbc and cnmc2019.")
    ],
    role: Annotated[
        Literal["detector", "classifier", "second_opinion"], typer.Option(help="Which network.")
    ] = "detector",
    precision: Annotated[Literal["int8", "fp16"], typer.Option(help="Which bits.")] = "int8",
) -> None:
    """Measure what fewer bits do to every layer of a network of BUNDLE, on training pictures."""
    from rich.progress import Progress

    from edge_daemon.contract.bundle import load_bundle
    from exporter.gate.examples import examples_for
    from exporter.graphs.fp16 import halvable
    from exporter.graphs.int8 import calibrate
    from exporter.graphs.sensitivity import Reducible, sensitivities

    bundle = load_bundle(path)
    examples = examples_for(bundle.role(role).spec, data)
    source = bundle.model(role, "fp32")
    graph: Reducible
    if precision == "int8":
        digest = examples.calibration_digest()
        graph = calibrate(source, examples.calibration(), "minmax", digest=digest)
    else:
        graph = halvable(source, keep_answers=role != "detector")
    with Progress(transient=True) as progress:
        bar = progress.add_task(role, total=len(graph.nodes))
        found = sensitivities(graph, examples.calibration(), partial(_show, progress, bar))
    typer.echo(
        f"change of the answers, as a share of their deviation, by {precision} in one layer alone:"
    )
    for one in found:
        typer.echo(one.line(found[0].share))


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="Folder of a bundle.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Folder of another one.")],
) -> None:
    """Say what is different in B: contents, calibration, figures, decisions on the golden set."""
    from itertools import groupby

    from exporter.bundle.difference import differences

    found = differences(before, after)
    for topic, lines in groupby(found, key=lambda one: one.topic):
        typer.echo(f"{topic}:")
        for line in lines:
            typer.echo(f"  {line}")
    if not found:
        typer.echo("no difference")


@app.command()
def judge(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.")],
    data: Annotated[
        Path, typer.Option(envvar="LEUKO_DATA", help="Folder with bccd, txl-pbc and cnmc2019.")
    ],
    fields: Annotated[int, typer.Option(min=1, help="Fields of each background.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Of the slides.")] = 501,
) -> None:
    """Measure BUNDLE from frame to verdict on slides of real pixels, beside perfect crops."""
    from rich.progress import Progress

    from exporter.judge import judge_whole_path

    for background in ("bccd", "txl-pbc"):
        with Progress(transient=True) as progress:
            bar = progress.add_task(background, total=fields)
            judged = judge_whole_path(
                path,
                data,
                background,
                fields=fields,
                seed=seed,
                tick=partial(_show, progress, bar),
            )
        typer.echo(str(judged))


@app.command()
def roofline(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.")],
    out: Annotated[
        Path | None, typer.Option(help="HTML page with charts, sources and assumptions.")
    ] = None,
) -> None:
    """Say what BUNDLE takes at least on Jetson Orin: operations, bytes, frames a second."""
    from exporter.roofline.frames import count_bundle
    from exporter.roofline.tables import terminal_text

    costs = count_bundle(path)
    typer.echo(terminal_text(costs))
    if out is not None:
        from exporter.roofline.page import write_page

        write_page(costs, out)
        typer.echo(f"\n{out}")


def _show(progress: Progress, bar: TaskID, done: int, _fields: int) -> None:
    progress.update(bar, completed=done)


def main() -> None:
    """Run the command line; an error of the user's is one line and an exit code."""
    try:
        app()
    except LeukoError as error:
        print(f"leuko-export: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
