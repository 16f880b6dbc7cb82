"""A design file becomes a checked Design: `extends`, overrides, validation, and every fault told at once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from trialsim.design.faults import findings_of
from trialsim.design.library import (
    SUFFIXES,
    SourceError,
    is_file_name,
    library,
    library_dir,
    locate,
    read_bytes,
)
from trialsim.design.overrides import mark_of, overridden
from trialsim.design.parts import Design
from trialsim.design.shape import DISCRIMINATOR
from trialsim.design.yamltree import Finding, Node, Tree, plain, printable, read_tree, shown
from trialsim.design.yamlwriter import yaml_text
from trialsim.errors import DesignError, TrialsimError

__all__ = [
    "design_of",
    "digest",
    "library",
    "library_dir",
    "new_from",
    "read_as",
    "read_design",
    "resolved_yaml",
]

EXTENDS = "extends"
STARTERS, STARTER = "starters", "two_arms"
"""Folder of the library with short designs to start from, and the one that is taken."""
_VALUE = r"""[ \t]*(?:"[^"\n]*"|'[^'\n]*'|[^#\n]*?)(?=[ \t]*(?:#|$))"""

Model = TypeVar("Model", bound=BaseModel)


def read_design(source: str | Path, *, overrides: Sequence[str] = ()) -> Design:
    """The design of a file (a path ending in .yaml or .yml) or of a library scenario (a bare name).

    Each override is "a.b.c=VALUE". Raises DesignError with every fault found, in the order of the file (then
    of the files it extends, then of the overrides), or TrialsimError if there is no such file.
    """
    return read_as(Design, source, overrides=overrides)


def read_as(model: type[Model], source: str | Path, *, overrides: Sequence[str] = ()) -> Model:
    """The same for any pydantic model."""
    return _read(model, read_file(locate(source)), overrides)


def design_of(text: str, *, at: Path) -> Design:
    """The design of a text, as if the text stood in the file `at`. DesignError as for `read_design`."""
    return _read(Design, _file(at, text.encode()), ())


def _read(model: type[Model], file: File, overrides: Sequence[str]) -> Model:
    root, findings = file.root, list(file.findings)
    for text in overrides:
        root, found = overridden(root, text, model=model)
        findings.extend(found)
    names = [*file.names, *(str(mark_of(text)) for text in overrides)]
    return checked(model, root, findings=findings, names=names, top_keys=(EXTENDS,))


class File(NamedTuple):
    """The data of a file and of those it extends, the mistakes found in reading it, and the files' names."""

    root: Node
    findings: list[Finding]
    names: list[str]


def read_file(path: Path) -> File:
    """A file merged over those it extends, not checked against any model; DesignError if it cannot be read."""
    return _file(path, read_bytes(path))


def _file(path: Path, data: bytes) -> File:
    files = _Files()
    root = files.resolved(path, data)
    return File(root, files.findings, files.names)


def checked(
    model: type[Model], root: Node, *, findings: Sequence[Finding], names: Sequence[str], top_keys: Sequence[str] = ()
) -> Model:
    """The data as a model. Raises DesignError with the findings so far and all that the model objects to."""
    try:
        design = model.model_validate(plain(root))
    except ValidationError as error:
        found = findings_of(error, model=model, root=root, top_keys=top_keys)
        raise refusal([*findings, *found], names) from error
    if findings:
        raise refusal(findings, names)
    return design


def resolved_yaml(design: BaseModel) -> str:
    """The complete design as YAML text, defaults filled in; it reads back to an equal design."""
    return yaml_text(design.model_dump())


def digest(design: BaseModel) -> str:
    """Twelve hex digits that identify a validated design, however its file was written."""
    # Not sorted by key: the order of funnel steps, arms and outcomes has meaning, and fields have a fixed order.
    data = json.dumps(design.model_dump(mode="json"), separators=(",", ":"))
    return hashlib.sha256(data.encode()).hexdigest()[:12]


def new_from(like: str | None, target: Path) -> None:
    """Write a copy of a library scenario, comments and all, to a new file, named after the file.

    Without a scenario it is a short design of two arms in which all that must be changed is marked.

    Raises TrialsimError if there is no such scenario or the target exists or cannot be written.
    """
    if target.suffix not in SUFFIXES:
        raise TrialsimError(f"'{printable(str(target))}' must end in .yaml.")
    if os.path.lexists(target):
        name = printable(str(target))
        raise TrialsimError(f"'{name}' exists already and is left as it is. Choose another name.")
    origin = locate(like) if like else locate(STARTER, shelf=STARTERS)
    data = read_bytes(origin)
    root, findings = read_tree(data, source=printable(str(origin)))
    if root is None:
        raise refusal(findings, ())
    text = _with_library_parent(_renamed(data.decode("utf-8-sig"), target.stem), root, origin, target)
    write_whole(target, _header(like, target) + text)


class _Files:
    """The chain of files that one design is made of, and the mistakes in them."""

    def __init__(self) -> None:
        self.chain: list[str] = []
        self.names: list[str] = []
        self.findings: list[Finding] = []

    def resolved(self, path: Path, data: bytes) -> Node:
        """The data of a file, merged over that of the file it extends."""
        name = printable(str(path))
        self.chain.append(os.path.realpath(path))
        self.names.append(name)
        root = self._kept(read_tree(data, source=name))
        if not isinstance(root.content, dict) or EXTENDS not in root.content:
            return root
        own = {key: node for key, node in root.content.items() if key != EXTENDS}
        return merged(self._parent(root.content[EXTENDS], path.parent), replace(root, content=own))

    def _kept(self, tree: Tree) -> Node:
        self.findings.extend(tree.findings)
        if tree.root is None:
            raise refusal(self.findings, self.names)
        return tree.root

    def _parent(self, node: Node, folder: Path) -> Node:
        if node.broken:
            raise refusal(self.findings, self.names)
        try:
            if not isinstance(node.content, str):
                raise SourceError("must be a file or the name of a library scenario")
            path = locate(node.content, base=folder)
            if os.path.realpath(path) in self.chain:
                raise SourceError("a design cannot extend itself", "The chain comes back to this file.")
            data = read_bytes(path)
        except SourceError as error:
            given = shown(plain(node))
            self.findings.append(Finding(node.best_mark, (EXTENDS,), error.rule, error.hint, given))
            raise refusal(self.findings, self.names) from error
        return self.resolved(path, data)


def merged(parent: Node, child: Node) -> Node:
    """The child's values over the parent's: mappings key by key, everything else replaced.

    A null in the child removes the parent's key; a mapping whose `kind` changes replaces the parent's.
    """
    if not isinstance(parent.content, dict) or not isinstance(child.content, dict):
        return child
    if _kind_changes(parent, child):
        return child
    content = dict(parent.content)
    for key, node in child.content.items():
        if key in content and node.content is None and not node.broken:
            del content[key]
        else:
            content[key] = merged(content[key], node) if key in content else node
    return replace(child, content=content)


def _kind_changes(parent: Node, child: Node) -> bool:
    old, new = parent.child(DISCRIMINATOR), child.child(DISCRIMINATOR)
    return old is not None and new is not None and old.content != new.content


def refusal(findings: Iterable[Finding], names: Sequence[str]) -> DesignError:
    """All findings in the order in which their sources were read, then by line and column."""
    order = {name: index for index, name in reversed(list(enumerate(names)))}

    def place(finding: Finding) -> tuple[int, int, int]:
        mark = finding.mark
        return order.get(mark.source, len(names)), mark.line, mark.column

    return DesignError([finding.fault() for finding in sorted(dict.fromkeys(findings), key=place)])


def _header(like: str | None, target: Path) -> str:
    file = printable(shlex.quote(target.as_posix()))
    copied = f"# Copied from the scenario '{printable(like or '')}'. Change what differs in your trial, then"
    marked = "# A trial to start from. All numbers in lines marked CHANGE are invented: put yours there, then"
    return f"{copied if like else marked}\n#   check it:  trialsim check {file}\n#   run it:    trialsim run {file}\n\n"


def _renamed(text: str, stem: str) -> str:
    """The text with its `name:` changed to a name made of the file's."""
    name = re.sub(r"[^a-z0-9_\-]+", "_", stem.lower()).lstrip("_-0123456789").rstrip("_") or "trial"
    line = f"name: {name}" if name not in ("null", "true", "false") else f'name: "{name}"'
    text, count = re.subn(rf"(?m)^name:{_VALUE}", line, text, count=1)
    return text if count else f"{line}\n{text}"


def _with_library_parent(text: str, root: Node, origin: Path, target: Path) -> str:
    """A relative `extends` would point beside the copy: name the library scenario instead."""
    parent = root.child(EXTENDS)
    if parent is None or not isinstance(parent.content, str) or not is_file_name(parent.content):
        return text
    path = origin.parent / parent.content
    names = [name for name, other in library().items() if os.path.realpath(other) == os.path.realpath(path)]
    value = names[0] if names else json.dumps(os.path.relpath(path, target.parent))
    return re.sub(rf"(?m)^{EXTENDS}:{_VALUE}", lambda _: f"{EXTENDS}: {value}", text, count=1)


def write_whole(target: Path, text: str) -> None:
    """All of the file or nothing."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, target)
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink()
        reason = getattr(error, "strerror", None) or error
        raise TrialsimError(f"cannot write '{printable(str(target))}': {reason}.") from error
