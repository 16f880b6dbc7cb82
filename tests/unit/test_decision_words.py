"""Decision rules in words: what they mean, how unknowns pass through them, and how mistakes are pointed at."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialsim.design.decision_words import AtLeast, Atom, DecisionError, Node, Not, Rule, parse

NAN = float("nan")
ARMS = {
    "coach": "Health coach by telephone",
    "web": "Painless, diet and exercise online",
    "usual": "Usual care with a resource guide",
    "usual_plus": "Usual care plus a leaflet",
}
VISITS = {"m3": "3 months", "m12": "12 months", "end": "end of treatment"}
KNOWN: dict[str, Any] = {
    "arms": ARMS,
    "visits": VISITS,
    "analyses": ["primary", "per_protocol"],
    "hypotheses": ["h1", "h2", "pain-free"],
}
COACH = Atom("beats", "coach", "usual")
WEB = Atom("beats", "web", "usual")
H1, H2 = Atom("named", hypothesis="h1"), Atom("named", hypothesis="h2")


def read(text: str) -> Node:
    return parse(text, **KNOWN).node


@pytest.mark.parametrize(
    ("text", "atom"),
    [
        ("coach beats usual", COACH),
        ("Success if COACH Beats Usual", COACH),
        ("success if: coach beats\n  usual", COACH),
        ("health coach beats usual care with", COACH),
        ("Health beats Usual care with a resource guide", COACH),
        ("coach is superior to usual", COACH),
        ("painless beats usual", WEB),
        ("painless, diet and exercise beats usual", WEB),
        ("Painless, diet and exercise online beats usual", WEB),
        ("coach beats usual plus", Atom("beats", "coach", "usual_plus")),
        ("coach beats usual-plus", Atom("beats", "coach", "usual_plus")),
        ("coach is not inferior to web", Atom("non_inferior", "coach", "web")),
        ("coach is non-inferior to web", Atom("non_inferior", "coach", "web")),
        ("coach noninferior to painless at m3", None),
        ("coach is noninferior to painless at m3", Atom("non_inferior", "coach", "web", "m3")),
        ("coach non-inferior to painless, diet and at m3", Atom("non_inferior", "coach", "web", "m3")),
        ("coach is equivalent to web in per protocol", Atom("equivalent", "coach", "web", None, "per_protocol")),
        ("coach beats usual at 3 months in primary", Atom("beats", "coach", "usual", "m3", "primary")),
        ("coach beats usual in primary at end of treatment", Atom("beats", "coach", "usual", "end", "primary")),
        ("coach beats usual at 12", Atom("beats", "coach", "usual", "m12")),
        ("pain free", Atom("named", hypothesis="pain-free")),
        ("((h1))", H1),
    ],
)
def test_statements(text: str, atom: Atom | None) -> None:
    if atom is None:
        with pytest.raises(DecisionError):
            read(text)
    else:
        assert read(text) == atom


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("h1 and h2", AtLeast(2, (H1, H2))),
        ("h1 or h2", AtLeast(1, (H1, H2))),
        ("h1 or h2 and coach beats usual", AtLeast(1, (H1, AtLeast(2, (H2, COACH))))),
        ("(h1 or h2) and coach beats usual", AtLeast(2, (AtLeast(1, (H1, H2)), COACH))),
        ("not h1 and h2", AtLeast(2, (Not(H1), H2))),
        ("not (h1 and h2)", Not(AtLeast(2, (H1, H2)))),
        ("at least 2 of (h1, h2, coach beats usual)", AtLeast(2, (H1, H2, COACH))),
        ("at least two of (h1, h2 or coach beats usual, web beats usual)",
         AtLeast(2, (H1, AtLeast(1, (H2, COACH)), WEB))),
        ("at least 1 of (h1)", H1),
        ("at least 2 of (h1, h2)", AtLeast(2, (H1, H2))),
        # Of several readings the one with the longest name that leaves a whole rule: "usual" here, then "and".
        ("coach beats usual and web beats usual", AtLeast(2, (COACH, WEB))),
    ],
)  # fmt: skip
def test_rules(text: str, node: Node) -> None:
    assert read(text) == node


def test_a_hypothesis_may_look_like_a_statement() -> None:
    known = KNOWN | {"hypotheses": ["coach beats usual", "coach"]}
    assert parse("coach beats usual", **known).atoms == (Atom("named", hypothesis="coach beats usual"),)
    assert parse("coach beats usual at m3", **known).atoms == (Atom("beats", "coach", "usual", "m3"),)
    assert parse("coach and coach beats web", **known).atoms[0] == Atom("named", hypothesis="coach")


def test_atoms_are_listed_once_in_order() -> None:
    rule = parse("h2 and (web beats usual or not h2) and at least 2 of (h1, coach beats usual, h2)", **KNOWN)
    assert rule.atoms == (H2, WEB, H1, COACH)


def test_words() -> None:
    text = "Health coach beats usual care with at 3 months in per protocol and (h1 OR not(h2 and h1))"
    expected = "success if coach beats usual at m3 in per_protocol and (h1 or not (h2 and h1))"
    assert parse(text, **KNOWN).words() == expected


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("not_worse", Atom("named", hypothesis="not_worse")),
        ("Not worse and at least as good", AtLeast(2, (Atom("named", hypothesis="not_worse"), Atom("named", hypothesis="at_least_as_good")))),
        ("not not_worse", Not(Atom("named", hypothesis="not_worse"))),
        ("not (worse)", Not(Atom("named", hypothesis="worse"))),
        ("not better", Not(Atom("named", hypothesis="better"))),
        ("at least 1 of (not_worse, better)", AtLeast(1, (Atom("named", hypothesis="not_worse"), Atom("named", hypothesis="better")))),
        ("not_treated beats usual", Atom("beats", "not_treated", "usual")),
        ("not untreated beats usual", Atom("beats", "not_treated", "usual")),
        ("not usual beats not treated", Not(Atom("beats", "usual", "not_treated"))),
    ],
)  # fmt: skip
def test_names_may_begin_like_an_operator(text: str, node: Node) -> None:
    arms = {"not_treated": "Not untreated", "usual": "Usual care"}
    known: Any = {"arms": arms, "visits": {}, "hypotheses": ["worse", "not_worse", "better", "at_least_as_good"]}
    rule = parse(text, **known)
    assert rule.node == node
    assert parse(rule.words(), **known) == rule


# --- three values -----------------------------------------------------------------------------------------------------


def kleene(node: Node, truth: dict[Atom, float | None]) -> float | None:
    """By trying every value of what is unknown: the answer if they all agree."""
    unknown = [atom for atom in truth if truth[atom] is None]
    answers = set()
    for values in product((0.0, 1.0), repeat=len(unknown)):
        answers.add(two_valued(node, truth | dict(zip(unknown, values, strict=True))))
    return float(answers.pop()) if len(answers) == 1 else None


def two_valued(node: Node, truth: dict[Atom, Any]) -> bool:
    if isinstance(node, Atom):
        return truth[node] == 1
    if isinstance(node, Not):
        return not two_valued(node.of, truth)
    return sum(two_valued(part, truth) for part in node.of) >= node.n


@pytest.mark.parametrize(
    "text",
    [
        "h1 and h2", "h1 or h2", "not h1", "at least 2 of (h1, h2, coach beats usual)",
        "at least 2 of (h1, not h2, coach beats usual, web beats usual)", "(h1 or h2) and not coach beats usual",
        "at least 3 of (h1, h2, coach beats usual, web beats usual)",
    ],
)  # fmt: skip
def test_unknowns(text: str) -> None:
    """Each atom once, so that the rule is known exactly where no value of the unknowns could change it."""
    rule = parse(text, **KNOWN)
    cases = list(product((0.0, 1.0, None), repeat=len(rule.atoms)))
    columns = np.array(cases, dtype=float).T  # None becomes NaN
    found = rule.evaluate(dict(zip(rule.atoms, columns, strict=True)))
    expected = [kleene(rule.node, dict(zip(rule.atoms, case, strict=True))) for case in cases]
    np.testing.assert_array_equal(found, np.array(expected, dtype=float))


def test_truth_may_be_boolean_and_is_not_changed() -> None:
    yes, no = np.array([True, True, False]), np.array([1.0, NAN, NAN])
    rule = parse("h1 and not h2", **KNOWN)
    np.testing.assert_array_equal(rule.evaluate({H1: yes, H2: no}), [0, NAN, 0])
    assert yes.tolist() == [True, True, False]


def test_truth_must_be_complete_and_true_or_false() -> None:
    rule = parse("h1 or coach beats usual at m3", **KNOWN)
    with pytest.raises(ValueError, match="nothing is known about: coach beats usual at m3"):
        rule.evaluate({H1: np.ones(2)})
    with pytest.raises(ValueError, match="'h1' must be 0, 1 or NaN"):
        rule.evaluate({H1: np.array([0.5]), Atom("beats", "coach", "usual", "m3"): np.ones(1)})


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "problem", "hint"),
    [
        ("", "", "a statement is missing here", "Write '<arm> beats <arm>'"),
        ("success if", "", "a statement is missing here", "Write"),
        ("coch beats usual", "coch", "no arm is called 'coch'", "Did you mean 'coach'?"),
        ("Xyz beats usual", "Xyz", "no arm is called 'Xyz'", "Known: 'coach', 'web', 'usual'"),
        ("coach beats usaul", "usaul", "no arm is called 'usaul'", "Did you mean 'usual'"),
        ("coach beats usual caer at m3", "usual caer", "no arm is called 'usual caer'", "Did you mean 'usual"),
        ("coach beats usual care", "usual care", "'usual care' may be arm 'usual' or 'usual_plus'", "more words"),
        ("coach beats", "", "the name of an arm is missing here", "Known: 'coach'"),
        ("beats usual", "beats", "the name of an arm is missing here", "Known: 'coach'"),
        ("coach beats coach", "coach", "arm 'coach' cannot be compared with itself", ""),
        ("coach beats health coach", "health", "arm 'coach' cannot be compared with itself", ""),
        ("coach beats usual at 4 months", "4 months", "no visit is called '4 months'", "'3 months' or '12 months'"),
        ("coach beats usual at", "", "the name of a visit is missing here", "Known: 'm3'"),
        ("coach beats usual in primry", "primry", "no analysis is called 'primry'", "Did you mean 'primary'?"),
        ("coach beats usual at m3 at m12", "at m12", "has its visit already ('m3')", "Join"),
        ("h1 and hh", "hh", "'hh' is not a statement", "Did you mean 'h"),
        ("coach wins over usual", "coach", "'coach wins over usual' is not a statement", "<arm> beats <arm>"),
        ("h1 and", "", "a statement is missing here", "Write"),
        ("h1 or or h2", "or h2", "a statement is missing here", "Write"),
        ("(h1 and h2", "", "')' is expected here", ""),
        ("h1)", ")", "')' is not expected here", "joined by 'and' or 'or'"),
        ("h1, h2", ",", "',' is not expected here", "joined"),
        ("at least h1", "h1", "a number is expected here", "at least 2 of"),
        ("at least 2 (h1, h2)", "(", "'of' is expected here", ""),
        ("at least 3 of (h1, h2)", "3", "at least 3 of 2 is not possible", "Use 1 to 2."),
        ("at least 0 of (h1, h2)", "0", "at least 0 of 2 is not possible", "Use 1 to 2."),
        ("at least 1 of (h1, h1)", "h1)", "in the list already", ""),
        ("at least 99999 of (h1)", "99999", "a number is expected here", ""),
    ],
)
def test_mistakes_are_pointed_at(text: str, place: str, problem: str, hint: str) -> None:
    with pytest.raises(DecisionError) as caught:
        read(text)
    error = caught.value
    assert problem in error.problem
    assert hint in error.hint
    assert error.at == (text.rindex(place) if place else len(text))
    lines = str(error).split("\n")
    assert lines[:3] == [error.problem, f"  {text}", f"  {' ' * error.at}^"]
    assert isinstance(error, ValueError)


def test_a_text_of_several_lines_is_pointed_at_in_one() -> None:
    with pytest.raises(DecisionError) as caught:
        read("coach beats usual\n\tand hh")
    assert str(caught.value).split("\n")[1:3] == ["  coach beats usual  and hh", "  " + " " * 23 + "^"]


def test_nothing_else_is_known() -> None:
    with pytest.raises(DecisionError, match="No analysis is defined"):
        parse("coach beats usual in primary", arms=ARMS, visits={})
    with pytest.raises(DecisionError) as caught:
        parse("h1", arms=ARMS, visits={})
    assert "hypothesis" not in str(caught.value)


@pytest.mark.parametrize("text", ["(" * 5000 + "h1" + ")" * 5000, "not " * 5000 + "h1"])
def test_a_rule_that_is_too_deep(text: str) -> None:
    with pytest.raises(DecisionError, match="nested more than 50 deep"):
        read(text)


# --- any rule ---------------------------------------------------------------------------------------------------------

pairs = st.sampled_from([(a, b) for a in ARMS for b in ARMS if a != b])
comparisons = st.builds(
    lambda kind, pair, visit, analysis: Atom(kind, *pair, visit, analysis),
    st.sampled_from(["beats", "non_inferior", "equivalent"]), pairs,
    st.sampled_from([None, *VISITS]), st.sampled_from([None, "primary", "per_protocol"]),
)  # fmt: skip
atoms = st.one_of(comparisons, st.sampled_from([H1, H2, Atom("named", hypothesis="pain-free")]))


def _several(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    many = st.lists(children, min_size=2, max_size=4, unique=True)
    some = st.tuples(st.integers(1, 4), many).map(lambda x: AtLeast(min(x[0], len(x[1])), tuple(x[1])))
    return st.one_of(children.map(Not), some)


@given(node=st.recursive(atoms, _several, max_leaves=12))
def test_its_words_read_back_as_the_same_rule(node: Node) -> None:
    rule = Rule(node)
    assert parse(rule.words(), **KNOWN) == rule
    assert parse(rule.words().upper(), **KNOWN) == rule


words = st.sampled_from(
    ["coach", "beats", "usual", "care", "web", "is", "not", "inferior", "to", "at", "m3", "least", "2", "of", "(", ")",
     ",", "and", "or", "h1", "h2", "in", "primary", "success", "if", "non-inferior", "3 months", "²", "ß", "_", "-"]
)  # fmt: skip


@given(text=st.one_of(st.text(), st.lists(words, max_size=14).map(" ".join)))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    found = read_or_refusal(text)
    if isinstance(found, DecisionError):
        assert 0 <= found.at <= len(text)
        assert found.problem
    else:
        assert parse(found.words(), **KNOWN) == found


def read_or_refusal(text: str) -> Rule | DecisionError:
    try:
        return parse(text, **KNOWN)
    except DecisionError as error:
        return error
