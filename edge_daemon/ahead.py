"""One step ahead: the next item is fetched and prepared while the present one is worked on.

Reading a picture, judging it and scaling it need no network, and the networks leave the rest of a
machine idle: all of a Jetson's processor while its GPU works, and what the last layers of a small
network cannot fill of a pair of cores.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Ready = TypeVar("Ready")

_END = object()


def ahead(
    items: Iterable[Item],
    prepare: Callable[[Item], Ready],
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[Ready, None, None]:
    """Hand out ``prepare(item)`` for every item, in order, each prepared one item ahead.

    Fetching and preparing happen in one other thread, never at once for two items. Nothing that
    was fetched is lost: once ``stopped`` answers True no further item is fetched, and the one
    that is on its way is the last to be handed out. Close the generator to be sure that the
    thread has let go of ``items``.

    Raises:
        BaseException: what ``items`` or ``prepare`` raised, after all before it was handed out.
    """
    waiting = iter(items)

    def fetch() -> object:
        item = next(waiting, _END)
        return item if item is _END else prepare(item)  # type: ignore[arg-type]

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(fetch)
        while (ready := coming.result()) is not _END:
            last = stopped()
            if not last:
                coming = thread.submit(fetch)
            yield ready  # type: ignore[misc]
            if last:
                return
