"""JSON Schema of design files, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from trialsim.design.parts import Design
from trialsim.design.reader import EXTENDS

Schema = dict[str, Any]

_CHANGED = ".changed"
"""What is added to the name of a part where it says only what differs from the file that is extended."""
_DEMANDS = frozenset({"required", "minProperties", "discriminator", "oneOf", "anyOf"})


def json_schema(model: type[BaseModel] = Design) -> Schema:
    """JSON Schema (Draft 2020-12) of a design file: a whole one, or one that extends another.

    A file that extends another may leave out anything, and remove with null what the other says.
    """
    whole = model.model_json_schema()
    parts = whole.pop("$defs")
    changed = _changed(whole)
    changed["properties"][EXTENDS] = {
        "type": "string",
        "description": "A design to build on: a file beside this one, or the name of a library scenario.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "trialsim design",
        "type": "object",
        "$defs": parts | {name + _CHANGED: _changed(part) for name, part in parts.items()},
        "if": {"required": [EXTENDS]},
        "then": changed,
        "else": whole,
    }


def _changed(part: Schema) -> Schema:
    """The schema of what differs in such a part; as files are merged, mappings by key and lists as a whole."""
    made = {key: value for key, value in part.items() if key not in _DEMANDS}
    if "$ref" in part:
        made["$ref"] += _CHANGED
    choices = part.get("oneOf", part.get("anyOf"))
    if choices is not None:
        made["anyOf"] = [_changed(choice) for choice in choices]
    for group in ("properties", "patternProperties"):
        if group in part:
            made[group] = {key: _or_null(_changed(value)) for key, value in part[group].items()}
    if isinstance(part.get("additionalProperties"), dict):
        made["additionalProperties"] = _or_null(_changed(part["additionalProperties"]))
    return made


def _or_null(part: Schema) -> Schema:
    about: Schema = {key: part.pop(key) for key in ("description", "default") if key in part}
    return {**about, "anyOf": [part, {"type": "null"}]}
