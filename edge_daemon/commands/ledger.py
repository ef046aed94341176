"""``leuko-edge ledger``: what became of every slide, frame and command, read from disk."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from edge_daemon.commands.ask import slide_lines, sums_line
from edge_daemon.config import load_config
from edge_daemon.errors import ConfigError, DataError
from edge_daemon.ledger.audit import AuditEntry, entries_in
from edge_daemon.ledger.reading import BootEntry, LedgerFile, SlideEntry, Sums, read_ledger
from edge_daemon.ledger.tables import columns_of

INSTALLED_CONFIG = Path("/etc/leuko-edge/microscope.toml")
"""As deploy/systemd installs it."""
COMMANDS = "commands"


def outbox_of(outbox: Path | None, config: Path | None) -> Path:
    """The file with the ledger in it: named itself, or by a configuration.

    Raises:
        ConfigError: the configuration cannot be read, or both are named.
    """
    if outbox is not None and config is not None:
        raise ConfigError("--outbox and --config both name a ledger; give one of them")
    return outbox or load_config(config or INSTALLED_CONFIG).outbox.path


def ledger(path: Path, what: str | None, *, day: str | None, limit: int, as_json: bool) -> None:
    """Print all slides, one of them, or the commands.

    Raises:
        ConfigError: ``day`` is none.
        DataError: there is no such slide.
        OutboxError: the ledger cannot be read.
    """
    on = None if day is None else _day(day)
    if what == COMMANDS:
        entries = read_ledger(path, lambda file: _commands(file, limit, on))
        _print([_command(entry) for entry in entries], _command_lines(entries), as_json)
    elif what is not None:
        entry = read_ledger(path, lambda file: file.slide(what))
        if entry is None:
            raise DataError(f"there is no slide {what} in {path}; leuko-edge ledger lists them")
        _print(_slide(entry), _slide_lines(entry, whole=True), as_json)
    else:
        boot, slides = read_ledger(path, lambda file: (file.boot(), file.slides(limit, day=on)))
        content = {
            "since_boot": None if boot is None else {**vars(boot), "frames": boot.frames.to_dict()},
            "slides": [_slide(one) for one in slides],
        }
        _print(content, _all_lines(boot, slides), as_json)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--day {text[:40]!r} is no day; write it as 2026-11-27") from None


def _commands(file: LedgerFile, limit: int, day: date | None) -> list[AuditEntry]:
    return entries_in(file, limit, day=day) if columns_of(file, "commands") else []


def _print(content: Any, lines: list[str], as_json: bool) -> None:
    print(json.dumps(content, indent=1) if as_json else "\n".join(lines))


def _slide(entry: SlideEntry) -> dict[str, Any]:
    return {**vars(entry), "frames": entry.frames.to_dict()}


def _command(entry: AuditEntry) -> dict[str, Any]:
    return {
        **vars(entry),
        "at": entry.at.isoformat(),
        "answer": vars(entry.answer),
        "sender": vars(entry.sender),
    }


def _all_lines(boot: BootEntry | None, slides: list[SlideEntry]) -> list[str]:
    lines = []
    if boot is not None:
        lines.append(f"since the start at {_at(boot.started_at)}: {_sums(boot.frames)}")
    for entry in slides:
        lines += ["", *_slide_lines(entry)]
    return lines if slides else [*lines, "no slide is in this ledger"]


def _slide_lines(entry: SlideEntry, *, whole: bool = False) -> list[str]:
    ended = entry.standing.get("ended_at")
    state = "under way" if entry.completion is None else entry.completion.replace("_", " ")
    until = "" if ended is None or entry.completion is None else f" to {_at(ended)}"
    lines = [f"{entry.name}: {state}, {_at(entry.started_at)}{until}"]
    if entry.standing:
        _, *rest = slide_lines(entry.standing)
        revisits = entry.standing.get("revisits", 0)
        lines += [f"frames  {_sums(entry.frames)}", *rest, f"fields  {revisits} revisited"]
    else:
        lines.append(f"frames  {_sums(entry.frames)}")
    if whole:
        said = {
            "operator": entry.setup.get("operator"),
            "lens": entry.setup.get("objective"),
            "source": entry.setup.get("source"),
            "label": entry.setup.get("label"),
        }
        lines += [f"{name:<7} {value}" for name, value in said.items() if value]
        unique = entry.standing.get("unique_cells")
        if unique is not None:
            kinds = ", ".join(f"{number} {kind}" for kind, number in unique.items())
            lines.append(f"unique  {kinds}")
        lines += [f"why     {number} {reason}" for reason, number in entry.reasons.items()]
    bundle = (entry.bundle or "unknown").removeprefix("sha256:")
    return [*lines, f"bundle  {bundle if whole else bundle[:12]}"]


def _sums(sums: Sums) -> str:
    return sums_line({"captured": sums.captured, **sums.ended}) + (
        " (it holds)" if sums.hold else ""
    )


def _command_lines(entries: list[AuditEntry]) -> list[str]:
    lines = []
    for entry in entries:
        sender = entry.sender
        who = [] if sender.operator is None else [sender.operator]
        who += [] if sender.uid is None else [f"uid {sender.uid}"]
        by = f"{entry.via} ({', '.join(who)})" if who else entry.via
        args = json.dumps(entry.args) if entry.args else ""
        became = "done" if entry.answer.reason is None else f"refused: {entry.answer.reason}"
        name = entry.name or "(unreadable)"
        lines.append(f"{_at(entry.at.isoformat())}  {by}  {name} {args}".rstrip() + f": {became}")
    return lines or ["no command is in this ledger"]


def _at(text: str) -> str:
    return text[:19].replace("T", " ")
