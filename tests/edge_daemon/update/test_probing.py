"""Does the daemon that was just started work? Told by what it answers, question by question."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from edge_daemon.errors import ServiceError, UpdateError
from edge_daemon.update.daemon import DaemonState
from edge_daemon.update.probing import Patience, probe

OLD, NEW, NEW_AGAIN = "the old one", "the new one", "the new one again"
BUSY, GONE = "busy", "gone"


@dataclass
class Answering:
    """Answers in turn, the last one for ever; a second passes with each question."""

    answers: list[str]
    now_s: float = 0.0
    asked: int = field(default=0, init=False)

    def state(self) -> DaemonState:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if answer == GONE:
            raise ServiceError("no daemon is running here")
        if answer == BUSY:
            raise UpdateError("the daemon does not say how it is: the daemon is stopping")
        return DaemonState(answer, "tiny", "0.1.0", "sha256:" + "0" * 64, None, None)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def probed(answers: Iterable[str]) -> str | None:
    daemon = Answering(list(answers))
    patience = Patience(5.0, 60.0, 0.0, clock=lambda: daemon.now_s, sleep=daemon.sleep)
    return probe(daemon, patience, lambda state: state.boot_id == OLD, lambda _: None)


def test_one_that_answers_and_stays_works() -> None:
    assert probed([OLD, BUSY, GONE, GONE, BUSY, NEW]) is None


def test_that_the_old_one_ends_is_no_death_of_the_new_one() -> None:
    """While it stops it answers, and says that it has no time."""
    why = "it did not answer within 5 s"
    assert probed([OLD, BUSY, GONE]) == why
    assert probed([BUSY, GONE]) == why
    assert probed([GONE]) == why


def test_one_that_ends_while_it_starts_may_do_so_twice() -> None:
    assert probed([OLD, GONE, BUSY, GONE, BUSY, GONE, BUSY, NEW]) is None
    assert probed([OLD, GONE, *[BUSY, GONE] * 3]) == "it started and ended 3 times"
    died = "it started and ended, and then did not answer within 5 s"
    assert probed([OLD, GONE, BUSY, GONE]) == died


def test_one_that_answers_and_is_another_one_later_may_be_so_twice() -> None:
    assert probed([NEW, NEW_AGAIN]) is None
    assert probed([NEW, NEW_AGAIN] * 3) == "it started and ended 3 times"


def test_one_that_says_that_it_starts_is_waited_for_and_not_for_ever() -> None:
    assert probed([OLD, BUSY]) == "it did not get ready within 60 s"
