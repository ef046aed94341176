"""Fewer bits are tried in turn, and what passes no gate is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporter.gate import reduce
from exporter.gate import trials as trials_module
from exporter.gate.reduce import Reduction
from exporter.gate.trials import Trials
from exporter.gate.verdict import Measured
from exporter.graphs.from_torch import export_graph
from tests.exporter.small_models import CLASSIFIER, SmallClassifier


class TwoShades:
    """Dark and light squares; a blast is what the first network calls one."""

    def __init__(self, *, least: float = 0.0) -> None:
        chance = np.random.default_rng(3)
        shades = np.where(np.arange(64) % 2, 60, 190)[:, None, None, None]
        self._pictures = (
            (shades + chance.normal(0, 20, (64, 64, 64, 3))).clip(0, 255).astype(np.uint8)
        )
        self._least = least
        self.answers: list[np.ndarray] = []

    def calibration(self) -> Iterator[np.ndarray]:
        return iter(self._pictures.reshape(4, 16, 64, 64, 3))

    def calibration_digest(self) -> str:
        return "ab" * 32

    def measure(
        self,
        network: Callable[[np.ndarray], Mapping[str, np.ndarray]],
        *,
        recalibrate: bool = False,
    ) -> Measured:
        said = np.concatenate([network(batch)["logits"] for batch in self.calibration()])
        self.answers.append(said)
        off = float(np.abs(said - self.answers[0]).mean())
        return Measured(
            {"on_black.sensitivity": 1.0 if recalibrate is False or off < self._least else 0.5},
            frozenset(),
        )

    def picture(self, positive: str) -> np.ndarray:
        return self._pictures[0]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    return written(SmallClassifier(), tmp_path_factory.mktemp("graph") / "c.fp32.onnx")


def written(network: nn.Module, file: Path) -> Path:
    proofs = [batch[:2] for batch in TwoShades().calibration()]
    export_graph(network.eval(), CLASSIFIER, file, proofs=proofs)
    return file


def test_the_fastest_mix_that_passes_is_the_one_that_stays(source: Path, tmp_path: Path) -> None:
    told: list[str] = []
    file = tmp_path / "c.int8.onnx"
    verdict = Reduction("classifier", source, TwoShades(least=1.0), told.append).to_int8(file)
    assert verdict.passed
    assert verdict.recipe == "minmax"
    assert file.is_file()
    assert len(told) == 1


def test_what_never_passes_is_not_written(source: Path, tmp_path: Path) -> None:
    told: list[str] = []
    file = tmp_path / "c.int8.onnx"
    verdict = Reduction("classifier", source, TwoShades(), told.append).to_int8(file)
    assert not verdict.passed
    assert not file.exists()
    assert any("percentile" in line for line in told)


def test_where_no_mix_passes_fine_tuned_weights_are_tried(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduce, "IN_FLOAT", (0,))
    asked: list[Path] = []

    def fine_tune(file: Path) -> None:
        asked.append(file)
        torch.manual_seed(5)
        written(SmallClassifier(), file)
        examples._least = 1.0  # from here on INT8 is good enough

    told: list[str] = []
    examples = TwoShades()
    file = tmp_path / "c.int8.onnx"
    reduction = Reduction("classifier", source, examples, told.append, fine_tune=fine_tune)
    verdict = reduction.to_int8(file)
    assert len(asked) == 1
    assert verdict.passed
    assert verdict.recipe == "fine-tuned, minmax"
    assert file.is_file()
    assert "classifier int8: no mix passes; fine-tuning the weights for it" in told


def test_who_was_interrupted_goes_on_where_he_stood(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at the second mix: what was measured before is not measured again."""
    monkeypatch.setattr(reduce, "IN_FLOAT", (0, 1))
    kept, file = tmp_path / "trials", tmp_path / "c.int8.onnx"
    told: list[str] = []

    class Interrupted(TwoShades):
        def measure(self, network, *, recalibrate: bool = False) -> Measured:
            if len(self.answers) == 2:
                raise KeyboardInterrupt
            return super().measure(network, recalibrate=recalibrate)

    with pytest.raises(KeyboardInterrupt):
        Reduction("classifier", source, Interrupted(), told.append, trials=Trials(kept)).to_int8(
            file
        )
    again, examples = list(told), TwoShades()
    again.clear()
    verdict = Reduction("classifier", source, examples, again.append, trials=Trials(kept)).to_int8(
        file
    )
    assert not verdict.passed
    assert again[: len(told)] == told
    assert len(examples.answers) == len(again) - len(told)

    def never(*_args: object, **_more: object) -> None:
        raise AssertionError

    monkeypatch.setattr(reduce, "calibrate", never)
    whole = Reduction("classifier", source, examples, again.append, trials=Trials(kept))
    assert whole.to_int8(file).rows == verdict.rows


def test_a_graph_that_passed_is_there_again(source: Path, tmp_path: Path) -> None:
    kept, file = tmp_path / "trials", tmp_path / "c.int8.onnx"
    first = Reduction(
        "classifier", source, TwoShades(least=1.0), lambda _: None, trials=Trials(kept)
    )
    assert first.to_int8(file).passed
    before = file.read_bytes()
    file.unlink()
    examples = TwoShades(least=1.0)
    again = Reduction("classifier", source, examples, lambda _: None, trials=Trials(kept))
    assert again.to_int8(file).passed
    assert file.read_bytes() == before
    assert not examples.answers


def test_what_another_program_or_other_weights_found_is_found_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Trials(tmp_path / "trials", "one")
    assert kept.of("a").finding("n", int, lambda: 1) == 1
    assert kept.of("a").finding("n", int, lambda: 2) == 1
    assert kept.of("b").finding("n", int, lambda: 2) == 2
    monkeypatch.setattr(trials_module, "program_digest", lambda: "another")
    assert kept.of("a").finding("n", int, lambda: 3) == 3
    for file in (tmp_path / "trials").iterdir():
        file.write_bytes(b"{")
    assert kept.of("a").finding("n", int, lambda: 4) == 4, "half a finding is none"
    kept.forget()
    assert not (tmp_path / "trials").exists()


def test_where_a_mix_passes_nothing_is_fine_tuned(source: Path, tmp_path: Path) -> None:
    def fine_tune(file: Path) -> None:
        raise AssertionError(file)

    examples = TwoShades(least=1.0)
    reduction = Reduction("classifier", source, examples, lambda _: None, fine_tune=fine_tune)
    assert reduction.to_int8(tmp_path / "c.int8.onnx").passed
