"""The sample size (or another number of a design) at which a question has the power wanted; assurance under a prior."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.special import ndtri

from trialsim.design.analyses import Decision, Simple
from trialsim.design.analysis_checks import pairs_of
from trialsim.design.decision_words import DecisionError
from trialsim.design.decisions import Hypothesis, hypotheses_of, success_rule
from trialsim.design.faults import findings_of
from trialsim.design.parts import Design
from trialsim.design.yamltree import Mark, dotted, planted
from trialsim.errors import TrialsimError
from trialsim.experiments.executors import Crew, local_crew
from trialsim.experiments.performance import proportion_with_error
from trialsim.experiments.search import Answer, Progress, find
from trialsim.experiments.successes import Successes, successes

QUESTION = "question"
"""Name of the decision that is made of a question in words."""
PILOT = 128
"""Replicates at each end of the range, to see whether power rises with a number other than the sample size."""
APART = 2**30
"""Number of the first replicate of those that are not part of the answer."""
MOST = 200_000
"""The largest sample size that a design may have."""
OWN = 16
"""Replicates at the design's own values, for each at a value of the prior."""


@dataclass(frozen=True)
class Sizing:
    """What was asked and found."""

    design: Design
    question: str
    path: str
    target: float
    answer: Answer
    randomized: float
    """Mean number randomized at `closest`; fewer than the sample size where enrolment ended first."""

    @property
    def closest(self) -> float:
        """The answer, or the greatest value tried where there is none."""
        return self.answer.x if self.answer.found else float(self.answer.points.x[-1])


def ask(design: Design, question: str | None) -> Design:
    """The design with one decision, `question`, and only the analyses that it needs.

    A question is the name of a decision, or words such as `coach vs usual at 3 months in responders`; `vs` stands for
    what the analysis tests, such as `beats`. None: the first decision, or the first contrast of the first analysis.
    TrialsimError where it cannot be read.
    """
    if not design.analyses:
        raise TrialsimError(f"design '{design.name}' plans no analysis, so there is no power to speak of.")
    try:
        decision = _decision(design, question)
        family = hypotheses_of(design, decision)
        success_rule(design, decision, family)
    except DecisionError as error:
        names = ", ".join(f"'{name}'" for name in design.decisions)
        known = f"\nOr name a decision of the design: {names}." if names else ""
        raise TrialsimError(f"the question cannot be read: {error}{known}") from error
    needed = {decision.analysis, *(hypothesis.analysis for hypothesis in family)}
    data = design.model_dump(mode="json")
    data["decisions"] = {QUESTION: decision.model_dump(mode="json")}
    data["analyses"] = {name: analysis for name, analysis in data["analyses"].items() if name in needed}
    return _checked(data, "the question does not fit the design")


def _decision(design: Design, question: str | None) -> Decision:
    """The decision that is asked about. DecisionError for words that cannot be read."""
    if question is None and design.decisions:
        return next(iter(design.decisions.values()))
    if question in design.decisions:
        return design.decisions[question]
    first, analysis = next(iter(design.analyses.items()))
    if not pairs_of(design, analysis):
        raise TrialsimError(f"analysis '{first}' compares no arms, so there is no power to speak of.")
    words = question or " vs ".join(pairs_of(design, analysis)[0])
    (asked,) = hypotheses_of(design, Decision(analysis=first, hypotheses={"asked": _VERSUS.sub("beats", words)}))
    given: Any = design.analyses[asked.analysis]
    # its own protection, as far as one hypothesis has it
    kind = "lsd" if given.multiplicity == "lsd" and given.hypothesis == "superiority" else "none"
    return Decision(
        analysis=asked.analysis,
        hypotheses={"asked": _VERSUS.sub(_TESTED[given.hypothesis], words)},
        alpha=given.alpha,
        procedure=Simple.model_validate({"kind": kind}),
    )


_VERSUS = re.compile(r"(?<=\s)(vs|v|versus|against)\.?(?=\s)")
_TESTED = {"superiority": "beats", "non_inferiority": "is not inferior to", "equivalence": "is equivalent to"}


def _checked(data: dict[str, Any], said: str) -> Design:
    """Data as a design. TrialsimError, with every rule that is broken, where it is none."""
    try:
        return Design.model_validate(data)
    except ValidationError as error:
        findings = findings_of(error, model=Design, root=planted(data, mark=Mark("")))
        rules = "; ".join(f"{dotted(one.path)} {one.rule}. {one.hint}".strip() for one in findings)
        raise TrialsimError(f"{said}: {rules}") from error


def find_size(
    design: Design,
    *,
    power: float,
    question: str | None = None,
    path: str = "sample_size",
    low: float | None = None,
    high: float | None = None,
    seed: int = 1,
    mcse: float = 0.005,
    max_replicates: int = 60_000,
    workers: int = 1,
    progress: Progress | None = None,
) -> Sizing:
    """Search one number of a design, at `path`, for the value at which the question has the power.

    `low` and `high` bound the search; they are needed for any path but `sample_size`. TrialsimError where a value tried
    is impossible, and where a fit fails: such replicates are neither successes nor failures.
    """
    asked = ask(design, question)
    current = number_at(asked, path)
    whole = isinstance(current, int)
    least, most = _limits(asked, path, low, high)
    with local_crew(workers) as hands:
        trials = _Trials(hands, asked, path, whole, seed)
        for limit in (least, most):
            trials.at(limit)  # refused before anything is simulated
        answer = find(
            trials.successes,
            target=power,
            low=least,
            high=most,
            start=float(min(max(current, least), most)),
            integer=whole,
            increasing=path == "sample_size" or trials.rises(least, most),
            mcse=mcse,
            max_replicates=max_replicates,
            scale="sqrt" if path == "sample_size" else "linear",
            progress=progress,
        )
        found = Sizing(asked, _words(asked), path, power, answer, float("nan"))
        return replace(found, randomized=trials.mean_randomized(found.closest))


def _limits(design: Design, path: str, low: float | None, high: float | None) -> tuple[float, float]:
    """Limits of the search. TrialsimError where there is nothing between them."""
    if path != "sample_size" and (low is None or high is None):
        raise TrialsimError(f"searching '{path}' needs --low and --high (Python: low and high).")
    least, most = 2.0 * len(design.arms) if low is None else low, float(MOST) if high is None else high
    whole = isinstance(number_at(design, path), int)
    if not math.isfinite(most - least) or not (math.ceil(least) < most if whole else least < most):
        number = "whole number" if whole else "number"
        raise TrialsimError(f"searching '{path}' needs a {number} from {least:g} up to a higher one (given: {most:g}).")
    return least, most


def _words(asked: Design) -> str:
    """The question as it was understood."""
    decision = asked.decisions[QUESTION]
    family = hypotheses_of(asked, decision)
    rule = success_rule(asked, decision, family)
    if rule is None:
        return " or ".join(map(_statement, family))
    return f"{rule.words()}, where {'; '.join(f'{h.name}: {_statement(h)}' for h in family)}"


def _statement(h: Hypothesis) -> str:
    verb = {"beats": "beats", "non_inferior": "is not inferior to", "equivalent": "is equivalent to"}[h.kind]
    return f"{h.arms[0]} {verb} {h.arms[1]} at {h.visit} in {h.analysis}"


class _Trials:
    """Trials of a design with one number changed, judged by the question."""

    def __init__(self, hands: Crew, design: Design, path: str, whole: bool, seed: int) -> None:
        self.hands, self.design, self.path, self.whole, self.seed = hands, design, path, whole, seed
        self._room = math.inf  # a sample size so large that enrolment always ended first, by far
        self._designs: dict[float, Design] = {}
        self._randomized: dict[float, list[float]] = {}

    def at(self, x: float) -> Design:
        """The design with the number changed. TrialsimError where it may not have that value."""
        if x not in self._designs:
            self._designs[x] = changed(self.design, {self.path: int(x) if self.whole else float(x)})
        return self._designs[x]

    def outcomes(self, x: float, first: int, n: int) -> Successes:
        found = self._judged(min(x, self._room), first, n)
        if found.n_randomized.max() >= self._room < x:  # room was too little after all
            found = self._judged(x, first, n)
        if self.path == "sample_size" and 2 * found.n_randomized.max() <= x:
            self._room = min(x, self._room)  # a trial that never fills up is the same trial at any larger size
        self._randomized.setdefault(x, []).extend(found.n_randomized.tolist())
        return found

    def _judged(self, x: float, first: int, n: int) -> Successes:
        return successes(self.hands, self.at(x), QUESTION, seed=self.seed, first=first, replicates=n)

    def successes(self, x: float, first: int, n: int) -> tuple[int, int]:
        """What the search calls."""
        return int(_known(self.outcomes(x, first, n), f"{self.path} = {x:g}", "Raise --low").sum()), n

    def rises(self, low: float, high: float) -> bool:
        """Whether power is higher at the upper limit, by a few replicates that are not used again."""
        a, b = (int(np.nansum(self.outcomes(x, APART, PILOT).success)) for x in (low, high))
        return b >= a

    def mean_randomized(self, x: float) -> float:
        return float(np.mean(self._randomized.get(x) or self.outcomes(x, APART, PILOT).n_randomized))


def _known(found: Successes, where: str, remedy: str) -> NDArray[np.float64]:
    """Successes, (R,). TrialsimError for fits that failed: they are neither successes nor failures."""
    failed = int(np.isnan(found.success).sum())
    if failed:
        raise TrialsimError(
            f"{failed} of {len(found.success)} replicates with {where} have a fit that failed, so power is not known "
            f"there. {remedy}, or choose an analysis that holds for small samples."
        )
    return found.success


def number_at(design: Design, path: str) -> int | float:
    """The number at a dotted path of a design. TrialsimError, with what is near, where there is none."""
    place: Any = design.model_dump(mode="json")
    for part in path.split("."):
        items = range(len(place)) if isinstance(place, list) else place if isinstance(place, dict) else ()
        known = [str(item) for item in items]
        if part not in known:
            close = difflib.get_close_matches(part, known, n=1)
            hint = f"Did you mean '{close[0]}'?" if close else f"Keys there: {', '.join(known) or 'none'}."
            raise TrialsimError(f"no '{path}' in the design (at '{part}'). {hint}")
        place = place[int(part) if isinstance(place, list) else part]
    if isinstance(place, bool) or not isinstance(place, int | float):
        hint = f" Make it one first: --set {path}=NUMBER." if isinstance(place, list) else ""
        raise TrialsimError(f"'{path}' is not a number of the design.{hint}")
    return place


def changed(design: Design, values: dict[str, float]) -> Design:
    """A design with numbers at dotted paths replaced. DesignError where one may not have that value."""
    data = design.model_dump(mode="json")
    for path, value in values.items():
        *parents, last = path.split(".")
        place: Any = data
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[int(last) if isinstance(place, list) else last] = value
    tried = ", ".join(f"{path} = {value:g}" for path, value in values.items())
    return _checked(data, f"{tried} is not possible")


# --- assurance --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prior:
    """A distribution of one number: normal(mean, sd), uniform(low, high) or triangular(low, mode, high)."""

    path: str
    kind: str
    numbers: tuple[float, ...]

    def quantile(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values at probabilities u."""
        if self.kind == "normal":
            return self.numbers[0] + self.numbers[1] * ndtri(u)
        if self.kind == "uniform":
            return self.numbers[0] + (self.numbers[1] - self.numbers[0]) * u
        low, mode, high = self.numbers
        peak = (mode - low) / (high - low)
        below = low + np.sqrt(u * (high - low) * (mode - low))
        above = high - np.sqrt((1 - u) * (high - low) * (high - mode))
        return np.where(u < peak, below, above)


_PRIOR = re.compile(r"\s*([^=\s]+)\s*=\s*(normal|uniform|triangular)\s*\(([^()]*)\)\s*")


def read_prior(text: str) -> Prior:
    """`arms.coach.effects.severity.by_visit.m3=normal(-0.5, 0.2)`. TrialsimError for anything else."""
    found = _PRIOR.fullmatch(text)
    hint = "Write PATH=normal(mean, sd), PATH=uniform(low, high) or PATH=triangular(low, mode, high)."
    if found is None:
        raise TrialsimError(f"'{text}' is not a prior. {hint}")
    try:
        numbers = tuple(float(part) for part in found[3].split(","))
    except ValueError:
        raise TrialsimError(f"'{text}' is not a prior: '{found[3]}' are not numbers. {hint}") from None
    wanted = {"normal": 2, "uniform": 2, "triangular": 3}[found[2]]
    rising = found[2] != "normal" and list(numbers) == sorted(numbers) and numbers[0] < numbers[-1]
    sound = rising or (found[2] == "normal" and len(numbers) == 2 and numbers[1] >= 0)
    if len(numbers) != wanted or not sound or not np.isfinite(numbers).all():
        raise TrialsimError(f"'{text}' is not a prior. {hint}")
    return Prior(found[1], found[2], numbers)


@dataclass(frozen=True)
class Assurance:
    """Expected power under the priors, beside the power at the design's own values."""

    design: Design
    question: str
    priors: tuple[Prior, ...]
    value: float
    mcse: float
    power: float
    power_mcse: float
    nodes: NDArray[np.float64]  # (K, P) values of the priors
    node_power: NDArray[np.float64]  # (K,)
    n_replicates: int


def assurance(
    design: Design,
    priors: list[Prior],
    *,
    question: str | None = None,
    seed: int = 1,
    nodes: int = 128,
    replicates: int = 32,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Assurance:
    """Power averaged over what is believed of the design (O'Hagan, Stevens and Campbell 2005, doi:10.1002/pst.175).

    Values of the priors are taken at `nodes` points of a low-discrepancy sequence through their quantiles (Kronecker,
    with the roots of x^(d+1) = x + 1), each with `replicates` trials of its own luck. The error given is that of the
    replicates at fixed nodes; the nodes leave one of order 1 / nodes beside it. TrialsimError for a path that is no
    number of the design, a value that is impossible there, or a fit that failed.
    """
    asked = ask(design, question)
    values, designs = _believed(asked, priors, nodes)
    hits = np.empty((nodes, replicates))
    with local_crew(workers) as hands:
        for k, one in enumerate(designs):
            found = successes(hands, one, QUESTION, seed=seed, first=k * replicates, replicates=replicates)
            where = ", ".join(f"{prior.path} = {value:g}" for prior, value in zip(priors, values[k], strict=True))
            hits[k] = _known(found, where, "Narrow the prior")
            if progress is not None:
                progress((k + 1) * replicates, (nodes + OWN) * replicates)
        found = successes(hands, asked, QUESTION, seed=seed, first=hits.size, replicates=OWN * replicates)
        own = _known(found, "the design's own values", "Change them")
    power, power_mcse, _ = proportion_with_error(own)
    error = float(np.sqrt(hits.var(axis=1, ddof=1).sum() / replicates) / nodes)
    return Assurance(
        design=asked,
        question=_words(asked),
        priors=tuple(priors),
        value=float(hits.mean()),
        mcse=error or proportion_with_error(np.zeros(hits.size))[1],
        power=power,
        power_mcse=power_mcse,
        nodes=values,
        node_power=hits.mean(axis=1),
        n_replicates=hits.size + len(own),
    )


def _believed(design: Design, priors: list[Prior], nodes: int) -> tuple[NDArray[np.float64], list[Design]]:
    """Values of the priors, (nodes, P), and the design at each; whole numbers are rounded."""
    paths = [prior.path for prior in priors]
    if len(set(paths)) < len(paths):
        raise TrialsimError("a number of the design has two priors. Give it one.")
    whole = [isinstance(number_at(design, path), int) for path in paths]
    columns = [prior.quantile(u) for prior, u in zip(priors, _sequence(nodes, len(priors)), strict=True)]
    values = np.column_stack([np.round(x) if w else x for x, w in zip(columns, whole, strict=True)])
    kinds = [int if w else float for w in whole]
    rows = [{p: kind(v) for p, kind, v in zip(paths, kinds, row, strict=True)} for row in values]
    return values, [changed(design, row) for row in rows]


def _sequence(n: int, dimensions: int) -> NDArray[np.float64]:
    """Kronecker sequence in (0, 1), (dimensions, n); in one dimension the midpoints of n equal parts."""
    if dimensions == 1:
        return np.asarray([(np.arange(n) + 0.5) / n])
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (dimensions + 1))
    steps = (1 / root) ** np.arange(1, dimensions + 1)
    return np.asarray((0.5 + steps[:, None] * np.arange(1, n + 1)) % 1.0)
