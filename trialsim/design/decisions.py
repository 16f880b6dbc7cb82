"""Hypotheses and success rules of a declared decision, read from their words, and checks of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trialsim.design.analysis_checks import has_one_result, pairs_of, visits_of
from trialsim.design.decision_words import Atom, DecisionError, Rule, parse
from trialsim.design.naming import Path, Problem, named, unknown

if TYPE_CHECKING:
    from trialsim.design.analyses import Decision
    from trialsim.design.parts import Design

_KINDS = {"superiority": "beats", "non_inferiority": "non_inferior", "equivalence": "equivalent"}


@dataclass(frozen=True)
class Hypothesis:
    """One hypothesis of a decision: that the first arm beats, is not inferior to, or is equivalent to the second."""

    name: str
    kind: str
    arms: tuple[str, str]
    visit: str
    analysis: str

    @property
    def contrast(self) -> str:
        """'coach - usual'."""
        return " - ".join(self.arms)


def hypotheses_of(design: Design, decision: Decision) -> list[Hypothesis]:
    """The decision's hypotheses in their order. DecisionError for words that cannot be read."""
    if not decision.hypotheses:
        analysis = design.analyses[decision.analysis]
        kind, visit = _KINDS[analysis.hypothesis], _visit(design, decision, decision.analysis)
        pairs = pairs_of(design, analysis)
        return [Hypothesis(f"{a}_{b}", kind, (a, b), visit, decision.analysis) for a, b in pairs]
    return [_hypothesis(design, decision, name, text) for name, text in decision.hypotheses.items()]


def spoken_of(design: Design, decision: Decision, family: list[Hypothesis], atom: Atom) -> tuple[int, bool] | None:
    """Place of the hypothesis that a statement of the success rule is about; None if it is about none.

    And whether the statement has its arms the other way round, so that it holds where the hypothesis is rejected in
    favour of its second arm. Equivalence has no direction; non-inferiority says nothing of the second arm.
    """
    if atom.kind == "named":
        return [h.name for h in family].index(str(atom.hypothesis)), False
    analysis = atom.analysis or decision.analysis
    said = (atom.kind, atom.visit or _visit(design, decision, analysis), analysis)
    about = {place: h.arms for place, h in enumerate(family) if (h.kind, h.visit, h.analysis) == said}
    for place, arms in about.items():
        if arms == (atom.a, atom.b):
            return place, False
    for place, arms in about.items():
        if arms == (atom.b, atom.a) and atom.kind != "non_inferior":
            return place, atom.kind == "beats"
    return None


def _visits(design: Design, name: str) -> list[str]:
    """Visits at which an analysis has results."""
    analysis: Any = design.analyses[name]
    if has_one_result(analysis):  # it goes by the last visit
        return visits_of(design, analysis)[-1:]
    return list(analysis.visits or design.visits)


def _visit(design: Design, decision: Decision, name: str) -> str:
    """The visit meant where the words name none."""
    first = _visits(design, name)[0]
    return first if has_one_result(design.analyses[name]) else decision.visit or first


def _hypothesis(design: Design, decision: Decision, name: str, text: str) -> Hypothesis:
    rule = parse(text, **_vocabulary(design))
    if len(rule.atoms) != 1 or rule.node != rule.atoms[0]:
        raise DecisionError(text, 0, "a hypothesis is one statement", "Combine hypotheses in `success`.")
    atom = rule.atoms[0]
    assert atom.a is not None  # nothing else can be said without names of hypotheses
    assert atom.b is not None
    analysis = atom.analysis or decision.analysis
    visit = atom.visit or _visit(design, decision, analysis)
    return Hypothesis(name, atom.kind, (atom.a, atom.b), visit, analysis)


def success_rule(design: Design, decision: Decision, family: list[Hypothesis]) -> Rule | None:
    """The rule of success, or None where any rejection is one. DecisionError for words that cannot be read."""
    if not decision.success:
        return None
    return parse(decision.success, **_vocabulary(design), hypotheses=[hypothesis.name for hypothesis in family])


def _vocabulary(design: Design) -> dict[str, Any]:
    def labels(parts: Mapping[str, Any]) -> dict[str, str]:
        return {name: part.label or name for name, part in parts.items()}

    return {"arms": labels(design.arms), "visits": labels(design.visits), "analyses": list(design.analyses)}


# --- checks -----------------------------------------------------------------------------------------------------------


def decisions(design: Design) -> Iterator[Problem]:
    """Problems of the decisions."""
    for name, decision in design.decisions.items():
        path: Path = ("decisions", name)
        problems = list(named((*path, "analysis"), decision.analysis, design.analyses, "analysis"))
        if decision.visit is not None:
            problems += named((*path, "visit"), decision.visit, design.visits, "visit")
        yield from problems or _of_decision(design, path, decision)


def _of_decision(design: Design, path: Path, decision: Decision) -> Iterator[Problem]:
    try:
        family = hypotheses_of(design, decision)
    except DecisionError as error:
        yield (*path, "hypotheses"), *_said(error)
        return
    if not family:
        yield (*path, "analysis"), f"{decision.analysis} compares no arms, so there is no hypothesis", ""
        return
    problems = [problem for h in family for problem in _of_hypothesis(design, path, h)]
    problems += _procedure(design, path, decision, family)
    try:
        rule = success_rule(design, decision, family)
        problems += _atoms(design, path, decision, family, rule)
    except DecisionError as error:
        problems.append(((*path, "success"), *_said(error)))
    yield from problems


def _said(error: DecisionError) -> tuple[str, str]:
    lines = str(error).splitlines()
    return error.problem, " ".join([f"In: {lines[1].strip()}.", error.hint]).strip()


def _of_hypothesis(design: Design, path: Path, h: Hypothesis) -> Iterator[Problem]:
    analysis: Any = design.analyses[h.analysis]
    where = (*path, "hypotheses", h.name)
    if set(h.arms) not in [set(pair) for pair in pairs_of(design, analysis)]:
        yield where, f"{h.analysis} has no contrast of {h.arms[0]} and {h.arms[1]}", "Add it to its contrasts."
    if _KINDS[analysis.hypothesis] != h.kind:
        yield where, f"{h.analysis} tests {analysis.hypothesis.replace('_', '-')}, the words say something else", ""
    elif h.kind != "beats" and h.arms not in pairs_of(design, analysis):
        yield where, "the arms must stand in the order of the analysis's contrast", ""
    visits = _visits(design, h.analysis)
    if h.visit not in visits:
        yield where, f"{h.analysis} does not report visit {h.visit}", f"It reports {', '.join(visits)}."


def _atoms(
    design: Design, path: Path, decision: Decision, family: list[Hypothesis], rule: Rule | None
) -> Iterator[Problem]:
    for atom in rule.atoms if rule else ():
        if spoken_of(design, decision, family, atom) is None:
            known = "; ".join(f"{h.name}: {h.contrast} at {h.visit} in {h.analysis}" for h in family)
            yield (*path, "success"), f"no hypothesis says '{atom.words()}'", f"Hypotheses: {known}."


def _procedure(design: Design, path: Path, decision: Decision, family: list[Hypothesis]) -> Iterator[Problem]:
    given: Any = decision.procedure
    where, names = (*path, "procedure"), [h.name for h in family]
    weights = getattr(given, "weights", {})
    yield from unknown((*where, "weights"), weights, names, "hypothesis")
    if sum(weights.values()) > 1 + 1e-9:
        yield (*where, "weights"), "weights add up to more than 1", ""
    if given.kind.startswith("weighted") and set(weights) != set(names):
        yield (*where, "weights"), "every hypothesis needs a weight", f"Hypotheses: {', '.join(names)}."
    for name, moves in getattr(given, "transitions", {}).items():
        yield from unknown((*where, "transitions"), [name], names, "hypothesis")
        yield from unknown((*where, "transitions", name), moves, names, "hypothesis")
        if sum(moves.values()) > 1 + 1e-9:
            yield (*where, "transitions", name), "transitions from a hypothesis add up to more than 1", ""
        if moves.get(name):
            yield (*where, "transitions", name), "alpha cannot move from a hypothesis to itself", ""
    if given.kind.endswith("gatekeeping"):
        yield from _families(where, given, names)
    yield from _suited(design, where, given.kind, family)


def _suited(design: Design, where: Path, kind: str, family: list[Hypothesis]) -> Iterator[Problem]:
    """Whether the hypotheses are such as a procedure is made for."""
    superiority = all(h.kind == "beats" for h in family)
    if kind.startswith("dunnett"):
        same = {(h.arms[1], h.visit, h.analysis) for h in family}
        if len(same) > 1 or not superiority:
            yield where, "Dunnett's test needs hypotheses of superiority over one arm at one visit of one analysis", ""
    if kind == "lsd" and not superiority:
        yield where, "lsd is made for tests of superiority", ""
    if kind == "lsd" and any(design.analyses[h.analysis].kind in ("complier", "user") for h in family):
        yield where, "lsd needs analyses with a test of all arms", ""


def _families(where: Path, given: Any, names: list[str]) -> Iterator[Problem]:
    members = [name for part in given.families for name in part]
    yield from unknown((*where, "families"), members, names, "hypothesis")
    if sorted(members) != sorted(names):
        yield (*where, "families"), "every hypothesis must be in exactly one family", f"Hypotheses: {', '.join(names)}."
    if given.truncation and (given.kind == "serial_gatekeeping" or len(given.truncation) != len(given.families)):
        yield (*where, "truncation"), "parallel gatekeeping has one truncation for each family, serial none", ""
    if given.procedure == "bonferroni" and any(given.truncation):
        yield (*where, "truncation"), "Bonferroni has truncation 0", ""
