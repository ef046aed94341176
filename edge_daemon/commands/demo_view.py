"""What the demo shows: the state of a slide as it arrived over MQTT, live and at the end."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edge_daemon.contract.messages import FrameResult, SlideSummary, Status
from edge_daemon.delivery.receiver import Received
from edge_daemon.sources.simulated import SlideTruth

_SPEED_OVER_S = 3.0
_MARKS = {"blast": "[red]●[/red]", "normal": "[green]●[/green]", "uncertain": "[yellow]●[/yellow]"}
_CELLS_SHOWN = 60


@dataclass
class DemoView:
    """Collects messages (in the receiver's thread) and draws them (in the main thread)."""

    frames: int
    """Frames the slide will have, for the progress bar."""
    summary: SlideSummary | None = None
    status: str = "starting"
    outcomes: Counter[str] = field(default_factory=Counter)
    last: FrameResult | None = None
    crops: int = 0
    _arrivals_s: deque[float] = field(default_factory=lambda: deque(maxlen=4096))
    _labels: dict[int, str] = field(default_factory=dict)
    _reasons: deque[str] = field(default_factory=lambda: deque(maxlen=2))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def receive(self, received: Received) -> None:
        """Take in one message."""
        message = received.message
        with self._lock:
            if isinstance(message, FrameResult):
                self._arrivals_s.append(time.monotonic())
                self.outcomes[message.outcome] += 1
                self.last = message
                if message.reason is not None:
                    self._reasons.append(
                        f"frame {message.frame} {message.outcome}: {message.reason}"
                    )
                for cell in message.cells:
                    if cell.unique_id is not None and cell.label is not None:
                        self._labels[cell.unique_id] = cell.label
            elif isinstance(message, SlideSummary):
                if self.summary is None or message.record > self.summary.record:
                    self.summary = message  # what waited comes after what is newer
            elif isinstance(message, Status):
                self.status = message.state
            elif received.jpeg is not None:
                self.crops += 1

    @property
    def frames_per_s(self) -> float:
        """Frames that arrived per second, over the last seconds."""
        now = time.monotonic()
        recent = [t for t in self._arrivals_s if now - t < _SPEED_OVER_S]
        return len(recent) / max(now - recent[0], 0.2) if recent else 0.0

    def line(self) -> str:
        """The state of the slide in one plain line."""
        with self._lock:
            seen = sum(self.outcomes.values())
            text = f"{self.status}: {seen}/{self.frames} frames, {self.frames_per_s:.0f}/s"
            if self.summary is None:
                return text
            cells = self.summary.unique_cells
            return (
                f"{text}; {cells.wbc} white, {cells.rbc} red, {cells.platelet} platelets; "
                f"blasts {_fraction(self.summary)}"
            )

    def panel(self) -> RenderableType:
        """The state of the slide as a panel that is drawn anew several times a second."""
        with self._lock:
            rows = Table.grid(padding=(0, 2))
            rows.add_column(style="bold")
            rows.add_column()
            seen = sum(self.outcomes.values())
            ended = ", ".join(f"{n} {outcome}" for outcome, n in self.outcomes.items())
            rows.add_row("frames", ProgressBar(total=self.frames, completed=seen, width=40))
            rows.add_row("", f"{seen} of {self.frames}: {ended or 'waiting for the daemon'}")
            rows.add_row("speed", f"{self.frames_per_s:.1f} frames/s over MQTT")
            if self.summary is not None:
                cells = self.summary.unique_cells
                rows.add_row(
                    "cells", f"{cells.wbc} white, {cells.rbc} red, {cells.platelet} platelets"
                )
                rows.add_row("blasts", _fraction(self.summary))
                rows.add_row("so far", Text(f"{self.summary.disposition}"))
            marks = [_MARKS[label] for _, label in sorted(self._labels.items())][-_CELLS_SHOWN:]
            rows.add_row("white cells", Text.from_markup("".join(marks) or " "))
            rows.add_row("", "[red]●[/red] blast [green]●[/green] normal [yellow]●[/yellow] unsure")
            notes = [Text(reason, style="dim", overflow="ellipsis") for reason in self._reasons]
            return Panel(Group(rows, *notes), title=f"microscope-1 is {self.status}", width=86)

    def closing_lines(self, found: SlideSummary, truth: SlideTruth) -> list[str]:
        """The summary beside the truth of the simulation, and what the reader should know."""
        true = truth.unique
        known = true.exact_kinds
        spoilt = sum(frame.defect is not None for frame in truth.frames)
        frames, cells = found.frames, found.unique_cells
        return [
            "",
            f"{'':28}{'found':>10}{'truth':>10}",
            _row("frames analysed", frames.analysed, len(truth.frames) - spoilt),
            _row("frames rejected", frames.rejected, spoilt),
            _row("unique white cells", cells.wbc, true.white),
            _row("unique red cells", cells.rbc, true.red if "rbc" in known else None),
            _row(
                "unique platelets", cells.platelet, true.platelets if "platelet" in known else None
            ),
            _row("blasts", found.blasts, true.blasts),
            f"{'blast fraction':28}{_percent(found):>10}{100 * (true.blast_fraction or 0):>9.1f}%",
            "",
            f"disposition: {found.disposition}. {' '.join(found.reasons)}",
            f"left to a human reader as uncertain: {found.uncertain} white cells",
            f"pictures received, of cells that were suspicious in some view: {self.crops}",
            "",
            "Rendered cells: this shows that the path works, not how good the models are."
            if "rbc" in known
            else "Real cells on real background, put together; what lies on it nobody counted (-).",
            "docs/results.md has figures on real cells. Research use only.",
        ]


def _row(what: str, found: int, true: int | None) -> str:
    return f"{what:28}{found:>10}{'-' if true is None else true:>10}"


def _percent(summary: SlideSummary) -> str:
    fraction = summary.blast_fraction
    return "none" if fraction is None else f"{100 * fraction.estimate:.1f}%"


def _fraction(summary: SlideSummary) -> str:
    fraction = summary.blast_fraction
    if fraction is None:
        return "no white cell yet"
    return (
        f"{summary.blasts} of {summary.nucleated_cells} = {100 * fraction.estimate:.1f} % "
        f"({100 * fraction.confidence:.0f} %: {100 * fraction.low:.1f} to "
        f"{100 * fraction.high:.1f} %), {summary.uncertain} uncertain"
    )
