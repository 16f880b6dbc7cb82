"""What a tree of pydantic models allows at a place: for "did you mean", overrides and cleaned error paths."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trialsim.design.yamltree import Node, Path

Kinds = tuple[Any, ...]
"""The types that may stand at one place; several for a union."""

DISCRIMINATOR = "kind"


def kinds_of(annotation: Any) -> Kinds:
    """The alternatives of an annotation, without None and without pydantic's wrappings."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return kinds_of(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return tuple(kind for part in get_args(annotation) for kind in kinds_of(part))
    return () if annotation in (None, NoneType) else (annotation,)


def descend(kinds: Kinds, part: str | int) -> Kinds:
    """What may stand under a key or a list index."""
    return tuple(found for kind in kinds for found in _under(kind, part))


def narrowed(kinds: Kinds, content: object) -> Kinds:
    """The alternatives that fit the data: its form, and the `kind` that it names or leaves out; all if none fits."""
    fits = tuple(kind for kind in kinds if _fits(kind, content))
    return tuple(kind for kind in fits if _is_named(kind, content)) or fits or kinds


def keys_of(kinds: Kinds) -> list[str]:
    """The keys of the models among the alternatives, in their order."""
    return list(dict.fromkeys(name for kind in kinds for name in fields_of(kind)))


def tags_of(kind: Any) -> tuple[Any, ...]:
    """The values of a model's `kind`, or of a Literal."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    field = fields_of(kind).get(DISCRIMINATOR)
    return tuple(tag for part in kinds_of(field.annotation) for tag in get_args(part)) if field else ()


def fields_of(kind: Any) -> Mapping[str, FieldInfo]:
    """A model's fields by the key they have in a file; empty for anything else."""
    if not isinstance(kind, type) or not issubclass(kind, BaseModel):
        return {}
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def default_of(kinds: Kinds, name: str) -> object:
    """The default of a model's field, as plain data; None where there is none."""
    fields = (fields_of(kind).get(name) for kind in kinds)
    default = next((field.get_default(call_default_factory=True) for field in fields if field), None)
    return default.model_dump() if isinstance(default, BaseModel) else default


def kinds_at(model: type[BaseModel], root: Node, path: Path) -> Kinds:
    """What may stand at a path of the data, alternatives being chosen by the data there and above."""
    nodes = list(root.trail(path))
    kinds = alternatives_at(model, root, path)
    return narrowed(kinds, nodes[-1].content) if len(nodes) > len(path) else kinds


def alternatives_at(model: type[BaseModel], root: Node, path: Path) -> Kinds:
    """The same before the data at the path itself choose."""
    kinds: Kinds = (model,)
    nodes = root.trail(path)
    for part in path:
        node = next(nodes, None)
        kinds = descend(narrowed(kinds, node.content if node else None), part)
    return kinds


def close_to(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like this one, if any does."""
    known = list(known)
    lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return lower[close[0]] if close else None


@dataclass(frozen=True, slots=True)
class Located:
    """Where a pydantic error is, in terms of the file."""

    path: Path
    unions: tuple[Path, ...] = ()
    """The places of the unions on the way, whose alternatives all report errors."""
    at_key: bool = False
    """The key itself is wrong, not its value."""


def located(model: type[BaseModel], loc: Sequence[str | int]) -> Located:
    """A pydantic `loc` without the parts that name alternatives of a union instead of keys."""
    at_key = bool(loc) and loc[-1] == "[key]"
    kinds: Kinds = (model,)
    path: list[str | int] = []
    unions: list[Path] = []
    labelled = False
    for part in loc[:-1] if at_key else loc:
        if len(kinds) > 1 and not labelled:
            unions.append(tuple(path))
            kinds, labelled = _labelled(kinds, str(part)), True
            continue
        path.append(part)
        kinds, labelled = descend(kinds, part), False
    return Located(tuple(path), tuple(unions), at_key)


def _labelled(kinds: Kinds, label: str) -> Kinds:
    """The alternative that pydantic calls by this label: a tag, a class, or such as 'tuple[Coach, ...]'."""
    form = label.partition("[")[0]
    names = {form: kinds}
    for kind in kinds:
        for name in (*tags_of(kind), getattr(get_origin(kind) or kind, "__name__", "")):
            names[str(name)] = (kind,)
    return names.get(label) or names[form]


def _under(kind: Any, part: str | int) -> Kinds:
    field = fields_of(kind).get(str(part))
    if field:
        return kinds_of(field.annotation)
    origin, inner = get_origin(kind), get_args(kind)
    if not isinstance(origin, type) or not inner:
        return ()
    if issubclass(origin, Mapping):
        return kinds_of(inner[1])
    if not isinstance(part, int):
        return ()
    fixed = issubclass(origin, tuple) and Ellipsis not in inner
    return kinds_of(inner[part] if fixed and part < len(inner) else inner[0])


def _fits(kind: Any, content: object) -> bool:
    form = get_origin(kind) or kind
    is_mapping = isinstance(form, type) and issubclass(form, BaseModel | Mapping)
    is_list = isinstance(form, type) and issubclass(form, list | tuple | set | frozenset)
    return is_mapping == isinstance(content, dict) and is_list == isinstance(content, list)


def _is_named(kind: Any, content: object) -> bool:
    """Whether data are of the kind by their `kind`, or by having none where the kind's own need not be given."""
    if not isinstance(content, dict):
        return False
    field = fields_of(kind).get(DISCRIMINATOR)
    if field is not None and DISCRIMINATOR not in content:
        return not field.is_required()
    return _content_of(content.get(DISCRIMINATOR)) in tags_of(kind)


def _content_of(node: object) -> object:
    return node.content if isinstance(node, Node) else node
