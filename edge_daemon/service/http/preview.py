"""The operator's picture: the newest frame with what was found in it, encoded while it is watched.

One picture is drawn and encoded once, in a thread of this server, however many people watch, and
none while nobody does. A picture that has stood still for a while says so in itself: a frozen
picture that looks live is worse than none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import cv2
import numpy as np
import numpy.typing as npt
from starlette.concurrency import run_in_threadpool

from edge_daemon.service.advice import Advice
from edge_daemon.service.view import DeviceView, Shown
from edge_daemon.vision.annotate import annotate

LONGEST_SIDE_PX = 1280
"""What a kiosk screen shows; a camera of 12 megapixels would be 30 ms of encoding."""
PICTURES_PER_S = 10.0
STALE_AFTER_S = 3.0
REPEATED_AFTER_S = 1.0
BOUNDARY = "leukoedge-frame"
_LONGEST_HINT = 90  # letters; more do not fit into a picture of 640 pixels
_QUALITY = 80
_WAITING = (480, 640, 3)


class Preview:
    """Pictures of what lies under the objective now."""

    def __init__(
        self,
        view: DeviceView,
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.encoded = 0
        """Pictures encoded so far."""
        self._view = view
        self._stopping = stopping
        self._clock = clock
        self._lock = asyncio.Lock()
        self._last: tuple[tuple[object, ...], bytes] | None = None

    async def jpeg(self) -> bytes | None:
        """The newest picture; None before the first frame."""
        shown = self._view.newest()
        return None if shown is None else (await self._encoded(shown))[1]

    async def stream(self) -> AsyncIterator[bytes]:
        """Parts of ``multipart/x-mixed-replace``, one per new picture, until the server stops.

        Each ends with the boundary, at once: a browser shows a part when it has seen its end, so
        that with the boundary before the next part every picture would be shown one too late. A
        picture that stays is sent again every second: some browsers wait for a second part before
        they show the first.
        """
        sent: object = None
        sent_s = 0.0
        yield f"--{BOUNDARY}\r\n".encode()
        while not self._stopping():
            shown = self._view.newest()
            key, picture = await self._waiting() if shown is None else await self._encoded(shown)
            if key != sent or time.monotonic() - sent_s >= REPEATED_AFTER_S:
                sent, sent_s = key, time.monotonic()
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                yield head.encode() + picture + f"\r\n--{BOUNDARY}\r\n".encode()
            await asyncio.sleep(1 / PICTURES_PER_S)

    async def _waiting(self) -> tuple[tuple[object, ...], bytes]:
        empty = np.full(_WAITING, 40, np.uint8)
        cv2.putText(empty, "waiting for the camera", (140, 240), 0, 1.0, (220, 220, 220), 2, 16)
        return ("waiting",), await run_in_threadpool(_jpeg, empty)

    async def _encoded(self, shown: Shown) -> tuple[tuple[object, ...], bytes]:
        still_s = self._clock() - shown.since_s
        stale_s = int(still_s) if still_s >= STALE_AFTER_S else None
        advice = self._view.advice()
        key = (shown.number, stale_s, advice)
        async with self._lock:  # whoever comes second takes what the first has made
            if self._last is None or self._last[0] != key:
                picture = await run_in_threadpool(_draw, shown, advice, stale_s)
                self._last = (key, picture)
                self.encoded += 1
            return self._last


def _draw(shown: Shown, advice: Advice, stale_s: int | None) -> bytes:
    hint = f"{advice.word}: {advice.sentence}"
    if len(hint) > _LONGEST_HINT:
        hint = advice.word
    if stale_s is not None:
        hint = f"NO NEW PICTURE FOR {stale_s} s. {hint}"
    picture = annotate(
        shown.pixels, shown.result, ids=True, hint=hint, longest_side_px=LONGEST_SIDE_PX
    )
    return _jpeg(picture)


def _jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
