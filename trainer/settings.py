"""Settings of a training: a TOML file in, a typed configuration out, every mistake in one line.

``task`` says what is trained; everything else is a field of that task's configuration, in tables
where those are nested. A field left out keeps its default. Relative paths are relative to the file.
The same configuration is saved as JSON with the run, and read again when it is resumed.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, get_type_hints

from pydantic import TypeAdapter, ValidationError

from edge_daemon.errors import DataError
from trainer.classifier.config import ClassifierConfig
from trainer.detector.config import DetectorConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Config: TypeAlias = ClassifierConfig | DetectorConfig

TASKS: Mapping[str, type[Config]] = {"classifier": ClassifierConfig, "detector": DetectorConfig}


def read_settings(path: Path, **overrides: Any) -> Config:
    """The configuration that a TOML file describes; ``overrides`` of None are ignored.

    Raises :class:`DataError` naming the file and the field.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise DataError(f"{path}: cannot be read ({what})") from None
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{path}: not TOML: {error}") from None
    _resolve_paths(content, path.parent)
    content |= {name: value for name, value in overrides.items() if value is not None}
    return config_of(content, path)


def config_of(content: Mapping[str, Any], where: Path) -> Config:
    """The configuration in ``content``, which came from ``where``.

    Raises :class:`DataError` for a task that is none, a field that does not exist, or a value that
    a field cannot take.
    """
    fields = dict(content)
    task = fields.pop("task", None)
    if task not in TASKS:
        raise DataError(f"{where}: task is {task!r}; it must be one of {', '.join(TASKS)}")
    kind = TASKS[task]
    _refuse_unknown(fields, kind, where)
    try:
        return TypeAdapter(kind).validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise DataError(f"{where}: {field + ': ' if field else ''}{message}") from None


def content_of(config: Config) -> dict[str, Any]:
    """Plain values that :func:`config_of` reads back as ``config``."""
    task = next(name for name, kind in TASKS.items() if isinstance(config, kind))
    plain = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return {"task": task, **plain}


def defaults_of(config: Config) -> dict[str, Any]:
    """What ``config`` would be had it been told where the data are, and nothing else."""
    return content_of(type(config)(data=config.data))


def _refuse_unknown(content: Mapping[str, Any], kind: type, where: Path, above: str = "") -> None:
    types = get_type_hints(kind)
    known = {field.name: types[field.name] for field in dataclasses.fields(kind)}
    for name, value in content.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            raise DataError(f"{where}: {above}{name} is not a setting{hint}")
        if isinstance(value, Mapping) and dataclasses.is_dataclass(known[name]):
            _refuse_unknown(value, known[name], where, f"{above}{name}.")


def _resolve_paths(content: dict[str, Any], folder: Path) -> None:
    _resolve(content, ("data", "weights"), folder)
    for table, name in (("start_from", None), ("distillation", "teacher")):
        within = content.get(table)
        if isinstance(within, dict):
            _resolve(within, tuple(within) if name is None else (name,), folder)


def _resolve(table: dict[str, Any], names: tuple[str, ...], folder: Path) -> None:
    for name in names:
        value = table.get(name)
        if isinstance(value, str) and value not in ("imagenet", "none"):
            table[name] = str(folder / value)
