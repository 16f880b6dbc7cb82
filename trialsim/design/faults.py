"""From pydantic's errors to mistakes at their place in a file, each told once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from trialsim.design import wording
from trialsim.design.shape import (
    DISCRIMINATOR,
    alternatives_at,
    close_to,
    fields_of,
    keys_of,
    kinds_at,
    located,
    tags_of,
)
from trialsim.design.yamltree import Finding, Mark, Node, Path, plain, shown


def findings_of(
    error: ValidationError, *, model: type[BaseModel], root: Node, top_keys: Iterable[str] = ()
) -> list[Finding]:
    """Every mistake that a failed validation of `root`'s data tells of.

    `top_keys` may stand in a file beside the model's fields. Errors at a value that could not be read are
    left out, and so are checks between parts if there is any such value: that fault is known already.
    """
    teller = _Teller(model, root, tuple(top_keys))
    details = error.errors(include_url=False, include_input=False)
    drafts = [draft for detail in details if not teller.is_long_enough(detail) for draft in teller.drafts(detail)]
    drafts = _unions_merged(draft for draft in drafts if not teller.is_known(draft))
    return list(dict.fromkeys(draft.finding for draft in _typos_once(drafts)))


@dataclass(frozen=True, slots=True)
class _Draft:
    """A finding, with what decides whether it is told."""

    finding: Finding
    unions: tuple[Path, ...] = ()
    """The places on the way whose alternatives report errors side by side."""
    meant: str = ""
    """For an unknown key: the key that was probably meant."""
    is_missing: bool = False
    across: bool = False
    """Found by a check between parts of the design."""


class _Teller:
    """Puts single pydantic errors into words, looking at the data they are about."""

    def __init__(self, model: type[BaseModel], root: Node, top_keys: tuple[str, ...]) -> None:
        self.model, self.root, self.top_keys = model, root, top_keys
        self.any_broken = _any_broken(root)

    def is_known(self, draft: _Draft) -> bool:
        is_unknown_key = draft.finding.rule == wording.UNKNOWN_KEY
        broken = any(node.broken for node in self.root.trail(draft.finding.path))
        return (broken and not is_unknown_key) or (draft.across and self.any_broken)

    def is_long_enough(self, detail: Mapping[str, Any]) -> bool:
        """Whether a list is called too short only because pydantic does not count faulty items."""
        node = self._node(located(self.model, detail["loc"]).path) if detail["type"] == "too_short" else None
        return node is not None and isinstance(node.content, list) and len(node.content) >= detail["ctx"]["min_length"]

    def drafts(self, detail: Mapping[str, Any]) -> Iterator[_Draft]:
        context = detail.get("ctx", {})
        place = located(self.model, detail["loc"])
        problems = getattr(context.get("error"), "problems", None)
        if problems is not None:
            for path, rule, hint in problems:
                yield _Draft(self._across((*place.path, *path), rule, hint), across=True)
        elif place.at_key:
            yield _Draft(self._key(place.path, detail))
        else:
            tell = _TELLERS.get(detail["type"], _Teller._value)
            yield replace(tell(self, place.path, detail), unions=place.unions)

    def _node(self, path: Path) -> Node | None:
        nodes = list(self.root.trail(path))
        return nodes[-1] if len(nodes) > len(path) else None

    def _mark(self, path: Path) -> Mark:
        """The value's place; a missing one's parent's."""
        nodes = list(self.root.trail(path))
        return nodes[-1].best_mark if len(nodes) > len(path) else nodes[-1].key_mark

    def _given(self, path: Path) -> str:
        node = self._node(path)
        return shown(plain(node)) if node else ""

    def _across(self, path: Path, rule: str, hint: str) -> Finding:
        node = self._node(path)
        given = "" if node is None or isinstance(node.content, dict | list) else self._given(path)
        return Finding(self._mark(path), path, rule, hint, given)

    def _key(self, path: Path, detail: Mapping[str, Any]) -> Finding:
        node = self._node(path)
        mark = node.key_mark if node else self._mark(path)
        return Finding(mark, path, f"the key {wording.rule_of(detail)}", given=shown(path[-1]))

    def _value(self, path: Path, detail: Mapping[str, Any]) -> _Draft:
        rule, node = wording.rule_of(detail), self._node(path)
        value = node.content if node else None
        hint = wording.hint_of(rule, value) or self._form_hint(path, rule, value)
        return _Draft(Finding(self._mark(path), path, rule, hint, self._given(path)))

    def _form_hint(self, path: Path, rule: str, value: object) -> str:
        """What form the value should have, where only one will do."""
        kinds = alternatives_at(self.model, self.root, path)
        if len(kinds) > 1 and not all(map(tags_of, kinds)):
            return ""
        tags = [str(tag) for kind in kinds for tag in tags_of(kind)]
        return wording.form_hint(rule, value, tags=tags, keys=keys_of(kinds))

    def _unknown(self, path: Path, detail: Mapping[str, Any]) -> _Draft:
        parent, node = path[:-1], self._node(path)
        known = [*keys_of(kinds_at(self.model, self.root, parent)), *(() if parent else self.top_keys)]
        others = self._kinds_with(path)
        free = [key for key in known if not self._beside(node, (*parent, key))]
        meant = "" if others else close_to(str(path[-1]), free) or ""
        hint = f"Did you mean '{meant}'?" if meant else others or f"Keys here: {', '.join(known)}."
        mark = node.key_mark if node else self._mark(path)
        return _Draft(Finding(mark, path, wording.UNKNOWN_KEY, hint), meant=meant)

    def _kinds_with(self, path: Path) -> str:
        """Says for which other kinds of this part the key is made; empty if for none."""
        kinds = alternatives_at(self.model, self.root, path[:-1])
        tags = [str(tag) for kind in kinds if str(path[-1]) in fields_of(kind) for tag in tags_of(kind)]
        return f"It is a key of kind {' or '.join(tags)}." if tags else ""

    def _beside(self, node: Node | None, path: Path) -> bool:
        """Whether a key stands in the same file as a node: then the node is no misspelling of it."""
        other = self._node(path)
        return other is not None and (node is None or other.key_mark.source == node.key_mark.source)

    def _missing(self, path: Path, detail: Mapping[str, Any]) -> _Draft:
        rule = wording.MISSING_KEY if path and isinstance(path[-1], str) else wording.MISSING_ITEM
        return _Draft(Finding(self._mark(path), path, rule), is_missing=True)

    def _tag(self, path: Path, detail: Mapping[str, Any]) -> _Draft:
        """The key that chooses between alternatives is wrong or missing."""
        tags = [repr(tag) for kind in kinds_at(self.model, self.root, path) for tag in tags_of(kind)]
        path = (*path, DISCRIMINATOR)
        if self._node(path):
            return self._choice(path, wording.choices_of(detail["ctx"].get("expected_tags", ", ".join(tags))))
        hint = f"One of {', '.join(tags)}." if tags else ""
        return _Draft(Finding(self._mark(path), path, wording.MISSING_KEY, hint), is_missing=True)

    def _literal(self, path: Path, detail: Mapping[str, Any]) -> _Draft:
        return self._choice(path, wording.choices_of(detail["ctx"]["expected"]))

    def _choice(self, path: Path, choices: list[str]) -> _Draft:
        node = self._node(path)
        hint = wording.did_you_mean(node.content if node else None, choices)
        return _Draft(Finding(self._mark(path), path, wording.one_of(choices), hint, self._given(path)))


_TELLERS: dict[str, Callable[[_Teller, Path, Mapping[str, Any]], _Draft]] = {
    "extra_forbidden": _Teller._unknown,
    "missing": _Teller._missing,
    "union_tag_not_found": _Teller._tag,
    "union_tag_invalid": _Teller._tag,
    "literal_error": _Teller._literal,
    "enum": _Teller._literal,
}


def _any_broken(node: Node) -> bool:
    content = node.content
    children = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return node.broken or any(map(_any_broken, children))


def _unions_merged(drafts: Iterable[_Draft]) -> list[_Draft]:
    """Several alternatives of one place that all failed become one finding.

    Where one of them failed deeper inside, the data has its form, and the others have nothing to say.
    """
    drafts = list(drafts)
    deeper = {union for draft in drafts for union in draft.unions if union != draft.finding.path}
    merged: dict[Path, list[_Draft]] = {}
    result: list[_Draft] = []
    for draft in drafts:
        path = draft.finding.path
        if path not in draft.unions:
            result.append(draft)
        elif path not in deeper:
            merged.setdefault(path, []).append(draft)
    return result + [_one(alternatives) for alternatives in merged.values()]


def _one(alternatives: list[_Draft]) -> _Draft:
    findings = [draft.finding for draft in alternatives]
    hint = next((finding.hint for finding in findings if finding.hint), "")
    return _Draft(replace(findings[0], rule=wording.joined(finding.rule for finding in findings), hint=hint))


def _typos_once(drafts: list[_Draft]) -> list[_Draft]:
    """A misspelt required key is one mistake, not an unknown key and a missing one."""
    meant = {(*draft.finding.path[:-1], draft.meant) for draft in drafts if draft.meant}
    return [draft for draft in drafts if not (draft.is_missing and draft.finding.path in meant)]
