"""A second opinion on what the classifier did not clear, beside the frame loop, not in its way.

A larger network, where the bundle has one, looks at every unique cell that was called a blast or
uncertain in a view that shows it whole, once: half a cell at the border of a frame is often
uncertain and says little. It runs in a thread of its own, which opens its network and owns it; the
frame loop only cuts the crop, puts it into a queue and goes on. When the queue is full, or the
network fails, or no view shows the cell whole, it is counted as skipped: the summary says how many
cells have no second opinion.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from edge_daemon.contract.bundle import Bundle
from edge_daemon.contract.findings import CellResult, Opinion, OpinionCounts
from edge_daemon.contract.messages import EngineInUse
from edge_daemon.contract.roles import ClassifierRole
from edge_daemon.engines.options import EngineOptions
from edge_daemon.errors import LeukoError
from edge_daemon.inference import Models
from edge_daemon.niceness import step_back
from edge_daemon.pipeline import Findings
from edge_daemon.vision.crops import crop_cells
from edge_daemon.vision.island import cut_sides

log = logging.getLogger(__name__)

MOST_WAITING = 128
"""Cells in the queue: some seconds of work for a large network on a processor."""
_AT_ONCE = 8


@dataclass(frozen=True)
class SecondAnswer:
    """Both opinions on one cell: the body of a SecondOpinion, before it is addressed."""

    frame: int
    unique_id: int
    first: Opinion
    second: Opinion


@dataclass(frozen=True, eq=False)
class _Question:
    slide: int
    """Which slide since the network was opened."""
    frame: int
    cell: CellResult
    crop: npt.NDArray[np.uint8]


class SecondOpinions:
    """Asks, counts and collects; a context manager. All methods are for the frame loop's thread."""

    def __init__(
        self,
        open_network: Callable[[], Models],
        role: ClassifierRole,
        *,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """``open_network`` is called in the thread that will own it; ``role`` is the network's."""
        self._open_network = open_network
        self._role = role
        self._questions: queue.Queue[_Question | None] = queue.Queue(most_waiting)
        self._answers: queue.SimpleQueue[tuple[int, SecondAnswer | None]] = queue.SimpleQueue()
        self._seen_whole: set[int] = set()
        self._only_cut: set[int] = set()
        self._asked: set[int] = set()
        self._wanted = self._answered = self._agreed = self._skipped = 0
        self._slide = 0
        self._thread = threading.Thread(target=self._work, name="second-opinion", daemon=True)
        self._ready = threading.Event()
        self._fault: LeukoError | None = None
        self.engines_in_use: tuple[EngineInUse, ...] = ()
        """Its network, once it is entered."""

    @classmethod
    def of(cls, bundle: Bundle, options: EngineOptions) -> SecondOpinions | None:
        """The second opinion of a bundle; None where it has none."""
        models = bundle.manifest.roles.second_opinion
        if models is None:
            return None
        alone = replace(options, threads=1)  # in its own thread, whose niceness it has
        return cls(lambda: Models.open(bundle, alone, ("second_opinion",)), models.spec)

    def __enter__(self) -> Self:
        """Open the network.

        Raises:
            LeukoError: it cannot be opened here.
        """
        self._thread.start()
        self._ready.wait()
        if self._fault is not None:
            raise self._fault
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._taken() is not None:
            pass  # what still waits is not wanted any more
        self._questions.put(None)
        self._thread.join()

    @property
    def counts(self) -> OpinionCounts:
        """How it stands, as far as answers were collected."""
        return OpinionCounts(
            wanted=self._wanted,
            answered=self._answered,
            agreed=self._agreed,
            skipped=self._skipped,
        )

    def begin(self, counts: OpinionCounts | None = None, asked: Iterable[int] = ()) -> None:
        """A slide begins; what is still asked about the one before is not wanted any more.

        Args:
            counts: how it stood with a slide that is taken up again; what was not answered then
                never will be.
            asked: unique cells of it that were asked about.
        """
        while self._taken() is not None:
            pass
        self._slide += 1
        before = counts or OpinionCounts()
        self._wanted, self._answered, self._agreed = before.wanted, before.answered, before.agreed
        self._skipped = before.wanted - before.answered
        self._asked = set(asked)
        self._seen_whole = set(self._asked)
        self._only_cut = set()

    def ask(self, findings: Findings, pixels: npt.NDArray[np.uint8]) -> None:
        """Ask about the cells of a frame that were not cleared and not asked about before."""
        cells = self._to_ask(findings.cells, pixels.shape[1], pixels.shape[0])
        if not cells:
            return
        self._wanted += len(cells)
        self._asked.update(cell.unique_id for cell in cells if cell.unique_id is not None)
        if findings.um_per_px is None:  # the crop would show the cell at no known size
            self._skipped += len(cells)
            return
        boxes = np.stack([_corners(cell) for cell in cells])
        role = self._role
        crops = crop_cells(pixels, boxes, findings.um_per_px, role.crop_um, role.size)
        for cell, crop in zip(cells, crops, strict=True):
            if not self._has_put(_Question(self._slide, findings.frame, cell, crop)):
                self._skipped += 1

    def _to_ask(self, cells: Iterable[CellResult], width: int, height: int) -> list[CellResult]:
        """Those that are shown whole, were not cleared, and were not asked about before."""
        frame = np.array([0, 0, width, height], np.float64)
        chosen = []
        for cell in cells:
            number = cell.unique_id
            if number is None:
                continue
            suspicious = cell.label in ("blast", "uncertain")
            if cut_sides(_corners(cell), frame).any():
                if suspicious and number not in self._seen_whole:
                    self._only_cut.add(number)
                continue
            self._seen_whole.add(number)
            self._only_cut.discard(number)
            if suspicious and number not in self._asked:
                chosen.append(cell)
        return chosen

    def answers(self) -> list[SecondAnswer]:
        """What has been answered since this was called last."""
        found = []
        while not self._answers.empty():
            slide, answer = self._answers.get()
            if slide != self._slide:
                continue
            if answer is None:
                self._skipped += 1
                continue
            self._answered += 1
            self._agreed += answer.first.label == answer.second.label
            found.append(answer)
        return found

    def finish(self, within_s: float) -> list[SecondAnswer]:
        """The answers to all that was asked; what is not answered in time counts as skipped."""
        self._wanted += len(self._only_cut)
        self._skipped += len(self._only_cut)
        self._only_cut.clear()
        until = time.monotonic() + within_s
        found = self.answers()
        while self._wanted > self._answered + self._skipped and time.monotonic() < until:
            time.sleep(0.01)
            found += self.answers()
        self._skipped = self._wanted - self._answered
        return found

    def _work(self) -> None:
        """The thread: opens the network, answers until it is told to end, closes it."""
        step_back()
        try:
            network = self._open_network()
            self.engines_in_use = network.engines_in_use
        except LeukoError as error:
            self._fault = error
            return
        finally:
            self._ready.set()
        with network:
            while (batch := self._next_batch()) is not None:
                self._answer(network, batch)

    def _next_batch(self) -> list[_Question] | None:
        """At least one question, and what else waits; None at the end."""
        first = self._questions.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < _AT_ONCE and (more := self._taken()) is not None:
            batch.append(more)
        return batch

    def _has_put(self, question: _Question) -> bool:
        try:
            self._questions.put_nowait(question)
        except queue.Full:
            return False
        return True

    def _taken(self) -> _Question | None:
        """A question that waits; None when there is none, and at the end."""
        try:
            question = self._questions.get_nowait()
        except queue.Empty:
            return None
        if question is None:
            self._questions.put(None)  # for the next turn
        return question

    def _answer(self, network: Models, batch: list[_Question]) -> None:
        try:
            verdicts = network.classify(np.stack([question.crop for question in batch]))
        except LeukoError:
            log.exception("second opinion on %d cells failed", len(batch))
            for question in batch:
                self._answers.put((question.slide, None))
            return
        said = zip(verdicts.p_blast.tolist(), verdicts.labels, strict=True)
        for question, (p_blast, label) in zip(batch, said, strict=True):
            cell = question.cell
            if cell.p_blast is None or cell.label is None or cell.unique_id is None:
                continue  # never asked about: only classified cells have a label
            answer = SecondAnswer(
                frame=question.frame,
                unique_id=cell.unique_id,
                first=Opinion(p_blast=cell.p_blast, label=cell.label),
                second=Opinion(p_blast=p_blast, label=label),
            )
            self._answers.put((question.slide, answer))


def _corners(cell: CellResult) -> npt.NDArray[np.float64]:
    """x0, y0, x1, y1 in pixels of the frame."""
    x, y, width, height = cell.box
    return np.array([x, y, x + width, y + height], np.float64)
