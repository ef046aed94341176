"""Slides that begin when their label is shown to the camera.

Frames are looked at in the thread that prepares them, a few a second, so that the view stays live;
while a label is in view every frame is, because such a frame shows no smear: it belongs to no slide
and is only shown. What a label means is decided between two frames, in the thread of the loop, when
it was read the same several times.

A label begins a slide that was not there before, and nothing else by itself. What is in doubt (two
labels, one that is no name, one of a slide that was screened, another one than that of the slide
under way) is told to the operator in one line.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import time
from collections.abc import Callable

from edge_daemon.config import LabelSettings
from edge_daemon.errors import CommandError
from edge_daemon.pipeline import Prepared
from edge_daemon.service.current_slide import CurrentSlide
from edge_daemon.sources.base import Captured, Frame
from edge_daemon.vision.label import LabelReader, slide_name

_SHARE = 0.05
"""At most this share of the preparing thread's time is spent on looking for labels."""
_STILL_IN_VIEW = 3
"""So many frames in a row without a label, and it is out of view: one may be unreadable."""
_UNDECIDED = "/"  # which no slide is called
_FORGET_S = 10.0
"""What was read so long ago is no longer in view, and read anew when it comes back."""

log = logging.getLogger(__name__)


class LabelWatch:
    """Looks at frames while they are prepared; for the thread that does that."""

    def __init__(
        self,
        prepare: Callable[[Captured], Prepared],
        settings: Callable[[], LabelSettings | None],
        *,
        endless: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look before ``prepare``, while ``settings`` gives some.

        ``endless`` frames of a camera are looked at now and then; of a file's each one is, for
        nobody waits for these.
        """
        self.newest: Captured | None = None
        """The last that was captured; any thread may take it."""
        self._prepare = prepare
        self._settings = settings
        self._endless = endless
        self._clock = clock
        self._due_s = float("-inf")
        self._in_view = 0
        self._reader: tuple[bool, LabelReader] | None = None

    def prepare(self, captured: Captured) -> Prepared:
        """A frame on its way, with what the labels in it say."""
        self.newest = captured
        labels = self._labels_in(captured)
        prepared = self._prepare(captured)
        return dataclasses.replace(prepared, labels=labels) if labels else prepared

    def expect(self) -> None:
        """A label is in view: look at every frame until it is not."""
        self._in_view = _STILL_IN_VIEW

    def _labels_in(self, captured: Captured) -> tuple[str, ...]:
        settings = self._settings()
        if not isinstance(captured, Frame) or not (self._in_view or self._is_due(settings)):
            return ()
        began = self._clock()
        labels = self._reader_of(settings).read(captured.pixels)
        took_s = self._clock() - began
        pause_s = 0.0 if settings is None else 1.0 / settings.per_second
        self._due_s = began + took_s + max(pause_s, took_s / _SHARE)
        self._in_view = _STILL_IN_VIEW if labels else max(0, self._in_view - 1)
        return labels

    def _is_due(self, settings: LabelSettings | None) -> bool:
        return settings is not None and (not self._endless or self._clock() >= self._due_s)

    def _reader_of(self, settings: LabelSettings | None) -> LabelReader:
        barcodes = settings is not None and settings.barcodes
        if self._reader is None or self._reader[0] != barcodes:
            self._reader = barcodes, LabelReader(barcodes=barcodes)
        return self._reader[1]


class LabelStarts:
    """What the labels that were seen mean; for the thread of the frame loop."""

    def __init__(
        self,
        current: CurrentSlide,
        tell: Callable[[str | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin slides of ``current``; ``tell`` the operator what is in doubt, None for nothing."""
        self.line: str | None = None
        """What the operator is told now."""
        self._current = current
        self._tell = tell
        self._clock = clock
        self._labels: tuple[str, ...] = ()
        self._times = 0
        self._seen_s = float("-inf")
        self._fresh = False
        self._decided_in: str | None = _UNDECIDED

    @property
    def wanted(self) -> bool:
        """Whether slides begin by their labels here."""
        return self._current.defaults.labels is not None

    def seen(self, labels: tuple[str, ...]) -> None:
        """A frame showed them; nothing is begun or ended before :meth:`act`."""
        now = self._clock()
        if labels != self._labels or now - self._seen_s > _FORGET_S:
            self._labels, self._times, self._decided_in = labels, 0, _UNDECIDED
        self._times += 1
        self._fresh = True
        self._seen_s = now

    def act(self) -> None:
        """Do what the label says, between two frames, when it was read often enough."""
        settings = self._current.defaults.labels
        if settings is None:
            self._say(None)
            return
        fresh, self._fresh = self._fresh, False
        if not fresh:
            if self._clock() - self._seen_s > _FORGET_S:
                self._say(None)
        elif self._times >= settings.read_same and self._decided_in != self._current.name:
            self._say(self._decide(settings))
            self._decided_in = self._current.name  # another slide by command: decide anew

    def only_one(self, labels: tuple[str, ...], pattern: str | None = None) -> tuple[str, str]:
        """The one label in view and the name of its slide.

        Raises:
            CommandError: there is none, or several, or none that names a slide.
        """
        if not labels:
            raise CommandError("no label can be read in the frame; hold it still and in focus")
        if len(labels) > 1:
            both = ", ".join(_short(label) for label in labels)
            raise CommandError(f"several labels are in view ({both}): show one")
        (text,) = labels
        if pattern is not None and re.fullmatch(pattern, text) is None:
            raise CommandError(
                f"the label reads {_short(text)}, which is no label of a slide here ([slide.label] "
                "pattern)"
            )
        name = slide_name(text)
        if name is None:
            raise CommandError(
                f"the label reads {_short(text)}, which gives no name for a slide (at most 64 "
                "letters, digits, . _ -): start it by hand, leuko-edge slide start NAME"
            )
        return text, name

    def _decide(self, settings: LabelSettings) -> str | None:
        current = self._current
        try:
            text, name = self.only_one(self._labels, settings.pattern)
            if current.shows(text, name):
                return None
            if current.knows(name):
                raise CommandError(
                    f"the label reads {name}, and there was a slide of that name before: put on "
                    "the next one, or start it by hand under another name"
                )
            if current.run is not None:
                if settings.on_other == "warn":
                    raise CommandError(
                        f"the label reads {name}, but slide {current.name} is under way: finish it "
                        "first"
                    )
                log.warning("slide %s ends: the label of %s is shown", current.name, name)
                current.end("finished")
            current.begin(name, label=text)
        except CommandError as error:
            return str(error)
        return None

    def _say(self, line: str | None) -> None:
        if line != self.line:
            self.line = line
            self._tell(line)
            if line is not None:
                log.warning("label: %s", line)


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
