"""Decision rules in words, such as `success if coach beats usual care at 3 months and not (web beats coach)`.

    rule       = ["success if"] either
    either     = both {"or" both}
    both       = one {"and" one}
    one        = "not" one | "(" either ")" | "at least" number "of" "(" either {"," either} ")" | statement
    statement  = arm verb arm {"at" visit | "in" analysis} | hypothesis
    verb       = "beats" | "is superior to" | "is not inferior to" | "is non-inferior to" | "is equivalent to"

Upper and lower case are the same, and so are `_`, `-` and a space. An arm or a visit is given by its name, its label,
or as many leading words of either as tell it from the others. Of several readings the one with the longest name is
taken: `not worse` is the hypothesis `not_worse` where there is one, and `not (worse)` never is. Rules are evaluated
with unknowns: 0 and unknown is 0, 1 or unknown is 1, everything else with an unknown is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, NamedTuple, NoReturn, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Kind = Literal["beats", "non_inferior", "equivalent", "named"]
Words: TypeAlias = tuple[str, ...]

DEEPEST = 50

_VERBS: dict[Words, Kind] = {
    ("beats",): "beats",
    ("beat",): "beats",
    ("is", "superior", "to"): "beats",
    ("is", "not", "inferior", "to"): "non_inferior",
    ("not", "inferior", "to"): "non_inferior",
    ("is", "non", "inferior", "to"): "non_inferior",
    ("non", "inferior", "to"): "non_inferior",
    ("is", "noninferior", "to"): "non_inferior",
    ("is", "equivalent", "to"): "equivalent",
    ("equivalent", "to"): "equivalent",
}  # fmt: skip
_SAID: dict[Kind, str] = {"beats": "beats", "non_inferior": "is non-inferior to", "equivalent": "is equivalent to"}
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ENDS = ("and", "or", ")", ",", "at", "in")


class DecisionError(ValueError):
    """A rule that cannot be read: what is wrong, the text with a mark at the place, and a hint."""

    def __init__(self, text: str, at: int, problem: str, hint: str = "") -> None:
        self.at = at
        self.problem = problem
        self.hint = hint
        line = re.sub(r"\s", " ", text)
        super().__init__(f"{problem}\n  {line}\n  {' ' * at}^" + (f"\n{hint}" if hint else ""))


@dataclass(frozen=True)
class Atom:
    """One statement that the trial's analysis finds true, false or cannot decide. `a` and `b` are names of arms."""

    kind: Kind
    a: str | None = None
    b: str | None = None
    visit: str | None = None
    analysis: str | None = None
    hypothesis: str | None = None

    def words(self) -> str:
        if self.kind == "named":
            return str(self.hypothesis)
        visit = f" at {self.visit}" if self.visit is not None else ""
        analysis = f" in {self.analysis}" if self.analysis is not None else ""
        return f"{self.a} {_SAID[self.kind]} {self.b}{visit}{analysis}"


@dataclass(frozen=True)
class Not:
    of: Node


@dataclass(frozen=True)
class AtLeast:
    """At least `n` of several; "and" is all of them, "or" at least 1."""

    n: int
    of: tuple[Node, ...]


Node: TypeAlias = Atom | Not | AtLeast


@dataclass(frozen=True)
class Rule:
    """A rule that was read."""

    node: Node

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """The statements it depends on, each once, in order."""
        return tuple(dict.fromkeys(_atoms(self.node)))

    def evaluate(self, truth: Mapping[Atom, ArrayLike]) -> Floats:
        """1, 0 or NaN (unknown) for every replicate, (R,), from the same for every atom.

        ValueError if an atom is missing, or has other values.
        """
        if missing := [atom.words() for atom in self.atoms if atom not in truth]:
            raise ValueError(f"nothing is known about: {', '.join(missing)}")
        known = {atom: np.asarray(truth[atom], dtype=np.float64) for atom in self.atoms}
        for atom, values in known.items():
            if not np.all(np.isnan(values) | (values == 0) | (values == 1)):
                raise ValueError(f"'{atom.words()}' must be 0, 1 or NaN")
        return _evaluate(self.node, known)

    def words(self) -> str:
        """The rule in the words of the grammar, with the names of arms and visits; reads back as the same rule."""
        return f"success if {_words(self.node)}"


def _atoms(node: Node) -> Iterator[Atom]:
    if isinstance(node, Atom):
        yield node
        return
    for part in (node.of,) if isinstance(node, Not) else node.of:
        yield from _atoms(part)


def _evaluate(node: Node, truth: Mapping[Atom, Floats]) -> Floats:
    if isinstance(node, Atom):
        return truth[node]
    if isinstance(node, Not):
        return 1.0 - _evaluate(node.of, truth)
    parts = np.stack([_evaluate(part, truth) for part in node.of])
    yes, open_ones = np.sum(parts == 1, axis=0), np.sum(np.isnan(parts), axis=0)
    return np.where(yes >= node.n, 1.0, np.where(yes + open_ones < node.n, 0.0, np.nan))


def _words(node: Node) -> str:
    if isinstance(node, Atom):
        return node.words()
    if isinstance(node, Not):
        return f"not {_denied(node.of)}"
    if node.n in (1, len(node.of)):
        return (" and " if node.n == len(node.of) else " or ").join(_inside(part) for part in node.of)
    return f"at least {node.n} of ({', '.join(_words(part) for part in node.of)})"


def _inside(node: Node) -> str:
    joined = isinstance(node, AtLeast) and node.n in (1, len(node.of))
    return f"({_words(node)})" if joined else _words(node)


def _denied(node: Node) -> str:
    """After a "not": a name in brackets, since another may begin with "not" and go on like this one."""
    return f"({_words(node)})" if isinstance(node, Atom) else _inside(node)


def parse(
    text: str,
    *,
    arms: Mapping[str, str],
    visits: Mapping[str, str],
    analyses: Sequence[str] = (),
    hypotheses: Sequence[str] = (),
) -> Rule:
    """Read a rule. `arms` and `visits` give the label of each name; analyses and hypotheses go by their names.

    DecisionError (a ValueError) for a rule that cannot be read.
    """
    words = {"arm": _Dictionary("arm", arms), "visit": _Dictionary("visit", visits)}
    words["analysis"] = _Dictionary("analysis", {name: name for name in analyses})
    words["hypothesis"] = _Dictionary("hypothesis", {name: name for name in hypotheses})
    return Rule(_Reader(text, words).rule())


class _Token(NamedTuple):
    word: str
    start: int
    length: int


def _tokens(text: str) -> list[_Token]:
    """Words without case; a sign is a word of its own, `_` and `-` are spaces."""
    found = re.finditer(r"[^\W_]+|[^\w\s-]", text)
    return [_Token(one.group().casefold(), one.start(), len(one.group())) for one in found]


def _split(text: str) -> Words:
    return tuple(token.word for token in _tokens(text))


class _Dictionary:
    """What things of one sort may be called."""

    def __init__(self, sort: str, labels: Mapping[str, str]) -> None:
        self.sort = sort
        self.spoken = list(labels) + [label for label in labels.values() if label not in labels]
        self._calls = [(_split(call), name) for name, label in labels.items() for call in (name, label)]

    def named(self, words: Words) -> list[str]:
        """Names of what these words may mean: those called exactly so, else those whose name or label begins so."""
        exact = [name for call, name in self._calls if call == words]
        leading = [name for call, name in self._calls if call[: len(words)] == words]
        return list(dict.fromkeys(exact or leading))

    def exactly(self, words: Words) -> bool:
        return any(call == words for call, _ in self._calls)

    @property
    def longest(self) -> int:
        return max((len(call) for call, _ in self._calls), default=0)

    def hint(self, words: str) -> str:
        close = get_close_matches(words.casefold(), [call.casefold() for call in self.spoken], n=2, cutoff=0.5)
        meant = [call for low in close for call in self.spoken if call.casefold() == low]
        if meant:
            return f"Did you mean {' or '.join(repr(call) for call in dict.fromkeys(meant))}?"
        names = ", ".join(repr(call) for call in self.spoken)
        return f"Known: {names}." if names else f"No {self.sort} is defined."


class _Reader:
    """Recursive descent over the words of one text."""

    def __init__(self, text: str, known: Mapping[str, _Dictionary]) -> None:
        self.text, self.known = text, known
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0

    def rule(self) -> Node:
        if self._accept("success", "if"):
            self._accept(":")
        node = self._either()
        if self.at < len(self.tokens):
            self._fail(f"'{self.tokens[self.at].word}' is not expected here", "Statements are joined by 'and' or 'or'.")
        return node

    def _either(self) -> Node:
        parts = [self._both()]
        while self._accept("or"):
            parts.append(self._both())
        return AtLeast(1, tuple(parts)) if len(parts) > 1 else parts[0]

    def _both(self) -> Node:
        parts = [self._one()]
        while self._accept("and"):
            parts.append(self._one())
        return AtLeast(len(parts), tuple(parts)) if len(parts) > 1 else parts[0]

    def _one(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            self._fail(f"this rule is nested more than {DEEPEST} deep")
        node = self._nested()
        self.depth -= 1
        return node

    def _nested(self) -> Node:
        if self._is_name():
            return self._statement()
        if self._accept("not"):
            return Not(self._one())
        if self._accept("at", "least"):
            return self._at_least()
        if self._accept("("):
            node = self._either()
            self._need(")")
            return node
        return self._statement()

    def _is_name(self) -> bool:
        """Whether a hypothesis or an arm is called exactly so, as it may begin like something else: 'not worse'."""
        place = self.at
        found = self._longest("hypothesis", self._is_end, exactly=True) or self._longest(
            "arm", lambda i: self._verb(i) is not None, exactly=True
        )
        self.at = place
        return found is not None

    def _at_least(self) -> Node:
        place = self.at
        n = self._number()
        self._need("of")
        self._need("(")
        parts = [self._part([])]
        while self._accept(","):
            parts.append(self._part(parts))
        self._need(")")
        if not 1 <= n <= len(parts):
            self._fail(f"at least {n} of {len(parts)} is not possible", f"Use 1 to {len(parts)}.", place)
        return AtLeast(n, tuple(parts)) if len(parts) > 1 else parts[0]

    def _part(self, before: Sequence[Node]) -> Node:
        place = self.at
        part = self._either()
        if part in before:
            self._fail("this statement is in the list already", "", place)
        return part

    def _number(self) -> int:
        word = self.tokens[self.at].word if self.at < len(self.tokens) else ""
        if word in _NUMBERS:
            self.at += 1
            return _NUMBERS.index(word) + 1
        if not (word.isdecimal() and len(word) < 4):
            self._fail("a number is expected here", "Write for example 'at least 2 of (..., ..., ...)'.")
        self.at += 1
        return int(word)

    def _statement(self) -> Atom:
        if found := self._longest("hypothesis", self._is_end, exactly=True):
            return Atom("named", hypothesis=found)
        a = self._longest("arm", lambda i: self._verb(i) is not None)
        verb = self._verb(self.at)
        if a is None or verb is None:
            self._no_statement()
        self.at += len(verb)
        place = self.at
        b = self._thing("arm")
        if a == b:
            self._fail(f"arm '{a}' cannot be compared with itself", "", place)
        return Atom(_VERBS[verb], a, b, *self._where())

    def _where(self) -> tuple[str | None, str | None]:
        found: dict[str, str] = {}
        while self._word(self.at) in ("at", "in"):
            sort = "visit" if self._word(self.at) == "at" else "analysis"
            if sort in found:
                self._fail(f"this statement has its {sort} already ('{found[sort]}')", "Join two statements by 'and'.")
            self.at += 1
            found[sort] = self._thing(sort)
        return found.get("visit"), found.get("analysis")

    def _thing(self, sort: str) -> str:
        """The arm, visit or analysis named here."""
        found = self._longest(sort, lambda i: self._word(i) in ("", *_ENDS))
        if found is None:
            phrase = self._phrase(self.at)
            article = "a" if sort == "visit" else "an"
            problem = f"no {sort} is called '{phrase}'" if phrase else f"the name of {article} {sort} is missing here"
            self._fail(problem, self.known[sort].hint(phrase))
        return found

    def _longest(self, sort: str, follows: Callable[[int], bool], *, exactly: bool = False) -> str | None:
        """Take the longest name of a thing that leaves behind it what must follow."""
        known = self.known[sort]
        for n in range(min(known.longest, len(self.tokens) - self.at), 0, -1):
            words = tuple(token.word for token in self.tokens[self.at : self.at + n])
            names = known.named(words)
            if not names or not follows(self.at + n) or (exactly and not known.exactly(words)):
                continue
            if len(names) > 1:
                these = " or ".join(f"'{name}'" for name in names)
                self._fail(f"'{' '.join(words)}' may be {sort} {these}", "Use the name, or more words of the label.")
            self.at += n
            return names[0]
        return None

    def _no_statement(self) -> NoReturn:
        end = self.at
        while not self._is_end(end) and self._verb(end) is None:
            end += 1
        phrase = self._phrase(self.at, end)
        if self._verb(end) is not None:
            problem = f"no arm is called '{phrase}'" if phrase else "the name of an arm is missing here"
            self._fail(problem, self.known["arm"].hint(phrase))
        hint = "Write '<arm> beats <arm>', '<arm> is non-inferior to <arm>' or '<arm> is equivalent to <arm>'"
        if self.known["hypothesis"].spoken:
            hint += f", or a hypothesis. {self.known['hypothesis'].hint(phrase)}"
        self._fail(f"'{phrase}' is not a statement" if phrase else "a statement is missing here", hint)

    def _verb(self, i: int) -> Words | None:
        for verb in _VERBS:
            if tuple(token.word for token in self.tokens[i : i + len(verb)]) == verb:
                return verb
        return None

    def _is_end(self, i: int) -> bool:
        """Nothing more of a statement begins here."""
        return self._word(i) in ("", "and", "or", ")", ",")

    def _word(self, i: int) -> str:
        return self.tokens[i].word if i < len(self.tokens) else ""

    def _phrase(self, start: int, end: int | None = None) -> str:
        """The words from `start` as they were written, up to `end` or to what cannot be part of a name."""
        if end is None:
            end = start
            while self._word(end) not in ("", *_ENDS):
                end += 1
        if end == start:
            return ""
        last = self.tokens[end - 1]
        return re.sub(r"\s+", " ", self.text[self.tokens[start].start : last.start + last.length])

    def _accept(self, *words: str) -> bool:
        if tuple(token.word for token in self.tokens[self.at : self.at + len(words)]) != words:
            return False
        self.at += len(words)
        return True

    def _need(self, word: str) -> None:
        if not self._accept(word):
            self._fail(f"'{word}' is expected here")

    def _fail(self, problem: str, hint: str = "", place: int | None = None) -> NoReturn:
        i = self.at if place is None else place
        at = self.tokens[i].start if i < len(self.tokens) else len(self.text)
        raise DecisionError(self.text, at, problem, hint)
