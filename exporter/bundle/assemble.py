"""Finished trainings become the draft of one bundle, with the record of where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_daemon.contract.bundle import Provenance
from exporter.bundle.draft import BundleDraft
from exporter.bundle.provenance import cited_once, created_at, software_versions
from exporter.bundle.runs import (
    TrainedRun,
    load_classifier_run,
    load_detector_run,
    require_run_folder,
)
from exporter.errors import ExportError

if TYPE_CHECKING:
    from trainer.data.data_manifest import DataManifest


def assemble(
    detector: Path,
    classifier: Path,
    second_opinion: Path | None = None,
    *,
    name: str,
    version: str,
    data: Path | None = None,
) -> BundleDraft:
    """The draft of ``<name>-<version>`` from the run folders of its networks.

    ``data`` takes the place of the folder that the runs were trained from.

    Raises:
        DataError: weights are missing or unreadable.
        ExportError: figures are missing or belong to other weights, or the runs were trained on
            different patient groups, so that what one saw is what another is measured on.
    """
    folders = {"detector": detector, "classifier": classifier}
    if second_opinion is not None:
        folders["second-opinion"] = second_opinion
    for folder in folders.values():
        require_run_folder(folder)
    runs = [load_detector_run(detector, data), load_classifier_run(classifier, data)]
    if second_opinion is not None:
        runs.append(load_classifier_run(second_opinion, data, "second_opinion"))
    named = " ".join(f"--{role} {folder.name}" for role, folder in folders.items())
    export = f"leuko-export bundle {named} --name {name} --version {version}"
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
        stain=next((run.stain for run in runs if run.stain is not None), None),
        data=_one_manifest(runs),
        history=tuple(run.history for run in runs if run.history is not None),
    )


def _one_manifest(runs: Sequence[TrainedRun]) -> DataManifest | None:
    """The data of all runs; ``None`` unless every run says what it read."""
    manifests = [run.manifest for run in runs if run.manifest is not None]
    if len(manifests) < len(runs):
        return None
    if len({manifest.digest for manifest in manifests}) > 1:
        raise ExportError(
            "the runs were trained on different data (their data.json differ): what one saw may be "
            "what another is measured on; train all on one folder"
        )
    return manifests[0]


def _one_split(runs: Sequence[TrainedRun]) -> str | None:
    splits = {run.train_groups_sha256 for run in runs} - {None}
    if len(splits) > 1:
        raise ExportError(
            "the runs were trained on different patient groups; train all on one split of C-NMC"
        )
    return next(iter(splits), None)
