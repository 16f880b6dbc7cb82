#!/usr/bin/env python
"""Write the reference of all keys of a design file into docs/design-file.md, from the models' own field texts.

    python scripts/design_file_reference.py [--check]

With --check nothing is written; exit code 1 says that the file is stale.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trialsim.design.analyses import Adjusted, AnalysisPart
from trialsim.design.parts import Design

PAGE = Path(__file__).resolve().parents[1] / "docs" / "design-file.md"
BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"
HEADER = "| key | type | unit | default | meaning |\n|---|---|---|---|---|"
BOUNDS = ("gt", "ge", "lt", "le", "min_length", "max_length", "pattern")
BY_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"

Model = type[BaseModel]
SHARED: tuple[type[BaseModel], ...] = (AnalysisPart, Adjusted)
"""Models that others are built on: their keys are listed once."""


def title_of(model: Model) -> str:
    """A class's name as words: RateChange -> Rate change."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", model.__name__).capitalize()


def link_to(model: Model) -> str:
    """A link to a model's section."""
    return f"[{title_of(model)}](#{title_of(model).lower().replace(' ', '-')})"


# --- types in words ---------------------------------------------------------------------------------------------------


def type_of(annotation: Any) -> str:
    """What may stand for a value, in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounded(inner[0], _bounds(inner[1:]))
    if origin in (Union, UnionType):
        return " or ".join(type_of(part) for part in inner if part is not NoneType)
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in inner)
    if origin in (dict, tuple):
        return _collection(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return link_to(annotation)
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(annotation, "date")


def _collection(annotation: Any, size: str = "") -> str:
    inner = get_args(annotation)
    if get_origin(annotation) is dict:
        return f"by {type_of(inner[0])}{size}: {type_of(inner[1])}"
    return f"list{size}: {type_of(inner[0])}" if Ellipsis in inner else f"pair of {type_of(inner[0])}s"


def _bounds(metadata: tuple[Any, ...]) -> dict[str, Any]:
    parts = [part for item in metadata for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
    return {name: getattr(part, name) for part in parts for name in BOUNDS if getattr(part, name, None) is not None}


def _bounded(kind: Any, bounds: dict[str, Any]) -> str:
    if kind is str:
        named = bounds.get("pattern") == BY_NAME_PATTERN
        return "name" if named else "short name" if "pattern" in bounds else "text"
    if kind in (int, float):
        return " ".join([type_of(kind), *_range(bounds)])
    if "min_length" in bounds:
        most = f" to {bounds['max_length']:,}" if "max_length" in bounds else " or more"
        return _collection(kind, f" ({bounds['min_length']}{most})")
    return type_of(kind)


def _range(bounds: dict[str, Any]) -> Iterator[str]:
    if {"ge", "le"} <= bounds.keys() and "lt" not in bounds:
        yield f"{bounds['ge']:,.12g} to {bounds['le']:,.12g}"
        return
    signs = {"gt": ">", "ge": "≥", "lt": "<"} if "lt" in bounds else {"gt": ">", "ge": "≥", "le": "≤"}
    limits = [f"{sign} {bounds[name]:,.12g}" for name, sign in signs.items() if name in bounds]
    if limits:
        yield " and ".join(limits)


def default_of(field: FieldInfo) -> str:
    """What a key is when it is not given."""
    value = field.get_default(call_default_factory=True)
    if field.is_required():
        return "required"
    if isinstance(value, BaseModel):
        fields = ((name, getattr(value, name)) for name in sorted(value.model_fields_set))
        given = ", ".join(f"{name}: {x:g}" if isinstance(x, int | float) else f"{name}: {x}" for name, x in fields)
        return f"`{{{given}}}`" if given else "its own defaults"
    if value is None or value in ("", (), {}):
        return "none" if value is None else "empty"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, int | float) else f"`{value}`"


def unit_and_meaning(text: str) -> tuple[str, str]:
    """The unit in the first square brackets of a field's text, and the text without it."""
    text = " ".join(text.split())
    found = re.search(r" \[([^\]]+)\]", text)
    if not found:
        return "", text
    unit, _, remark = found[1].partition("; ")
    return unit, text.replace(found[0], f" ({remark})" if remark else "", 1)


# --- sections -----------------------------------------------------------------------------------------------------


def models_in(annotation: Any, path: str) -> Iterator[tuple[Model, str]]:
    """The models that may stand at a path, each with its path: NAME for a chosen name, N for a place in a list."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, path
    elif origin is dict:
        yield from models_in(inner[1], f"{path}.NAME")
    elif origin is tuple:
        yield from models_in(inner[0], f"{path}.N")
    elif origin is not Literal:
        for part in inner[:1] if origin is Annotated else inner:
            yield from models_in(part, path)


def places() -> dict[Model, list[str]]:
    """Every model of a design with the paths at which it stands, in the order of a file."""
    found: dict[Model, list[str]] = {}

    def visit(model: Model, path: str) -> None:
        if path in found.get(model, []):
            return
        for shared in SHARED:
            if model is not shared and issubclass(model, shared):
                visit(shared, path)
        found.setdefault(model, []).append(path)
        for name, annotation in get_type_hints(model, include_extras=True).items():
            if name in model.model_fields:
                for child, at in models_in(annotation, f"{path}.{name}" if path else name):
                    visit(child, at)

    visit(Design, "")
    return found


def own_fields(model: Model) -> dict[str, FieldInfo]:
    """The keys that belong to a model's own section: those of a shared model it is built on stand in that section."""
    above = [base for base in SHARED if model is not base and issubclass(model, base)]
    inherited = {name for base in above for name in base.model_fields if name not in model.__annotations__}
    return {name: field for name, field in model.model_fields.items() if name not in inherited}


def section(model: Model, paths: list[str]) -> str:
    """Heading, places and table of one model."""
    hints = get_type_hints(model, include_extras=True)
    rows = [_row(name, field, hints[name]) for name, field in own_fields(model).items()]
    where = ", ".join(f"`{path}`" for path in paths if path)
    about = " ".join((model.__doc__ or "").split())
    base = next((base for base in SHARED[::-1] if model is not base and issubclass(model, base)), None)
    if base is not None:
        about += f" It has the keys of {link_to(base)} too."
    return "\n".join([f"### {title_of(model)}", "", f"At {where}. {about}" if where else about, "", HEADER, *rows])


def _row(name: str, field: FieldInfo, annotation: Any) -> str:
    unit, meaning = unit_and_meaning(field.description or "")
    cells = (f"`{name}`", type_of(annotation), unit, default_of(field), meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def reference() -> str:
    """The whole generated part."""
    return "\n\n".join(section(model, paths) for model, paths in places().items())


def with_reference(page: str) -> str:
    """A page with what stands between the two markers renewed."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{reference()}\n\n{END}{after}"


def main() -> int:
    """Renew the page, or say whether it is stale."""
    old = PAGE.read_text("utf-8")
    new = with_reference(old)
    if "--check" in sys.argv[1:]:
        print("stale: run python scripts/design_file_reference.py" if new != old else "up to date")
        return int(new != old)
    PAGE.write_text(new, "utf-8")
    print(f"{PAGE.name}: {sum(len(model.model_fields) for model in places())} keys")
    return 0


if __name__ == "__main__":
    sys.exit(main())
