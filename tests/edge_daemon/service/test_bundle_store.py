"""A bundle becomes the active one when it is proven, and never half."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_as_test

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.errors import BundleError
from edge_daemon.service import bundle_store
from edge_daemon.service.bundle_store import MOST_SHADOW_STARTS, STATE, BundleState, BundleStore
from tests.edge_daemon.tiny_bundle import write_tiny_bundle
from tests.soak import repeated


@pytest.fixture
def incoming(tmp_path: Path) -> Callable[[str], Path]:
    def write(version: str) -> Path:
        return write_tiny_bundle(tmp_path / "incoming", version)

    return write


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path / "store")


def test_at_first_the_bundle_that_ships_is_active(store: BundleStore) -> None:
    assert store.active() is None
    assert store.staged() == []


def test_staging_copies_and_activates_nothing(store: BundleStore, incoming) -> None:
    source = incoming("0.2.0")
    staged = store.stage(source)
    assert staged.path == store.folder / "tiny-0.2.0"
    assert staged.digest == load_bundle(source).digest
    assert store.active() is None
    assert store.stage(source).digest == staged.digest  # a repeat is no fault


def test_committed_it_is_active_at_every_start(store: BundleStore, incoming) -> None:
    store.stage(incoming("0.2.0"))
    assert store.begin("tiny-0.2.0") == store.folder / "tiny-0.2.0"
    assert store.active() is None
    store.commit()
    again = BundleStore(store.folder)
    assert again.active() == store.folder / "tiny-0.2.0"
    assert again.state == BundleState(active="tiny-0.2.0")


def test_what_fails_is_not_active_and_the_reason_stays(store: BundleStore, incoming) -> None:
    store.stage(incoming("0.2.0"))
    store.begin("tiny-0.2.0")
    store.roll_back("it fails its golden set")
    again = BundleStore(store.folder)
    assert again.active() is None
    assert again.state.fault == "tiny-0.2.0: it fails its golden set"


def test_a_process_that_dies_with_it_starts_with_the_one_before(
    store: BundleStore, incoming
) -> None:
    for version in ("0.2.0", "0.3.0"):
        store.stage(incoming(version))
    store.begin("tiny-0.2.0")
    store.commit()
    store.begin("tiny-0.3.0")  # and here the power goes
    again = BundleStore(store.folder)
    assert again.active() == store.folder / "tiny-0.2.0"
    assert "ended while it was being tried" in (again.state.fault or "")


def test_an_unsound_bundle_leaves_nothing_behind(store: BundleStore, incoming) -> None:
    source = incoming("0.2.0")
    (source / "golden.npz").write_bytes(b"other")
    with pytest.raises(BundleError, match="golden"):
        store.stage(source)
    assert not store.folder.exists() or list(store.folder.iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(
    store: BundleStore, incoming, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(bundle_store.shutil, "copyfile", full)
    with pytest.raises(BundleError, match=r"cannot stage tiny-0\.2\.0 .*No space left"):
        store.stage(incoming("0.2.0"))
    assert list(store.folder.iterdir()) == []


def test_another_bundle_of_the_same_version_is_refused(
    store: BundleStore, incoming, tmp_path: Path
) -> None:
    store.stage(incoming("0.2.0"))
    other = write_tiny_bundle(tmp_path / "others", "0.2.0", novelty_limit=1.0)
    with pytest.raises(BundleError, match="a published version never changes"):
        store.stage(other)


@pytest.mark.parametrize("label", ["tiny-9.9.9", "../store", ".hidden", ""])
def test_what_is_not_staged_cannot_be_tried(store: BundleStore, label: str) -> None:
    with pytest.raises(BundleError, match="is not staged here"):
        store.begin(label)


def test_a_state_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / STATE).write_text("{")
    with pytest.raises(BundleError, match="delete it to go back to the bundle that ships"):
        BundleStore(tmp_path)


def test_pruning_keeps_what_one_may_go_back_to(store: BundleStore, incoming) -> None:
    for version in ("0.2.0", "0.3.0", "0.4.0"):
        store.stage(incoming(version))
        store.begin(f"tiny-{version}")
        store.commit()
    assert store.prune() == ["tiny-0.2.0"]
    assert store.staged() == ["tiny-0.3.0", "tiny-0.4.0"]


class TestShadow:
    def test_a_candidate_is_there_again_at_every_start(self, store: BundleStore, incoming) -> None:
        store.stage(incoming("0.2.0"))
        store.put_into_shadow("tiny-0.2.0")
        again = BundleStore(store.folder)
        assert (again.state.shadow, again.active()) == ("tiny-0.2.0", None)
        assert again.start_shadow() == store.folder / "tiny-0.2.0"
        again.put_into_shadow(None)
        assert BundleStore(store.folder).start_shadow() is None

    def test_what_is_not_staged_cannot_look_on(self, store: BundleStore) -> None:
        with pytest.raises(BundleError, match="is not staged here"):
            store.put_into_shadow("tiny-9.9.9")

    def test_activating_it_ends_its_shadow_and_another_does_not(
        self, store: BundleStore, incoming
    ) -> None:
        for version in ("0.2.0", "0.3.0"):
            store.stage(incoming(version))
        store.put_into_shadow("tiny-0.3.0")
        store.begin("tiny-0.2.0")
        store.commit()
        assert store.state.shadow == "tiny-0.3.0"
        store.begin("tiny-0.3.0")
        store.roll_back("no good")
        assert store.state.shadow == "tiny-0.3.0"
        store.begin("tiny-0.3.0")
        store.commit()
        assert store.state.shadow is None

    def test_one_that_takes_the_daemon_with_it_is_not_started_for_ever(
        self, store: BundleStore, incoming
    ) -> None:
        store.stage(incoming("0.2.0"))
        store.put_into_shadow("tiny-0.2.0")
        for _ in range(MOST_SHADOW_STARTS):
            again = BundleStore(store.folder)
            assert again.start_shadow() is not None  # and here the process dies
        again = BundleStore(store.folder)
        with pytest.raises(BundleError, match=r"ended 3 times while tiny-0\.2\.0 was"):
            again.start_shadow()
        again.put_shadow_aside("it took the daemon with it")
        assert BundleStore(store.folder).start_shadow() is None

    def test_one_that_has_proven_itself_may_be_switched_off_at_the_mains(
        self, store: BundleStore, incoming
    ) -> None:
        store.stage(incoming("0.2.0"))
        store.put_into_shadow("tiny-0.2.0")
        for _ in range(3 * MOST_SHADOW_STARTS):
            again = BundleStore(store.folder)
            assert again.start_shadow() is not None
            again.prove_shadow()

    def test_pruning_keeps_it(self, store: BundleStore, incoming) -> None:
        for version in ("0.2.0", "0.3.0"):
            store.stage(incoming(version))
        store.put_into_shadow("tiny-0.2.0")
        assert store.prune() == ["tiny-0.3.0"]


class Activations(RuleBasedStateMachine):
    """Any order of steps, cut off after any write: active is what was committed last."""

    folders: Iterator[Path]
    sources: tuple[Path, ...]

    @initialize()
    def begin_life(self) -> None:
        self.folder = next(self.folders)
        self.store = BundleStore(self.folder)
        for source in self.sources:
            self.store.stage(source)
        self.active: str | None = None
        self.trying: str | None = None
        self.shadow: str | None = None

    @rule()
    def put_the_first_into_shadow(self) -> None:
        self.shadow = self.store.staged()[0]
        self.store.put_into_shadow(self.shadow)

    @rule()
    def end_the_shadow(self) -> None:
        self.shadow = None
        self.store.put_into_shadow(None)

    @rule()
    def try_the_next(self) -> None:
        labels = self.store.staged()
        at = 0 if self.active is None else (labels.index(self.active) + 1) % len(labels)
        self.store.begin(labels[at])
        self.trying = labels[at]

    @rule()
    def commit(self) -> None:
        if self.trying is not None:
            self.store.commit()
            self.active, self.trying = self.trying, None
            self.shadow = None if self.shadow == self.active else self.shadow

    @rule()
    def fail(self) -> None:
        if self.trying is not None:
            self.store.roll_back("no good")
            self.trying = None

    @rule()
    def power_cut(self) -> None:
        draft = self.folder / f".{STATE}"
        draft.write_text(json.dumps({"active": "half"})[:9])  # a write that was under way
        self.store = BundleStore(self.folder)
        self.trying = None

    @invariant()
    def active_is_what_was_committed(self) -> None:
        path = self.store.active()
        assert (None if path is None else path.name) == self.active
        if path is not None:
            load_bundle(path)

    @invariant()
    def the_candidate_is_who_was_put_into_shadow(self) -> None:
        assert self.store.state.shadow == self.shadow


@pytest.mark.soak
def test_any_order_of_steps_and_power_cuts(tmp_path_factory: pytest.TempPathFactory) -> None:
    def folders() -> Iterator[Path]:
        while True:
            yield tmp_path_factory.mktemp("store")

    made = tmp_path_factory.mktemp("made")
    Activations.folders = folders()
    Activations.sources = tuple(write_tiny_bundle(made, f"0.{n}.0") for n in (2, 3))
    run_as_test(
        Activations,
        settings=settings(
            max_examples=repeated(10),
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
