#!/usr/bin/env python
"""Write the reference of all keys of a design file into docs/design-file.md, from the models' own field texts.

Examples are values that occur in the library's designs (the first by name of file that has the key), else in the page's
own examples, else `examples` of the field, else made from type and default.

    python scripts/design_file_reference.py [--check]

With --check nothing is written; exit code 1 says that the file is stale.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from trialsim.design.analyses import Adjusted, AnalysisPart
from trialsim.design.library import library
from trialsim.design.outcomes import Latent
from trialsim.design.parts import Design
from trialsim.design.reader import read_file
from trialsim.design.shape import descend, fields_of, kinds_of, narrowed
from trialsim.design.yamltree import plain
from trialsim.design.yamlwriter import scalar

PAGE = Path(__file__).resolve().parents[1] / "docs" / "design-file.md"
BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"
HEADER = "| key | type | unit | default | example | meaning |\n|---|---|---|---|---|---|"
EXAMPLE = re.compile(r"(?ms)^<!-- example [^\n]* -->\n```yaml\n(.*?)^```$")
WIDEST = 60
"""Longest example that is shown whole [characters]."""
BOUNDS = ("gt", "ge", "lt", "le", "min_length", "max_length", "pattern")
BY_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"

Model = type[BaseModel]
SHARED: tuple[type[BaseModel], ...] = (Latent, AnalysisPart, Adjusted)
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


# --- examples -----------------------------------------------------------------------------------------------------


def occurring(kinds: tuple[Any, ...], value: Any) -> Iterator[tuple[Model, str, Any]]:
    """Every key of the models at a place of a file's data and below, with its value."""
    kinds = narrowed(kinds, value)
    if isinstance(value, dict):
        for key, inner in value.items():
            for model in kinds:
                if key in fields_of(model):
                    yield from ((owner, key, inner) for owner in (model, *(b for b in SHARED if issubclass(model, b))))
            yield from occurring(descend(kinds, key), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from occurring(descend(kinds, index), inner)


def page_designs(folder: Path) -> Iterator[Path]:
    """The page's examples, each written to a file of its name."""
    for text in EXAMPLE.findall(PAGE.read_text("utf-8")):
        file = folder / f"{re.search(r'(?m)^name: (.*)$', text)[1]}.yaml"  # type: ignore[index]
        file.write_text(text, "utf-8")
        yield file


@cache
def found() -> dict[tuple[Model, str], Any]:
    """The first value of each key in the library's designs, else in the page's."""
    values: dict[tuple[Model, str], Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for file in [*library().values(), *page_designs(Path(folder))]:
            for model, key, value in occurring((Design,), plain(read_file(file).root)):
                values.setdefault((model, key), value)
    return values


def example_of(model: Model, key: str) -> Any:
    """A value that the key may have."""
    field = model.model_fields[key]
    if (model, key) in found():
        return found()[model, key]
    if field.examples:
        return field.examples[0]
    default = field.get_default(call_default_factory=True)
    if not field.is_required() and default and not isinstance(default, bool | str):
        return default.model_dump(mode="json") if isinstance(default, BaseModel) else default
    return made(Annotated[get_type_hints(model, include_extras=True)[key], field], other_than=default)


def made(annotation: Any, *, other_than: Any = None) -> Any:
    """The simplest value of a type among some, if possible another than the default."""
    tried = [value for part in kinds_of(annotation) for value in _simplest(part)]
    for value in sorted(tried, key=lambda value: value == other_than):
        try:
            TypeAdapter(annotation).validate_python(value)
        except ValidationError:
            continue
        return value
    raise ValueError(f"no example for {annotation}: give the field `examples`")


def _simplest(kind: Any) -> Iterator[Any]:
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        yield from inner
    elif get_origin(kind) is dict:
        yield {"NAME": made(inner[1])}
    elif get_origin(kind) is tuple:
        items = [made(part) for part in inner if part is not Ellipsis]
        yield from (items, 2 * items)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield {name: example_of(kind, name) for name, field in kind.model_fields.items() if field.is_required()}
    else:
        yield from {bool: (True, False), int: (1, 2), float: (0.1, 0.5, 1), str: ("NAME",)}.get(kind, ("2026-01-05",))


def flow(value: Any) -> str:
    """Plain data as YAML on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{scalar(key)}: {flow(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    return scalar(value)


def shortened(text: str) -> str:
    """The text, or its beginning up to a comma or a space and an ellipsis."""
    if len(text) <= WIDEST:
        return text
    beginning = text[: WIDEST - 2]
    return f"{beginning[: max(beginning.rfind(', '), beginning.rfind(' '))]} …"


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
    rows = [_row(model, name, hints[name]) for name in own_fields(model)]
    where = ", ".join(f"`{path}`" for path in paths if path)
    about = " ".join((model.__doc__ or "").split())
    base = next((base for base in SHARED[::-1] if model is not base and issubclass(model, base)), None)
    if base is not None:
        about += f" It has the keys of {link_to(base)} too."
    return "\n".join([f"### {title_of(model)}", "", f"At {where}. {about}" if where else about, "", HEADER, *rows])


def _row(model: Model, name: str, annotation: Any) -> str:
    field = model.model_fields[name]
    unit, meaning = unit_and_meaning(field.description or "")
    example = f"`{shortened(flow(example_of(model, name)))}`"
    cells = (f"`{name}`", type_of(annotation), unit, default_of(field), example, meaning)
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
