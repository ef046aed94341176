"""The ledger of slides: what is under way and can be taken up again, and what every slide came to.

It lies in the outbox's file. A frame's entry and its message are one commit, so neither is ever
there without the other: what was published is what is counted after a crash. Every few hundred
frames the slide map is written down as a whole, so that taking up a slide takes a second, not the
time of the slide.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from edge_daemon.contract.findings import StagePoint
from edge_daemon.contract.messages import SlideSummary
from edge_daemon.delivery.outbox import Batch, Outbox
from edge_daemon.ledger.boots import TABLE, Boots
from edge_daemon.ledger.packed import (
    pack_sightings,
    pack_state,
    pack_view,
    unpack_sightings,
    unpack_state,
    unpack_view,
)
from edge_daemon.ledger.reasons import count, in_few_words
from edge_daemon.pipeline import Findings
from edge_daemon.slide_session import SlideSetup, Tally
from edge_daemon.vision.cell_table import PublishedFrame
from edge_daemon.vision.placement import Joined, Placement
from edge_daemon.vision.register import View
from edge_daemon.vision.slide_map import SlideMap

STATE_EVERY = 500
"""Frames after which the slide map is written down as a whole."""

KEEP_SLIDES = 5000
"""Slides that are remembered, with their names."""

_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS slides (
        slide TEXT PRIMARY KEY, setup TEXT NOT NULL, bundle TEXT, started_at TEXT NOT NULL,
        began INTEGER NOT NULL, completion TEXT, standing BLOB, tally TEXT, state BLOB
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS slide_frames (
        slide TEXT NOT NULL, number INTEGER NOT NULL, about TEXT NOT NULL, cells BLOB,
        PRIMARY KEY (slide, number)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS slide_views (
        slide TEXT NOT NULL, number INTEGER NOT NULL, view BLOB NOT NULL,
        PRIMARY KEY (slide, number)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS slides_by_began ON slides (began)",
    TABLE,
)


@dataclass(frozen=True)
class Unfinished:
    """A slide whose process ended before it did: all that is needed to go on with it."""

    setup: SlideSetup
    bundle: str | None
    """Digest of the bundle it began with."""
    started_at: datetime
    tally: Tally
    slide_map: SlideMap
    scales: dict[tuple[int, int], float]
    """Height and width of a frame -> um per pixel, as last estimated."""
    coming_index: int
    """Of the source's frames, the first that is not entered."""
    standing: SlideSummary | None
    """The last that was reported."""


@dataclass
class _Progress:
    """What is written down with the slide map."""

    tally: Tally
    scales: dict[tuple[int, int], float]
    coming_index: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """``outcome: what was wrong`` -> frames that were not analysed because of it."""

    def enter(self, source_index: int, findings: dict[str, Any]) -> None:
        reason = findings.get("reason")
        if reason is not None:
            count(self.reasons, reason)
        self.tally.enter(
            findings["outcome"],
            saturated=findings["saturated"],
            um_per_px=findings["um_per_px"],
        )
        if findings["um_per_px_from"] == "estimated":
            self.scales[findings["height"], findings["width"]] = findings["um_per_px"]
        self.coming_index = source_index + 1

    def to_json(self) -> str:
        tally = {**vars(self.tally), "outcomes": dict(self.tally.outcomes)}
        scales = [[*size, scale] for size, scale in self.scales.items()]
        return json.dumps(
            {
                "tally": tally,
                "scales": scales,
                "coming_index": self.coming_index,
                "reasons": self.reasons,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> _Progress:
        content = json.loads(text)
        tally = content["tally"]
        return cls(
            Tally(Counter(tally["outcomes"]), tally["saturated"], tally["um_per_px"]),
            {(height, width): scale for height, width, scale in content["scales"]},
            content["coming_index"],
            Counter(content.get("reasons", {})),  # files of the first releases have none
        )


class SlideLedger:
    """The slides of one device. Methods are for the thread of the frame loop."""

    def __init__(
        self, outbox: Outbox, boot_id: str | None = None, *, keep_slides: int = KEEP_SLIDES
    ) -> None:
        """The ledger in the file of ``outbox``.

        Args:
            outbox: open for this process alone.
            boot_id: of the daemon that will enter frames; None where nobody will.
            keep_slides: when one begins, of those that have ended only so many are kept.
        """
        self.keep_slides = keep_slides
        self._outbox = outbox
        self._progress = _Progress(Tally(), {})
        with outbox.transaction() as batch:
            for table in _TABLES:
                batch.execute(table)
            self._boots = Boots(outbox, batch, boot_id)

    def knows(self, slide: str) -> bool:
        """Whether a slide of this name was ever begun here."""
        return bool(self._outbox.query("SELECT 1 FROM slides WHERE slide = ?", (slide,)))

    def names(self) -> list[str]:
        """What slides and operators were ever called here, and what labels read."""
        rows = self._outbox.query("SELECT slide, setup FROM slides")
        setups = [json.loads(setup) for _, setup in rows]
        others = (setup.get(what) for setup in setups for what in ("operator", "label"))
        return [slide for slide, _ in rows] + [one for one in others if one]

    def begin(self, setup: SlideSetup, bundle: str | None, started_at: datetime) -> None:
        """Write down that a slide has begun."""
        self._progress = _Progress(Tally(), {})
        with self._outbox.transaction() as batch:
            batch.execute(
                "INSERT INTO slides (slide, setup, bundle, started_at, began)"
                " VALUES (?, ?, ?, ?, (SELECT coalesce(max(began), 0) + 1 FROM slides))",
                (setup.name, json.dumps(asdict(setup)), bundle, started_at.isoformat()),
            )
            batch.execute(
                "DELETE FROM slides WHERE completion IS NOT NULL"
                " AND began < (SELECT max(began) FROM slides) - ?",
                (self.keep_slides,),
            )

    def enter(
        self, batch: Batch, slide: str, source_index: int, findings: Findings, slide_map: SlideMap
    ) -> None:
        """Write down one frame, in the batch that its message is in."""
        number = self._progress.tally.captured
        about: dict[str, Any] = {
            "index": source_index,
            "outcome": findings.outcome,
            "saturated": findings.saturated,
            "um_per_px": findings.um_per_px,
            "um_per_px_from": findings.um_per_px_from,
            "height": findings.height,
            "width": findings.width,
            "stage": None if findings.stage is None else findings.stage.model_dump(),
        }
        if findings.outcome != "analysed":
            words = in_few_words(findings.reason, findings.source)
            about["reason"] = f"{findings.outcome}: {words}"
        self._progress.enter(source_index, about)
        about["boot"] = self._boots.enter(findings.outcome)
        mapped, cells = findings.mapped, None
        if mapped is not None:
            about["placement"] = _placement_to_json(mapped.placement)
            cells = pack_sightings(mapped.sightings)
            if mapped.placement.view is not None:
                batch.execute(
                    "INSERT INTO slide_views VALUES (?, ?, ?)",
                    (slide, mapped.placement.number, pack_view(mapped.placement.view)),
                )
        batch.execute(
            "INSERT INTO slide_frames VALUES (?, ?, ?, ?)",
            (slide, number, json.dumps(about), cells),
        )
        if self._progress.tally.captured % STATE_EVERY == 0:
            self._write_state(batch, slide, slide_map)

    def note(self, batch: Batch, summary: SlideSummary) -> None:
        """Write down where a slide stands, in the batch that says so; one that ended is closed."""
        batch.execute(
            "UPDATE slides SET standing = ?, completion = ? WHERE slide = ?",
            (summary.to_json(), summary.completion, summary.slide),
        )
        if summary.completion is not None:
            batch.execute(
                "UPDATE slides SET state = NULL, tally = ? WHERE slide = ?",
                (self._progress.to_json(), summary.slide),
            )
            self._boots.write(batch)
            for table in ("slide_frames", "slide_views"):
                batch.execute(f"DELETE FROM {table} WHERE slide = ?", (summary.slide,))  # noqa: S608

    def standings(self, limit: int = 100) -> list[SlideSummary]:
        """The last standing of each slide, newest slide first."""
        rows = self._outbox.query(
            "SELECT standing FROM slides WHERE standing IS NOT NULL ORDER BY began DESC LIMIT ?",
            (limit,),
        )
        return [SlideSummary.model_validate_json(text) for (text,) in rows]

    def unfinished(self) -> Unfinished | None:
        """The slide that was under way when the last process ended; None when there is none.

        Further frames of it may be entered when this was called.
        """
        rows = self._outbox.query(
            "SELECT slide, setup, bundle, started_at, standing, tally, state FROM slides"
            " WHERE completion IS NULL ORDER BY began DESC LIMIT 1"
        )
        if not rows:
            return None
        slide, setup, bundle, started_at, standing, tally, state = rows[0]
        views = {
            number: unpack_view(view)
            for number, view in self._outbox.query(
                "SELECT number, view FROM slide_views WHERE slide = ?", (slide,)
            )
        }
        slide_map = SlideMap(None if state is None else unpack_state(state, views))
        self._progress = _Progress(Tally(), {}) if tally is None else _Progress.from_json(tally)
        for number, about, cells in self._frames(slide):
            self._progress.enter(about["index"], about)
            if cells is not None:
                placement = _placement_from_json(about["placement"], views)
                stage = about.get("stage")  # an older entry has none
                published = PublishedFrame(number, None if stage is None else StagePoint(**stage))
                slide_map.replay(placement, unpack_sightings(cells), published)
        return Unfinished(
            setup=SlideSetup(**json.loads(setup)),
            bundle=bundle,
            started_at=datetime.fromisoformat(started_at),
            tally=Tally(
                Counter(self._progress.tally.outcomes),
                self._progress.tally.saturated,
                self._progress.tally.um_per_px,
            ),
            slide_map=slide_map,
            scales=dict(self._progress.scales),
            coming_index=self._progress.coming_index,
            standing=None if standing is None else SlideSummary.model_validate_json(standing),
        )

    def _frames(self, slide: str) -> Iterator[tuple[int, dict[str, Any], bytes | None]]:
        """What was entered since the slide map was last written down."""
        rows = self._outbox.query(
            "SELECT number, about, cells FROM slide_frames WHERE slide = ? ORDER BY number",
            (slide,),
        )
        for number, about, cells in rows:
            yield number, json.loads(about), cells

    def _write_state(self, batch: Batch, slide: str, slide_map: SlideMap) -> None:
        state = slide_map.state()
        batch.execute(
            "UPDATE slides SET tally = ?, state = ? WHERE slide = ?",
            (self._progress.to_json(), pack_state(state), slide),
        )
        self._boots.write(batch)
        batch.execute("DELETE FROM slide_frames WHERE slide = ?", (slide,))
        oldest = min((view.number for view in state.views), default=state.coming_frame)
        batch.execute("DELETE FROM slide_views WHERE slide = ? AND number < ?", (slide, oldest))


def _placement_to_json(placement: Placement) -> dict[str, Any]:
    return {
        "number": placement.number,
        "field": placement.field,
        "island": placement.island,
        "frame": placement.frame.tolist(),
        "tie": placement.tie,
        "kept": placement.view is not None,
        "stage_px": placement.stage_px,
        "joined": None if placement.joined is None else asdict(placement.joined),
        "revisit": placement.revisit,
    }


def _placement_from_json(content: dict[str, Any], views: dict[int, View]) -> Placement:
    stage, joined = content["stage_px"], content["joined"]
    return Placement(
        number=content["number"],
        field=content["field"],
        island=content["island"],
        frame=np.array(content["frame"]),
        tie=content["tie"],
        view=views[content["number"]] if content["kept"] else None,
        stage_px=None if stage is None else (stage[0], stage[1]),
        joined=None if joined is None else Joined(**joined),
        revisit=content["revisit"],
    )
