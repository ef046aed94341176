"""From findings to messages: addressed, numbered, and handed to whoever wants them.

The same :class:`FrameResult` goes into the outbox (and from there to the broker) and, as one line
of JSON, into the ``--out`` file. Without an outbox messages are numbered in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, TextIO

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.envelope import as_reason
from edge_daemon.contract.findings import CellCounts
from edge_daemon.contract.messages import (
    Crop,
    FrameResult,
    SecondOpinion,
    ShadowReport,
    SlideSummary,
)
from edge_daemon.delivery.outbox import Batch, Outbox
from edge_daemon.delivery.parcel import (
    MAX_CROP_BYTES,
    Envelope,
    Origin,
    Parcel,
    crop_parcel,
    parcel_of,
)
from edge_daemon.pipeline import Findings
from edge_daemon.second_opinion import SecondAnswer
from edge_daemon.slide_session import Standing
from edge_daemon.vision.pictures import picture_of


class _Numbers(Protocol):
    def envelope(self, origin: Origin) -> Envelope: ...

    def put(self, parcel: Parcel) -> None: ...


class _MemoryNumbers:
    """Numbers messages of a run that is not delivered anywhere."""

    def __init__(self) -> None:
        self._seq = 0

    def envelope(self, origin: Origin) -> Envelope:
        self._seq += 1
        return Envelope(
            site=origin.site,
            device=origin.device,
            boot_id=origin.boot_id,
            bundle=origin.bundle,
            seq=self._seq - 1,
            record=self._seq,
        )

    def put(self, parcel: Parcel) -> None:
        """Nobody waits for it."""


class Reporter:
    """Reports the frames and the standing of one slide."""

    def __init__(
        self,
        origin: Origin,
        slide: str,
        *,
        outbox: Outbox | None = None,
        lines: TextIO | None = None,
        crops: bool = True,
        pictured: Iterable[int] = (),
        control: bool = False,
        camera: Callable[[], str | None] = lambda: None,
        on_standing: Callable[[SlideSummary], None] = lambda _: None,
    ) -> None:
        """Report as ``origin``.

        Args:
            origin: site, device, boot and bundle.
            slide: name of the slide.
            outbox: where messages wait for the broker; None delivers nothing.
            lines: a text file that gets one line of JSON per frame.
            crops: send a picture of every suspicious cell, once.
            pictured: unique cells of which a picture was sent already.
            control: it is a control slide, of which no picture is sent either.
            camera: tells what takes the frames, and how it is set.
            on_standing: called with every standing that was reported.
        """
        self._origin = origin
        self._slide = slide
        self._outbox = outbox
        self._lines = lines
        self._control = control
        self._crops = crops and outbox is not None and not control
        self._camera = camera
        self._on_standing = on_standing
        self._pictured: set[int] = set(pictured)
        self._memory = _MemoryNumbers()

    def frame(self, findings: Findings, pixels: npt.NDArray[np.uint8] | None) -> FrameResult:
        """Report one frame; with its suspicious cells as pictures, in the same transaction."""
        with self._batch() as batch:
            message = FrameResult(
                **batch.envelope(self._origin),
                slide=self._slide,
                counts=CellCounts.of(findings.cells),
                control=self._control,
                **findings.body,
            )
            batch.put(parcel_of(message))
            if self._crops and pixels is not None:
                for parcel in self._pictures(batch, findings, pixels):
                    batch.put(parcel)
        if self._lines is not None:
            self._lines.write(message.to_json().decode() + "\n")
        return message

    def opinion(self, answer: SecondAnswer) -> SecondOpinion:
        """Report both opinions on one cell."""
        with self._batch() as batch:
            message = SecondOpinion(
                **batch.envelope(self._origin), slide=self._slide, **vars(answer)
            )
            batch.put(parcel_of(message))
        return message

    def shadow(self, body: Mapping[str, Any]) -> ShadowReport:
        """Report how a candidate stands; ``body`` as :func:`edge_daemon.shadow.report.body_of`."""
        with self._batch() as batch:
            message = ShadowReport(**batch.envelope(self._origin), slide=self._slide, **body)
            batch.put(parcel_of(message))
        return message

    def standing(self, standing: Standing) -> SlideSummary:
        """Report where the slide stands."""
        camera = self._camera()
        with self._batch() as batch:
            message = SlideSummary(
                **batch.envelope(self._origin),
                slide=self._slide,
                camera=None if camera is None else as_reason(camera),
                **vars(standing),
            )
            batch.put(parcel_of(message))
        self._on_standing(message)
        return message

    @contextmanager
    def together(self) -> Iterator[Batch | None]:
        """What is reported inside is stored under one commit, with what else the batch is given.

        None where nothing is stored.
        """
        if self._outbox is None:
            yield None
        else:
            with self._outbox.transaction() as batch:
                yield batch

    def _batch(self) -> AbstractContextManager[_Numbers]:
        if self._outbox is None:
            return nullcontext(self._memory)
        return self._outbox_batch(self._outbox)

    @staticmethod
    @contextmanager
    def _outbox_batch(outbox: Outbox) -> Iterator[Batch]:
        with outbox.transaction() as batch:
            yield batch

    def _pictures(
        self, batch: _Numbers, findings: Findings, pixels: npt.NDArray[np.uint8]
    ) -> Iterator[Parcel]:
        for cell in findings.cells:
            if cell.label not in ("blast", "uncertain") or cell.unique_id in self._pictured:
                continue
            if cell.unique_id is None or cell.p_blast is None:
                continue
            self._pictured.add(cell.unique_id)
            about = Crop(
                **batch.envelope(self._origin),
                slide=self._slide,
                frame=findings.frame,
                unique_id=cell.unique_id,
                p_blast=cell.p_blast,
                label=cell.label,
                um_per_px=findings.um_per_px,
            )
            yield crop_parcel(about, picture_of(cell.box, pixels, MAX_CROP_BYTES))
