"""A student is told what a teacher says of cells whose patients that teacher was not taught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.nn import functional

from edge_daemon.contract.terms import CLASSES
from edge_daemon.errors import DataError
from tests.trainer.small_sets import small_classifier
from trainer.classifier.config import ClassifierConfig, Distillation
from trainer.classifier.distillation import Teacher
from trainer.classifier.shown import NO_RECORD
from trainer.classifier.task import ClassifierTask
from trainer.data.cnmc import CellRecord, read_manifest
from trainer.models.classifier import ClassifierGeometry
from trainer.models.committee import CommitteeTraining
from trainer.training.loop import train
from trainer.training.parallel import Ranks
from trainer.training.run_folder import RunFolder

QUIET = Console(quiet=True)
BLAST, NORMAL = CLASSES.index("blast"), CLASSES.index("normal")
TRAINING = CommitteeTraining(members=2, hidden=8, steps=200, batch=32, feature_dropout=0.0)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ClassifierConfig:
    return small_classifier(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(config: ClassifierConfig, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("teacher"))
    train(ClassifierTask(config, Ranks(), QUIET), folder, Ranks(), QUIET)
    return folder


@pytest.fixture(scope="module")
def taught_config(config: ClassifierConfig, run: RunFolder) -> ClassifierConfig:
    return replace(config, distillation=Distillation(run.path, share=1.0, folds=2))


@pytest.fixture
def teacher(taught_config: ClassifierConfig) -> Teacher:
    found = Teacher.of(replace(taught_config, committee=TRAINING))
    assert found is not None
    return found


def features_that_tell(truth: torch.Tensor, width: int) -> torch.Tensor:
    """Every feature of a blast is about 1, of a normal cell about -1."""
    noise = torch.randn(len(truth), width, generator=torch.Generator().manual_seed(1))
    return 0.3 * noise + (2 * truth[:, BLAST : BLAST + 1] - 1)


@pytest.fixture
def records(config: ClassifierConfig) -> list[CellRecord]:
    return list(read_manifest(config.data / "cnmc2019"))


def test_a_group_with_wrong_labels_is_told_what_its_features_say(
    teacher: Teacher, records: list[CellRecord]
) -> None:
    truth = functional.one_hot(
        torch.tensor([CLASSES.index(record.label) for record in records]), len(CLASSES)
    ).float()
    joined = features_that_tell(truth, teacher.network.fusion.width)
    wrong = torch.tensor([record.group == records[0].group for record in records])
    labels = torch.where(wrong[:, None], truth.flip(1), truth)
    told = teacher.soften(
        labels, joined, torch.ones(len(records)), torch.arange(len(records)), records
    )
    assert torch.equal(told[wrong].argmax(1), truth[wrong].argmax(1))
    torch.testing.assert_close(told.sum(1), torch.ones(len(records)))


def test_what_is_no_record_keeps_its_label_and_a_share_of_none_all(
    teacher: Teacher, records: list[CellRecord]
) -> None:
    cells = torch.cat([torch.arange(len(records)), torch.full((3,), NO_RECORD)])
    labels = [CLASSES.index(record.label) for record in records] + [NORMAL] * 3
    truth = functional.one_hot(torch.tensor(labels), len(CLASSES)).float()
    joined, weights = (
        features_that_tell(truth, teacher.network.fusion.width),
        torch.ones(len(truth)),
    )
    told = teacher.soften(truth, joined, weights, cells, records)
    assert torch.equal(told[-3:], truth[-3:])
    assert not torch.equal(told, truth)
    deaf = replace(teacher, told=replace(teacher.told, share=0.0))
    assert torch.equal(deaf.soften(truth, joined, weights, cells, records), truth)


def test_a_teacher_changes_what_a_student_becomes_and_repeats(
    config: ClassifierConfig, taught_config: ClassifierConfig, run: RunFolder, tmp_path: Path
) -> None:
    students = []
    for name in ("one", "two"):
        folder = RunFolder.at(tmp_path / name)
        train(ClassifierTask(taught_config, Ranks(), QUIET), folder, Ranks(), QUIET)
        students.append(torch.load(folder.path / "last.pt", weights_only=True)["averaged"])
    alone = torch.load(run.path / "last.pt", weights_only=True)["averaged"]
    assert all(torch.equal(students[0][name], students[1][name]) for name in alone)
    assert not torch.equal(students[0]["committee.hidden.weight"], alone["committee.hidden.weight"])
    assert torch.equal(students[0]["fusion.mean"], alone["fusion.mean"])


def test_a_teacher_with_other_crops_is_refused(taught_config: ClassifierConfig) -> None:
    larger = replace(taught_config, geometry=ClassifierGeometry(size=80, visible=64))
    with pytest.raises(DataError, match=r"looks at 32 of 40 px, the student at 64 of 80"):
        Teacher.of(larger)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"share": 1.5}, "share: 1.5 is not between"), ({"folds": 1}, "folds: 1 leave nothing")],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Distillation(Path("run"), **change)  # type: ignore[arg-type]


def test_a_teacher_that_is_not_there_is_one_line(config: ClassifierConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no checkpoint at"):
        Teacher.of(replace(config, distillation=Distillation(tmp_path)))
