"""The contract for those who do not read Python: JSON Schemas, an AsyncAPI file and a page.

``python -m edge_daemon.contract.schemas docs/contract`` writes them from the models; a test says
when they are out of date. A message's schema demands every field, as :func:`parse_message` does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from edge_daemon.contract.base import NAME_PATTERN, StrictModel
from edge_daemon.contract.bundle import BundleManifest
from edge_daemon.contract.envelope import Addressed, FromDevice
from edge_daemon.contract.field_docs import field_docs, one_line
from edge_daemon.contract.messages import optional_fields
from edge_daemon.contract.topics import CHANNELS, ROOT, Channel

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_BUNDLE_FILE = "bundle.schema.json"

Schema = dict[str, Any]

_PAGE_HEAD = f"""\
# Messages of LeukoEdge

Written by `python -m edge_daemon.contract.schemas docs/contract`; do not edit.

Every message is one JSON object on one topic below `{ROOT}/<site>/<device>/`, except a
crop, which is a JPEG whose JSON travels beside it as the MQTT 5 user property `about`. Devices send
MQTT 5, and 3.1.1 where the broker knows no other; there the JSON of a crop is the first comment
(COM) of the JPEG, and what waited for a connection says so in `historical` instead of in a user
property. A receiver drops repeats by (`device`, `boot_id`,
`seq`); a hole in `record` is a message that was lost or is still on its way. Unknown fields,
missing fields and unknown versions are refused. A name is 1 to 64 letters, digits, `.`, `_` or
`-`, the first a letter or digit. `asyncapi.json` says the same for tools (AsyncAPI 3.0), each
`*.schema.json` is a JSON Schema (draft 2020-12).

| message | topic below the device | from | QoS | retained | kept until delivered |
|---|---|---|---|---|---|
"""


_ENVELOPE_HEAD = """
## The envelope of every message

A command, a receipt and what is desired come from the central side; their `site` and `device` are
the ones they are meant for, and they have no `boot_id`, `seq`, `record` and `bundle` of a sender.

"""


def documents() -> dict[str, str]:
    """Every generated file: its name and its text."""
    files = {_schema_file(channel): _json(message_schema(channel)) for channel in CHANNELS}
    files[_BUNDLE_FILE] = _json(_described(BundleManifest, "validation"))
    files["asyncapi.json"] = _json(_asyncapi())
    files["README.md"] = _page()
    return files


def message_schema(channel: Channel) -> Schema:
    """JSON Schema of one kind of message as it stands on the wire: every field is present."""
    schema = _described(channel.model, "serialization")
    may_lack = optional_fields(channel.model)
    schema["required"] = [name for name in schema["properties"] if name not in may_lack]
    return schema


def write(folder: Path) -> None:
    """Write all documents into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text, encoding="utf-8")


def _schema_file(channel: Channel) -> str:
    return f"{channel.leaf}.schema.json"


def _json(document: Schema) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _described(model: type[StrictModel], mode: Any) -> Schema:
    """The model's schema, with the meaning of each field taken from its docstring."""
    schema = model.model_json_schema(mode=mode)
    room = model.__module__.rpartition(".")[0]  # other rooms may have models of the same name
    known = (found for found in _all_models(StrictModel) if found.__module__.startswith(room))
    by_name = {found.__name__: found for found in known}
    for part in (schema, *schema.get("$defs", {}).values()):
        docs = field_docs(by_name[part["title"]]) if part.get("title") in by_name else {}
        for name, prop in part.get("properties", {}).items():
            prop.pop("title", None)
            if name in docs:
                prop["description"] = docs[name]
        if "description" in part:
            part["description"] = one_line(part["description"])
    return {"$schema": _DIALECT, **schema}


def _all_models(base: type[StrictModel]) -> list[type[StrictModel]]:
    below = [found for model in base.__subclasses__() for found in _all_models(model)]
    return [base, *below]


def _asyncapi() -> Schema:
    channels: Schema = {}
    operations: Schema = {}
    for channel in CHANNELS:
        name = channel.leaf
        parameters = [part[1:-1] for part in channel.address.split("/") if part[0] == "{"]
        payload = {"$ref": f"./{_schema_file(channel)}"}
        message: Schema = {"name": name, "contentType": "application/json", "payload": payload}
        if name == "crop":
            message = {
                "name": name,
                "contentType": "image/jpeg",
                "description": "JPEG of at most 64 kB; user property `about`, "
                "or over MQTT 3.1.1 the first comment: crop.schema.json",
            }
        channels[name] = {
            "address": channel.address,
            "parameters": {parameter: {} for parameter in parameters},
            "messages": {name: message},
        }
        binding: Schema = {"qos": channel.qos, "retain": channel.retained}
        if channel.expires_s is not None:
            binding["messageExpiryInterval"] = channel.expires_s
        operations[name] = {
            "action": "send" if channel.by == "device" else "receive",
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
            "bindings": {"mqtt": binding},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "LeukoEdge device",
            "version": "1",
            "description": "What a LeukoEdge device sends and receives over MQTT. Research use.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    }


def _page() -> str:
    rows = []
    sections = []
    for channel in CHANNELS:
        envelope = FromDevice if issubclass(channel.model, FromDevice) else Addressed
        schema = message_schema(channel)
        topic = channel.path.replace("{", "<").replace("}", ">")
        rows.append(
            f"| [{channel.leaf}](#{channel.leaf}) | `{topic}` | {channel.by} | {channel.qos} "
            f"| {_yes(channel.retained)} | {_yes(channel.stored)} |\n"
        )
        own = _fields(schema, leave_out=envelope)
        sections.append(f"\n## {channel.leaf}\n\n{schema['description']}\n\n{own}")
    sections.append("\n# Parts of messages\n")
    parts: dict[str, Schema] = {}
    for channel in CHANNELS:
        parts.update(message_schema(channel).get("$defs", {}))
    for name, part in sorted(parts.items()):
        if "properties" in part:
            sections.append(f"\n## {name}\n\n{part['description']}\n\n{_fields(part)}")
    envelope_fields = _fields(_described(FromDevice, "serialization"))
    return f"{_PAGE_HEAD}{''.join(rows)}{_ENVELOPE_HEAD}{envelope_fields}{''.join(sections)}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _fields(schema: Schema, leave_out: type[StrictModel] = StrictModel) -> str:
    common = {info.alias or name for name, info in leave_out.model_fields.items()}
    common.discard("schema")  # it differs
    rows = ["| field | type | meaning |\n|---|---|---|\n"]
    for name, prop in schema["properties"].items():
        if name in common:
            continue
        meaning = prop.get("description", "")
        rows.append(f"| `{name}` | {_type(prop)} | {meaning} |\n")
    return "".join(rows)


def _type(prop: Schema) -> str:
    if "anyOf" in prop:
        return " or ".join(_type(option) for option in prop["anyOf"])
    if "$ref" in prop:
        name = prop["$ref"].rsplit("/", 1)[1]
        return "any JSON" if name == "JsonValue" else f"[{name}](#{name.lower()})"
    if "const" in prop:
        return f"`{prop['const']}`"
    if "enum" in prop:
        return ", ".join(f"`{value}`" for value in prop["enum"])
    if prop.get("type") == "array":
        if "prefixItems" in prop:
            return f"{len(prop['prefixItems'])} times {_type(prop['prefixItems'][0])}"
        return f"list of {_type(prop['items'])}"
    if prop.get("type") == "object":
        values = prop.get("additionalProperties") or prop.get("patternProperties", {})
        inner = values if "patternProperties" not in prop else next(iter(values.values()))
        return f"map to {_type(inner)}" if isinstance(inner, dict) and inner else "object"
    if prop.get("pattern") == NAME_PATTERN:
        return "name"
    if "pattern" in prop:
        return f"string `{prop['pattern']}`"
    return str(prop.get("format") or prop.get("type", "any JSON"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m edge_daemon.contract.schemas FOLDER")
    write(Path(sys.argv[1]))
