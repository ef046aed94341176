"""Why a camera cannot be read: one line for the operator, with what to do about it."""

from __future__ import annotations

from edge_daemon.errors import AbsentSourceError, SourceError
from edge_daemon.sources.device import EndOfFrames
from edge_daemon.sources.reader import Reader

_ADVICE = "check its cable and power"


def plugged_in(reader: Reader) -> bool:
    """Whether the reader's camera is there, as far as one can know."""
    return reader.device is None or reader.device.is_plugged_in()


class Loss:
    """Puts the end of a reader into words."""

    def __init__(self, name: str, *, reopens: bool, hidden: tuple[str, ...]) -> None:
        """Speak of one camera.

        Args:
            name: what it is called.
            reopens: it is opened again when it was lost.
            hidden: words (a password) that never get into a line, whoever wrote it.
        """
        self._name, self._reopens, self._hidden = name, reopens, hidden
        self.seen_before = False
        """It was open once: whoever reads the line waits for it to come back."""

    def hung(self, reader: Reader, limit_s: float) -> SourceError:
        """The reader was given up after it had waited ``limit_s`` for the driver."""
        if not reader.opened.is_set():
            return self._line(f"it did not open within {limit_s:g} s")
        what = f"no frame for {limit_s:g} s, the camera has stopped"
        if reader.flaw is not None:
            what = f"no good picture for {limit_s:g} s ({reader.flaw})"
        return self._line(what if plugged_in(reader) else "the camera was unplugged")

    def reason(self, reader: Reader, error: Exception) -> SourceError | EndOfFrames:
        """The reader ended by ``error``."""
        if isinstance(error, EndOfFrames):
            return error
        if reader.cannot_open and isinstance(error, SourceError):
            kind = AbsentSourceError if isinstance(error, AbsentSourceError) else SourceError
            return kind(self.clean(str(error)))
        if not reader.cannot_open and not plugged_in(reader):
            return self._line("the camera was unplugged")
        if isinstance(error, SourceError):
            return self._line(str(error))
        text = " ".join(str(error).split()) or type(error).__name__
        return self._line(f"the camera's driver failed ({text})")

    def clean(self, line: str) -> str:
        """``line`` as one line, without what is hidden."""
        for word in self._hidden:
            line = line.replace(word, "***")
        return " ".join(line.split())

    def _line(self, what: str) -> SourceError:
        advice = _ADVICE
        if self.seen_before:
            advice += (
                ", it is opened again as soon as it can be"
                if self._reopens
                else ", then start again"
            )
        return AbsentSourceError(self.clean(f"{self._name}: {what}: {advice}"))
