"""Two finished trainings become the draft of one bundle, with the record of where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_daemon.contract.bundle import Provenance
from exporter.draft import BundleDraft
from exporter.errors import ExportError
from exporter.provenance import cited_once, created_at, software_versions
from exporter.runs import TrainedRun, load_classifier_run, load_detector_run, require_run_folder

if TYPE_CHECKING:
    from trainer.data.data_manifest import DataManifest


def assemble(
    detector: Path, classifier: Path, *, name: str, version: str, data: Path | None = None
) -> BundleDraft:
    """The draft of ``<name>-<version>`` from the run folders of a detector and a classifier.

    ``data`` takes the place of the folder that the runs were trained from.

    Raises:
        DataError: weights are missing or unreadable.
        ExportError: figures are missing or belong to other weights, or the two were trained on
            different patient groups, so that what one saw is what the other is measured on.
    """
    for folder in (detector, classifier):
        require_run_folder(folder)
    runs = (load_detector_run(detector, data), load_classifier_run(classifier, data))
    export = (
        f"leuko-export bundle --detector {detector.name} --classifier {classifier.name} "
        f"--name {name} --version {version}"
    )
    return BundleDraft(
        name=name,
        version=version,
        roles=tuple(run.role for run in runs),
        provenance=Provenance(
            created=created_at(run.finished for run in runs),
            command="\n".join([*(run.command for run in runs), export]),
            software=software_versions(),
            data=cited_once(source for run in runs for source in run.data),
            train_groups_sha256=_one_split(runs),
        ),
        data=_one_manifest(runs),
        history=tuple(run.history for run in runs if run.history is not None),
    )


def _one_manifest(runs: tuple[TrainedRun, ...]) -> DataManifest | None:
    """The data of all runs; ``None`` unless every run says what it read."""
    manifests = [run.manifest for run in runs if run.manifest is not None]
    if len(manifests) < len(runs):
        return None
    if len({manifest.digest for manifest in manifests}) > 1:
        raise ExportError(
            "detector and classifier were trained on different data (their data.json differ): what "
            "one saw may be what the other is measured on; train both on one folder"
        )
    return manifests[0]


def _one_split(runs: tuple[TrainedRun, ...]) -> str | None:
    splits = {run.train_groups_sha256 for run in runs} - {None}
    if len(splits) > 1:
        raise ExportError(
            "detector and classifier were trained on different patient groups; train both on one "
            "split of C-NMC"
        )
    return next(iter(splits), None)
