"""The configuration file explained, from the models that read it.

``python -m edge_daemon.config_docs docs/configuration.md`` writes the page; a test says when it is
out of date. ``leuko-edge config`` prints the same as a file to start from.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from edge_daemon.config import ENVIRONMENT, Config
from edge_daemon.contract.field_docs import field_docs

_HEAD = """\
# Configuration

One TOML file: `leuko-edge run FILE`. A file to start from: `leuko-edge config > microscope.toml`.
Written by `python -m edge_daemon.config_docs docs/configuration.md`; do not edit.

Relative paths are relative to the file. A key may also come from the environment, and then goes
before the file: `{environment}BROKER__URL` is `url` of `[broker]`; values are written as in TOML,
plain text needs no quotes. Every mistake is told with its line, or the name of its variable.
"""


@dataclass(frozen=True)
class Key:
    """One key of the file."""

    table: str
    """Dotted name of its table; empty at the top."""
    name: str
    kind: str
    default: str | None
    """As TOML; None where a value must be given, empty where there is none."""
    meaning: str


def keys(model: type[BaseModel] = Config, table: str = "") -> Iterator[Key]:
    """Every key of the configuration, plain ones of a table before the tables in it."""
    docs = field_docs(model)
    inner: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        of_table = _table(field)
        if of_table is not None:
            inner.append((name, of_table))
            continue
        yield Key(table, name, _kind(field), _default(field), docs.get(name, ""))
    for name, of_table in inner:
        yield from keys(of_table, f"{table}.{name}" if table else name)


def page() -> str:
    """The page for ``docs/``."""
    parts = [_HEAD.format(environment=ENVIRONMENT)]
    table = None
    for key in keys():
        if key.table != table:
            table = key.table
            title = f"`[{table}]`" if table else "At the top"
            parts.append(f"\n## {title}\n\n| key | kind | default | meaning |\n|---|---|---|---|\n")
        default = "must be given" if key.default is None else f"`{key.default}`"
        default = "" if default == "``" else default
        kind = key.kind.replace("|", "\\|")
        parts.append(f"| `{key.name}` | {kind} | {default} | {key.meaning} |\n")
    return "".join(parts)


def template() -> str:
    """A configuration file with every key, its meaning and its default."""
    lines = [
        "# LeukoEdge: everything that can be configured. What is commented out has its default."
    ]
    table = ""
    for key in keys():
        if key.table != table:
            table = key.table
            lines += ["", f"[{table}]"]
        if key.meaning:
            lines += [f"# {line}" for line in _wrapped(key.meaning)]
        if key.default is None:
            lines.append(f'{key.name} = ""  # must be given')
        else:
            lines.append(f"# {key.name} = {key.default}".rstrip())
    return "\n".join(lines) + "\n"


def _table(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _kind(field: FieldInfo) -> str:
    """A field's type in words."""
    return _words(field.annotation)


def _words(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _words(typing.get_args(kind)[0])
    if origin is typing.Literal:
        return " | ".join(f"`{value}`" for value in typing.get_args(kind))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(one) for one in typing.get_args(kind) if one is not type(None))
    if origin is tuple:
        return f"list of {_words(typing.get_args(kind)[0])}"
    names = {str: "text", bool: "true or false", int: "whole number", float: "number"}
    names |= {Path: "path", SecretStr: "text, secret"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _default(field: FieldInfo) -> str | None:
    if field.is_required():
        return None
    return _toml(field.get_default(call_default_factory=True))


def _toml(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str | Path):
        return f'"{value}"'
    if isinstance(value, BaseModel):
        raise TypeError("a table has no value")
    return str(value)


def _wrapped(text: str, width: int = 96) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m edge_daemon.config_docs FILE")
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
