"""The candidate's life on a device: by command, over starts, and put aside when it is no good."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_daemon.contract.bundle import MANIFEST, file_entry, load_bundle
from edge_daemon.contract.messages import Command, ShadowReport
from edge_daemon.contract.shadow import ShadowFrames
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import BundleError, EngineError, LostDeviceError
from edge_daemon.service.bundle_store import MOST_SHADOW_STARTS, BundleStore
from edge_daemon.service.commands import CommandError
from edge_daemon.service.progress import Progress
from edge_daemon.service.shadowing import PROVEN_FRAMES, Shadowing
from tests.edge_daemon.contract.samples import SHADOW
from tests.edge_daemon.tiny_bundle import write_tiny_bundle

LABEL = "tiny-0.2.0"


class Life:
    """One process of the daemon, as far as its candidate goes."""

    def __init__(self, folder: Path) -> None:
        self.store = BundleStore(folder)
        self.notes: list[str | None] = []
        self.shadowing = Shadowing(
            self.store,
            EngineOptions("onnxruntime", threads=1),
            Progress(),
            60.0,
            self.notes.append,
        )
        self.shadowing.start()

    def ask(self, **args: Any) -> dict[str, Any]:
        now = datetime.now(timezone.utc)
        command = Command(
            site="lab",
            device="m1",
            id=uuid.uuid4().hex,
            name="bundle-shadow",
            expires_at=now + timedelta(minutes=1),
            args=args,
        )
        return self.shadowing.command(command)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with a good candidate and one that lies about its golden set."""
    store = BundleStore(tmp_path / "store")
    store.stage(write_tiny_bundle(tmp_path / "incoming", "0.2.0"))
    lying = write_tiny_bundle(tmp_path / "incoming", "0.3.0")
    with np.load(lying / "golden.npz") as golden:
        answers = {name: golden[name] for name in golden.files}
    answers["classifier/logits"] = answers["classifier/logits"] + 7
    np.savez(lying / "golden.npz", **answers)
    manifest = json.loads((lying / MANIFEST).read_text())
    manifest["files"]["golden.npz"] = file_entry(lying / "golden.npz").model_dump()
    (lying / MANIFEST).write_text(json.dumps(manifest))
    store.stage(lying)
    return store.folder


@pytest.fixture
def life(folder: Path) -> Iterator[Life]:
    one = Life(folder)
    yield one
    one.shadowing.close()


def report(**changes: Any) -> ShadowReport:
    return ShadowReport(**{**SHADOW, "completion": None, **changes})


def test_without_a_candidate_nobody_looks_on(life):
    assert life.shadowing.begin(0) is None
    assert life.shadowing.status == {"shadow": None, "shadow_fault": None}
    assert life.notes == [None]


def test_by_command_a_staged_bundle_looks_on(life, folder):
    answer = life.ask(bundle=LABEL)
    digest = load_bundle(folder / LABEL).digest
    assert (answer["shadow"]["bundle"], answer["shadow"]["digest"]) == (LABEL, digest)
    assert "onnxruntime" in answer["shadow"]["engines"]
    assert life.shadowing.begin(0).candidate.digest == digest
    assert life.notes[-1] == f"{LABEL} is in shadow: it sees the same frames and changes no result"
    assert life.store.active() is None


@pytest.mark.parametrize("args", [{}, {"bundle": None}])
def test_nobody_looks_on_any_more_when_none_is_named(life, args):
    life.ask(bundle=LABEL)
    assert life.ask(**args) == {"shadow": None, "shadow_fault": None}
    assert life.shadowing.begin(0) is None
    assert life.store.state.shadow is None
    assert life.notes[-1] is None


@pytest.mark.parametrize(
    ("label", "error", "told"),
    [
        ("tiny-9.9.9", BundleError, "is not staged here"),
        ("tiny-0.3.0", EngineError, "fails its golden set"),
    ],
)
def test_what_cannot_look_on_is_refused_and_who_does_stays(life, label, error, told):
    life.ask(bundle=LABEL)
    with pytest.raises(error, match=told) as refused:
        life.ask(bundle=label)
    assert "\n" not in str(refused.value)
    assert life.store.state.shadow == LABEL
    assert life.shadowing.begin(0).candidate.bundle == LABEL
    assert life.store.state.shadow_fault == f"{label}: {refused.value}"


def test_arguments_that_make_no_sense_are_refused(life):
    with pytest.raises(CommandError, match="bundle-shadow: bundel: Extra inputs"):
        life.ask(bundel=LABEL)


def test_it_looks_on_again_at_the_next_start(life, folder):
    life.ask(bundle=LABEL)
    life.shadowing.close()
    later = Life(folder)
    assert later.shadowing.begin(0).candidate.bundle == LABEL
    later.shadowing.close()


def test_after_a_power_cut_as_well(life, folder):
    life.ask(bundle=LABEL)
    later = Life(folder)  # the first one says nothing more
    assert later.shadowing.begin(0).candidate.bundle == LABEL
    later.shadowing.close()


def test_a_start_without_it_is_a_start_all_the_same(life, folder, caplog):
    life.ask(bundle=LABEL)
    (folder / LABEL / "golden.npz").write_bytes(b"rotten")
    caplog.clear()
    later = Life(folder)
    assert later.shadowing.begin(0) is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "golden.npz" in later.notes[-1]
    assert "golden.npz" in later.shadowing.status["shadow_fault"]
    assert Life(folder).shadowing.begin(0) is None
    assert len(caplog.records) == 1, "told once, not at every start"


def test_one_that_takes_the_daemon_with_it_is_put_aside(life, folder):
    life.ask(bundle=LABEL)
    for _ in range(MOST_SHADOW_STARTS):
        assert Life(folder).shadowing.begin(0) is not None
    later = Life(folder)
    assert later.shadowing.begin(0) is None
    assert "the daemon ended 3 times" in later.shadowing.status["shadow_fault"]
    assert later.ask(bundle=LABEL)["shadow"]["bundle"] == LABEL, "a person may try it again"
    later.shadowing.close()


@pytest.mark.parametrize(
    "proof",
    [
        report(completion="finished"),
        report(
            frames=ShadowFrames(analysed=PROVEN_FRAMES, compared=PROVEN_FRAMES),
        ),
    ],
)
def test_one_that_has_come_through_a_slide_or_many_frames_has_proven_itself(life, folder, proof):
    life.ask(bundle=LABEL)
    for _ in range(2 * MOST_SHADOW_STARTS):
        later = Life(folder)
        assert later.shadowing.begin(0) is not None
        later.shadowing.reported(proof)


def test_one_that_breaks_is_over_with_its_slide_and_told_once(life, folder):
    life.ask(bundle=LABEL)
    shadow = life.shadowing.begin(0)
    shadow.fault = f"candidate {LABEL} failed: EngineError: out of memory"
    told = len(life.notes)
    for _ in range(3):
        life.shadowing.reported(report(fault=shadow.fault))
    assert life.notes[told:] == [f"no bundle is in shadow any more: {shadow.fault}"]
    assert life.shadowing.status["shadow"] is None
    assert life.shadowing.begin(0) is None, "the next slide has no candidate"
    assert len(life.notes) == told + 1
    later = Life(folder)
    assert later.shadowing.begin(0) is None
    assert "out of memory" in later.shadowing.status["shadow_fault"]


def test_one_that_lost_the_gpu_does_not_come_back_with_the_next_start(life, folder):
    """The active bundle loses it too, and the daemon ends before anything is reported."""
    life.ask(bundle=LABEL)
    life.shadowing.begin(0).fault = f"candidate {LABEL} failed: {LostDeviceError.__name__}"
    life.shadowing.close()
    assert BundleStore(folder).state.shadow is None


def test_activating_it_ends_its_shadow(life):
    life.ask(bundle=LABEL)
    life.store.begin(LABEL)
    life.store.commit()
    life.shadowing.activated()
    assert life.shadowing.begin(0) is None
    assert life.notes[-1] is None


def test_activating_another_bundle_leaves_it_looking_on(life, tmp_path):
    life.ask(bundle=LABEL)
    life.store.stage(write_tiny_bundle(tmp_path / "incoming", "0.4.0"))
    life.store.begin("tiny-0.4.0")
    life.store.commit()
    life.shadowing.activated()
    assert life.shadowing.begin(0).candidate.bundle == LABEL
