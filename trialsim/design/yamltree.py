"""YAML 1.2 text to a tree in which every key and value knows its place in the file.

All mistakes that leave the rest readable are collected; one that does not (bad syntax, say) ends the search.
"""

from __future__ import annotations

import codecs
import datetime as dt
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from trialsim.design.scalars import SCALARS, Refused, Scalar, text_of
from trialsim.errors import Fault

Path = tuple[str | int, ...]

MAX_DEPTH = 40
MAX_VALUES = 100_000
MAX_SHOWN = 60

_TAG_PREFIX = "tag:yaml.org,2002:"
_NAME_TAGS = frozenset({"str", "int", "float", "bool", "timestamp", "value"})
LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_DIRECTIVE = re.compile("(?:\\A\ufeff*|[\n\r\x85\u2028\u2029]\ufeff*)(%)")
_SYNTAX_HINTS = (
    ("mapping values are not allowed", "Check the indentation, and put text that contains ': ' in quotes."),
    ("'\\t' that cannot start", "Indent with spaces, not with tabs."),
    ("that cannot start any token", "Put text that starts with this character in quotes."),
    ("undefined alias", "Text that starts with * needs quotes."),
    ("expected <block end>", "Check the indentation: keys of one block start in the same column."),
    ("could not find expected ':'", "Every key needs a colon and a space after it."),
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1. Line 0: the source as a whole (an override)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place, and the place of its key (the value's own where it has none)."""

    content: Scalar | dict[str, Node] | list[Node]
    mark: Mark
    key_mark: Mark
    broken: bool = False
    """The value could not be read and the fault is noted already; `content` is None."""

    def child(self, part: str | int) -> Node | None:
        """The value under a key or list index, or None."""
        if isinstance(self.content, dict):
            return self.content.get(str(part))
        if isinstance(self.content, list) and isinstance(part, int) and 0 <= part < len(self.content):
            return self.content[part]
        return None

    @property
    def best_mark(self) -> Mark:
        """Where to point at: the value itself, or the key of a mapping or list."""
        return self.key_mark if isinstance(self.content, dict | list) else self.mark

    def trail(self, path: Path) -> Iterator[Node]:
        """The nodes from this one down the path, as far as it exists."""
        node: Node | None = self
        for part in (*path, None):
            if node is None:
                return
            yield node
            node = None if part is None else node.child(part)


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake before it is put into words for people: like a Fault, with the place still a Mark."""

    mark: Mark
    path: Path
    rule: str
    hint: str = ""
    given: str = ""

    def fault(self) -> Fault:
        """The same as a Fault."""
        return Fault(str(self.mark), dotted(self.path), self.given, self.rule, self.hint)


class Tree(NamedTuple):
    """What could be read of a text (None: nothing), and every mistake found on the way."""

    root: Node | None
    findings: list[Finding]


def printable(text: str) -> str:
    """The text with everything escaped that a terminal or a file could not show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def dotted(path: Path) -> str:
    """A path as people write it: arms.coach.delivery."""
    return ".".join(_cut(printable(str(part))) for part in path)


def shown(value: object) -> str:
    """A short text of a value, as it would stand in a file."""
    return _cut(_flow(value))


def plain(node: Node) -> Any:
    """The data alone: dicts, lists and scalars."""
    if isinstance(node.content, dict):
        return {key: plain(child) for key, child in node.content.items()}
    if isinstance(node.content, list):
        return [plain(child) for child in node.content]
    return node.content


def planted(value: Any, *, mark: Mark) -> Node:
    """Plain data as a tree whose every value has the same place."""
    if isinstance(value, dict):
        return Node({str(key): planted(child, mark=mark) for key, child in value.items()}, mark, mark)
    if isinstance(value, list | tuple):
        return Node([planted(child, mark=mark) for child in value], mark, mark)
    return Node(value, mark, mark)


def read_tree(data: bytes, *, source: str) -> Tree:
    """The mapping that a file holds; its root node's place is line 1, column 1."""
    start = Mark(source, 1, 1)
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        mark = _end_of(data[: error.start].decode("utf-8"), source)
        return Tree(None, [Finding(mark, (), "the file is not UTF-8 text", "Save it as UTF-8.")])
    tree = _read(text, lambda line, column: Mark(source, line + 1, column + 1))
    if tree.root is None:
        return tree
    if not isinstance(tree.root.content, dict):
        rule = "the file must be a mapping of keys to values"
        return Tree(None, [*tree.findings, Finding(tree.root.mark, (), rule, given=shown(plain(tree.root)))])
    return Tree(replace(tree.root, mark=start, key_mark=start), tree.findings)


def read_value(text: str, *, mark: Mark) -> Tree:
    """One value, as on the right side of a colon in a file; every place in it is `mark`."""
    return _read(text, lambda line, column: mark)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def _flow(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{printable(str(key))}: {_flow(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value) if isinstance(value, dt.date) else repr(value)


def _end_of(text: str, source: str) -> Mark:
    lines = LINE_BREAK.split(text)
    return Mark(source, len(lines), len(lines[-1]) + 1)


Place = Callable[[int, int], Mark]


def _read(text: str, place: Place) -> Tree:
    composed = _composed(text, place)
    if isinstance(composed, Finding):
        return Tree(None, [composed])
    walker = _Walker(place)
    try:
        root = walker.node(composed, ())
    except _TooManyValues as error:
        return Tree(None, [*walker.findings, error.finding])
    return Tree(root, walker.findings)


def _composed(text: str, place: Place) -> Any:
    """The node graph of ruamel.yaml, or the one mistake that prevents it."""
    directive = _DIRECTIVE.search(text)
    if directive:
        mark = _place_of(text, directive.start(1), place)
        rule = "lines that start with % are not allowed"
        return Finding(mark, (), rule, "Files are YAML 1.2; drop the line.")
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH + 1
    yaml.composer.warn_double_anchors = False
    try:
        composed = yaml.compose(text)
    except RecursionError:
        return Finding(place(0, 0), (), f"more than {MAX_DEPTH} levels of nesting")
    except YAMLError as error:
        return _syntax_finding(error, text, place)
    return composed or Finding(place(0, 0), (), "nothing is given", "The text is empty or only a comment.")


def _place_of(text: str, index: int, place: Place) -> Mark:
    end = _end_of(text[:index], "")
    return place(end.line - 1, end.column - 1)


def _syntax_finding(error: YAMLError, text: str, place: Place) -> Finding:
    if isinstance(error, ReaderError):
        rule = f"the character U+{ord(text[error.position]):04X} is not allowed in a design file"
        return Finding(_place_of(text, error.position, place), (), rule)
    if not isinstance(error, MarkedYAMLError):
        return Finding(place(0, 0), (), f"not valid YAML: {printable(str(error))}")
    problem, mark = str(error.problem or error.context), error.problem_mark or error.context_mark
    found = place(mark.line, mark.column) if mark else place(0, 0)
    if problem == "but found another document":
        return Finding(found, (), "a second document starts here", "Write one design in each file.")
    if "maximum depth" in problem:
        return Finding(found, (), f"more than {MAX_DEPTH} levels of nesting")
    hint = next((hint for part, hint in _SYNTAX_HINTS if part in problem), "")
    context = str(error.context or "")
    if not error.problem or not context.startswith(("while parsing a flow", "while scanning a")):
        return Finding(found, (), f"not valid YAML: {printable(problem)}", hint)
    began = error.context_mark and place(error.context_mark.line, error.context_mark.column)
    hint = hint or (f"It began at line {began.line}, column {began.column}." if began and began.line else "")
    return Finding(found, (), f"not valid YAML: {printable(f'{context}, {problem}')}", hint)


class _TooManyValues(Exception):
    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.rule)


class _Walker:
    """From ruamel.yaml's nodes to ours, noting what is wrong on the way."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.findings: list[Finding] = []
        self.open_nodes: set[int] = set()
        self.n_values = 0

    def node(self, raw: Any, path: Path, key: Any = None) -> Node:
        """The tree below one YAML node; what cannot be read is noted and marked as broken."""
        # An empty value's own mark is that of whatever comes next, perhaps lines below.
        empty = key is not None and isinstance(raw, ScalarNode) and not raw.value and raw.style is None
        mark = self._mark(key if empty else raw)
        key_mark = mark if key is None else self._mark(key)
        self._count(mark, path)
        try:
            if id(raw) in self.open_nodes:
                raise Refused("an alias (*) stands inside its own anchor (&)", "Write the values out.")
            if len(path) > MAX_DEPTH:
                raise Refused(f"more than {MAX_DEPTH} levels of nesting")
            return Node(self._content(raw, path), mark, key_mark)
        except Refused as refused:
            given = shown(_as_written(raw)) if isinstance(raw, ScalarNode) else ""
            self.findings.append(Finding(mark, path, refused.rule, refused.hint, given))
            return Node(None, mark, key_mark, broken=True)

    def _mark(self, raw: Any) -> Mark:
        return self.place(raw.start_mark.line, raw.start_mark.column)

    def _count(self, mark: Mark, path: Path) -> None:
        self.n_values += 1
        if self.n_values > MAX_VALUES:
            raise _TooManyValues(Finding(mark, path, f"more than {MAX_VALUES} values in one file"))

    def _content(self, raw: Any, path: Path) -> Scalar | dict[str, Node] | list[Node]:
        tag = str(raw.tag).removeprefix(_TAG_PREFIX)
        if isinstance(raw, ScalarNode) and tag in SCALARS:
            return SCALARS[tag](raw.value)
        collection = {"map": MappingNode, "seq": SequenceNode}.get(tag)
        if collection and isinstance(raw, collection):
            self.open_nodes.add(id(raw))
            content = self._mapping(raw, path) if tag == "map" else self._sequence(raw, path)
            self.open_nodes.discard(id(raw))
            return content
        tag = f"!!{tag}" if str(raw.tag).startswith(_TAG_PREFIX) else tag
        raise Refused(f"the tag {printable(tag)} is not allowed here", "Write the plain value.")

    def _sequence(self, raw: Any, path: Path) -> list[Node]:
        return [self.node(item, (*path, index)) for index, item in enumerate(raw.value)]

    def _mapping(self, raw: Any, path: Path) -> dict[str, Node]:
        content: dict[str, Node] = {}
        for key, value in raw.value:
            try:
                name = _name(key)
            except Refused as refused:
                self.findings.append(Finding(self._mark(key), path, refused.rule, refused.hint))
                continue
            node = self.node(value, (*path, name), key)
            first = content.setdefault(name, node)
            if first is not node:
                self._duplicate(first, node, (*path, name))
        return content

    def _duplicate(self, first: Node, again: Node, path: Path) -> None:
        place = first.key_mark
        where = f"at line {place.line}, column {place.column}" if place.line else "before"
        rule = f"duplicate key, first given {where}"
        self.findings.append(Finding(again.key_mark, path, rule, "Keep one of the two."))


def _name(key: Any) -> str:
    tag = str(key.tag).removeprefix(_TAG_PREFIX)
    if tag == "merge":
        raise Refused("merge keys (<<) are not part of YAML 1.2", "Use extends: to build on another design.")
    if not isinstance(key, ScalarNode) or tag not in _NAME_TAGS or not key.value:
        raise Refused("a key must be a name", "Write it as plain text.")
    return text_of(key.value)


def _as_written(raw: Any) -> object:
    return raw.value if raw.style else _Bare(raw.value)


class _Bare(str):
    """Text that is shown without quotes, because it was written so."""

    __slots__ = ()

    def __repr__(self) -> str:
        return printable(self)
