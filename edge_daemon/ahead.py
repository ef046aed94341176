"""One step ahead: the next item is fetched and prepared while the present one is worked on.

Reading a picture, judging it and scaling it need no network, and the networks leave the rest of a
machine idle: all of a Jetson's processor while its GPU works, and what the last layers of a small
network cannot fill of a pair of cores.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Ready = TypeVar("Ready")


class EndOfItems(Exception):  # noqa: N818 - as StopIteration: no error
    """There are no more items."""


@dataclass(frozen=True, eq=False)
class _Failed:
    error: BaseException


class Feed(Generic[Ready]):
    """Hands out ``prepare(item)`` for every item, in order, each fetched when it was asked for.

    Fetching and preparing happen in one other thread, never at once for two items.
    """

    def __init__(self, items: Iterable[Item], prepare: Callable[[Item], Ready]) -> None:
        self._asked = threading.Semaphore(0)
        self._ready: queue.SimpleQueue[Ready | _Failed] = queue.SimpleQueue()
        self._closed = False
        self._over: BaseException | None = None
        self._thread = threading.Thread(
            target=self._work, args=(iter(items), prepare), name="ahead", daemon=True
        )
        self._thread.start()

    def ask(self) -> None:
        """Have the next item fetched and prepared."""
        self._asked.release()

    def take(self, timeout_s: float | None = None) -> Ready | None:
        """What was asked for first and not taken yet; None when it does not come in time.

        Raises:
            EndOfItems: there are no more.
            BaseException: what the items or ``prepare`` raised, after all before it was taken.
        """
        if self._over is not None:
            raise self._over
        try:
            ready = self._ready.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(ready, _Failed):
            self._over = ready.error
            raise ready.error
        return ready

    def close(self, timeout_s: float | None = None) -> None:
        """Let go of the items, at the latest when the one that is on its way has come.

        A source that waits for ever is left behind after ``timeout_s``: the thread is a daemon.
        """
        self._closed = True
        self._asked.release()
        self._thread.join(timeout_s)

    def _work(self, items: Iterator[Item], prepare: Callable[[Item], Ready]) -> None:
        try:
            while True:
                self._asked.acquire()
                if self._closed:
                    return
                self._ready.put(prepare(next(items)))
        except StopIteration:
            self._ready.put(_Failed(EndOfItems()))
        except BaseException as error:  # noqa: BLE001 - raised where it is taken
            self._ready.put(_Failed(error))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()


def ahead(
    items: Iterable[Item],
    prepare: Callable[[Item], Ready],
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Ready, None, None]:
    """Hand out ``prepare(item)`` for every item, in order, each prepared one item ahead.

    Nothing that was fetched is lost: once ``stopped`` answers True no further item is fetched, and
    the one that is on its way is the last to be handed out. Close the generator to be sure that
    the thread has let go of ``items``.

    Raises:
        BaseException: what ``items`` or ``prepare`` raised, after all before it was handed out.
    """
    feed = Feed(items, prepare)
    try:
        feed.ask()
        while True:
            try:
                ready = feed.take()
            except EndOfItems:
                return
            last = stopped()
            if not last:
                feed.ask()
            yield ready  # type: ignore[misc]
            if last:
                return
    finally:
        feed.close()
