"""The sample size (or another number of a design) at which a question has the power wanted; assurance under a prior."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from trialsim.design.analyses import Decision
from trialsim.design.parts import Design
from trialsim.errors import TrialsimError
from trialsim.experiments.pool import Outcomes, Pool
from trialsim.experiments.search import Answer, Progress, find

QUESTION = "question"
"""Name of the decision that is made of a question in words."""
PILOT = 128
"""Replicates at each end of the range, to see whether power rises with a number other than the sample size."""


@dataclass(frozen=True)
class Sizing:
    """What was asked and found."""

    design: Design
    question: str
    path: str
    target: float
    answer: Answer
    randomized: float
    """Mean number randomized at the answer; below it where enrolment ended first."""


def ask(design: Design, question: str | None) -> Design:
    """The design with one decision, `question`, and only the analyses that it needs.

    A question is the name of a decision, or words such as `coach vs usual at 3 months in responders` (`vs` is `beats`).
    None: the first decision, or the first contrast of the first analysis. TrialsimError where it cannot be read.
    """
    from trialsim.design.decision_words import DecisionError
    from trialsim.design.decisions import hypotheses_of, success_rule

    if not design.analyses:
        raise TrialsimError(f"design '{design.name}' plans no analysis, so there is no power to speak of.")
    if question is None and not design.decisions:
        question = _first_question(design)
    decision = _decision(design, question)
    try:
        asked = design.model_copy(update={"decisions": {QUESTION: decision}})
        family = hypotheses_of(asked, decision)
        success_rule(asked, decision, family)
    except DecisionError as error:
        raise TrialsimError(f"the question cannot be read: {error}") from error
    needed = {hypothesis.analysis for hypothesis in family}
    analyses = {name: analysis for name, analysis in design.analyses.items() if name in needed}
    document = asked.model_copy(update={"analyses": analyses}).model_dump_json()
    try:
        return Design.model_validate_json(document)
    except ValueError as error:  # what the words name is not there
        raise TrialsimError(f"the question does not fit the design: {_rules(error)}") from error


def _rules(error: ValueError) -> str:
    problems = getattr(error, "problems", None)
    text = "; ".join(rule for _, rule, _ in problems) if problems else str(error)
    return re.sub(r"\s+", " ", text)


def _first_question(design: Design) -> str:
    from trialsim.design.analysis_checks import pairs_of

    name, analysis = next(iter(design.analyses.items()))
    a, b = pairs_of(design, analysis)[0]
    return f"{a} vs {b} in {name}"


def _decision(design: Design, question: str | None) -> Decision:
    if question is None:
        return next(iter(design.decisions.values()))
    if question in design.decisions:
        return design.decisions[question]
    words = re.sub(r"\b(vs\.?|v\.?|versus|against)(?=\s)", "beats", question)
    analysis = next(iter(design.analyses))
    given = design.analyses[analysis]
    return Decision(analysis=analysis, hypotheses={"asked": words}, alpha=given.alpha, procedure=_procedure(given))


def _procedure(analysis: Any) -> Any:
    """The analysis's own protection, as far as one hypothesis has it."""
    from trialsim.design.analyses import Simple

    return Simple(kind="lsd" if analysis.multiplicity == "lsd" and analysis.hypothesis == "superiority" else "none")


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

    `low` and `high` bound the search; they are needed for any path but `sample_size`. A fit that fails stops the search
    (ResultsError): its replicates are neither successes nor failures. DesignError where a value tried is impossible.
    """
    asked = ask(design, question)
    current = number_at(asked, path)
    if path != "sample_size" and (low is None or high is None):
        raise TrialsimError(f"searching '{path}' needs --low and --high.")
    whole = isinstance(current, int)
    with Pool(workers) as pool:
        simulate = _Simulate(pool, asked, path, whole, seed)
        bounds = (low if low is not None else 10.0 * len(design.arms), high)
        increasing = path == "sample_size" or simulate.rises(bounds[0], float(high or 0))
        answer = find(
            simulate,
            target=power,
            low=bounds[0],
            high=bounds[1],
            start=_inside(float(current), *bounds),
            integer=whole,
            increasing=increasing,
            mcse=mcse,
            max_replicates=max_replicates,
            scale="sqrt" if path == "sample_size" else "linear",
            progress=progress,
        )
        randomized = simulate.mean_randomized(answer.x) if answer.found else float("nan")
    return Sizing(asked, _words(asked), path, power, answer, randomized)


def _inside(value: float, low: float, high: float | None) -> float | None:
    return value if low <= value <= (np.inf if high is None else high) else None


def _words(asked: Design) -> str:
    """The question as it was understood."""
    from trialsim.design.decisions import hypotheses_of, success_rule

    decision = asked.decisions[QUESTION]
    family = hypotheses_of(asked, decision)
    rule = success_rule(asked, decision, family)
    if rule is not None:
        return rule.words()
    verbs = {"beats": "beats", "non_inferior": "is not inferior to", "equivalent": "is equivalent to"}
    texts = [f"{h.arms[0]} {verbs[h.kind]} {h.arms[1]} at {h.visit} in {h.analysis}" for h in family]
    return " or ".join(texts)


class _Simulate:
    """What the search calls: successes of the question at a value."""

    def __init__(self, pool: Pool, design: Design, path: str, whole: bool, seed: int) -> None:
        self.pool, self.design, self.path, self.whole, self.seed = pool, design, path, whole, seed
        self._designs: dict[float, Design] = {}
        self._randomized: dict[float, list[float]] = {}

    def __call__(self, x: float, first: int, n: int) -> tuple[int, int]:
        found = self.outcomes(x, first, n)
        failed = int(np.isnan(found.success).sum())
        if failed:
            raise TrialsimError(
                f"{failed} of {n} replicates with {self.path} = {x:g} have a fit that failed, so power is not "
                "known there. Raise --low, or choose an analysis that holds for small samples."
            )
        return int(found.success.sum()), n

    def outcomes(self, x: float, first: int, n: int) -> Outcomes:
        found = self.pool.run(self.at(x), QUESTION, seed=self.seed, first=first, replicates=n)
        self._randomized.setdefault(x, []).extend(found.n_randomized.tolist())
        return found

    def at(self, x: float) -> Design:
        """The design with the number changed. DesignError where it may not have that value."""
        if x not in self._designs:
            self._designs[x] = changed(self.design, {self.path: int(x) if self.whole else float(x)})
        return self._designs[x]

    def rises(self, low: float, high: float) -> bool:
        """Whether power is higher at the upper limit, by a few replicates that are not used again."""
        first = 2**30
        a, b = (int(np.nansum(self.outcomes(x, first, PILOT).success)) for x in (low, high))
        return b >= a

    def mean_randomized(self, x: float) -> float:
        return float(np.mean(self._randomized.get(x) or self.outcomes(x, 2**30, PILOT).n_randomized))


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
    try:
        return Design.model_validate(data)
    except ValueError as error:
        tried = ", ".join(f"{path} = {value:g}" for path, value in values.items())
        raise TrialsimError(f"{tried} is not possible: {_rules(error)}") from error


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
    whole = {prior.path: isinstance(number_at(asked, prior.path), int) for prior in priors}
    values = np.column_stack(
        [prior.quantile(u) for prior, u in zip(priors, _sequence(nodes, len(priors)), strict=True)]
    )
    power = np.empty(nodes)
    with Pool(workers) as pool:
        simulate = _Simulate(pool, asked, "", False, seed)
        for k in range(nodes):
            given = {prior.path: value for prior, value in zip(priors, values[k], strict=True)}
            simulate._designs[float(k)] = changed(
                asked, {p: round(v) if whole[p] else float(v) for p, v in given.items()}
            )
            power[k] = simulate(float(k), k * replicates, replicates)[0] / replicates
            if progress is not None:
                progress((k + 1) * replicates, (nodes + 16) * replicates)
        simulate._designs[-1.0] = asked
        own = simulate(-1.0, nodes * replicates, 16 * replicates)
    at_own = own[0] / own[1]
    error = float(np.sqrt((power * (1 - power) / (replicates - 1)).sum()) / nodes)
    own_error = float(np.sqrt(max(at_own * (1 - at_own), 1 / own[1]) / own[1]))
    n = nodes * replicates + own[1]
    return Assurance(
        asked, _words(asked), tuple(priors), float(power.mean()), error, at_own, own_error, values, power, n
    )


def _sequence(n: int, dimensions: int) -> NDArray[np.float64]:
    """Kronecker sequence in (0, 1), (dimensions, n); in one dimension the midpoints of n equal parts."""
    if dimensions == 1:
        return np.asarray([(np.arange(n) + 0.5) / n])
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (dimensions + 1))
    steps = (1 / root) ** np.arange(1, dimensions + 1)
    return np.asarray((0.5 + steps[:, None] * np.arange(1, n + 1)) % 1.0)
