"""Every built-in analysis as it is tried on data without an effect, and what is known about it beforehand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import null_worlds as worlds
import numpy as np
from pydantic import TypeAdapter

from trialsim.analysis import multiplicity
from trialsim.analysis.cells import fit_cells
from trialsim.analysis.estimates import GLOBAL_TEST, NNT, Estimates
from trialsim.analysis.fits import Data, FitError, Floats
from trialsim.analysis.graphical import graphical
from trialsim.analysis.imputation import chained, joint_normal
from trialsim.analysis.inference import of_cells
from trialsim.analysis.models import (
    Fitted,
    Numbers,
    fit_compliers,
    fit_counts,
    fit_events,
    fit_means,
    fit_proportions,
)
from trialsim.analysis.pattern_mixture import impute_change
from trialsim.analysis.pooling import pooled
from trialsim.analysis.reference_based import reference_based
from trialsim.analysis.response_weights import inverse_probability_weights, response_weights
from trialsim.analysis.rows import rows_of
from trialsim.design.analyses import Analysis
from trialsim.design.analysis_checks import EVENTS, measures_of
from trialsim.world.draws import Luck

ALPHA = 0.05
PAIR = (0, 1)
_ANALYSIS: TypeAdapter[Any] = TypeAdapter(Analysis)
_COPIES = 10
# Largest numbers of replicates, by number of participants, so that all of it takes an hour on two cores.
DEAR_GEE = {2331: 2_500}
SECOND_GEE = {60: 5_000, 300: 4_000, 2331: 2_000}
IMPUTED = {60: 5_000, 300: 4_000, 2331: 1_000}
Procedure = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Method:
    """An analysis as a design file would name it, or a procedure for the p-values of one."""

    kind: str
    options: dict[str, Any]
    pairs: tuple[tuple[int, int], ...] = (PAIR,)
    family: bool = False  # whether what counts is a rejection of any true hypothesis
    procedure: tuple[str, Procedure] | None = None
    most: dict[int, int] = field(default_factory=dict)  # largest number of replicates, by number of participants

    @property
    def title(self) -> str:
        """Kind and options, as in a design file."""
        if self.procedure:
            return self.procedure[0]
        shown = {key: value for key, value in self.options.items() if key not in ("better", "multiplicity")}
        if self.family:
            shown["multiplicity"] = self.options["multiplicity"]
        words = [f"{key}={_word(value)}" for key, value in shown.items()]
        return ", ".join([self.kind, *words])

    def analysis(self) -> Any:
        given = {"kind": self.kind, "outcome": "y", "multiplicity": "none", **self.options}
        return _ANALYSIS.validate_python(given)

    @property
    def nominal(self) -> float:
        """Margins are tested at half the two-sided level."""
        return ALPHA if self.options.get("hypothesis", "superiority") == "superiority" else ALPHA / 2


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{value[key]}" if key == "kind" else f"{key}={value[key]}" for key in value) + ")"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Study:
    """Data of one kind and the analyses that are right for it, or known not to be."""

    name: str
    world: worlds.World
    methods: tuple[Method, ...]
    n_arms: int = 3
    n_visits: int = 1


# --- carrying out -----------------------------------------------------------------------------------------------------


def rejections(study: Study, method: Method, replicates: Sequence[Any], luck: Sequence[Luck]) -> dict[str, Floats]:
    """For everything that is tested: 1 where rejected, 0 where not, NaN where the fit failed, (R,)."""
    analysis = method.analysis()
    nested = (0,) if analysis.kind == "mixed" and analysis.nested_arms else None
    numbers = Numbers(analysis, method.pairs, nested, getattr(analysis, "until_day", None))
    fitted = _fit(study, numbers, replicates, luck)
    design: Any = SimpleNamespace(
        arms={_arm(a): None for a in range(study.n_arms)}, visits={f"{v}": None for v in range(study.n_visits)}
    )
    found = rows_of(design, "", numbers, fitted, np.arange(len(replicates), dtype=np.int32))
    if method.family:
        return {"any true hypothesis": _any_true(study, method, found)}
    return _last_visit(study, method, found)


def _arm(number: int) -> str:
    return f"arm{number}"


def _contrast(pair: tuple[int, int]) -> str:
    return f"{_arm(pair[0])} - {_arm(pair[1])}"


def _last_visit(study: Study, method: Method, found: Estimates) -> dict[str, Floats]:
    """The pair in each measure, and the test of all arms."""
    contrast, tested = _contrast(method.pairs[0]), {}
    for place, label in enumerate(found.labels):
        hits = np.where(found.converged[:, place], found.significant[:, place], np.nan)
        if label.visit != f"{study.n_visits - 1}" or label.measure == NNT:
            continue
        if label.contrast == contrast and not _is_other(method, label.measure):
            tested[label.measure] = hits
        if label.measure == GLOBAL_TEST and method.nominal == ALPHA and not np.isnan(hits).all():
            tested["all arms"] = hits
    return tested


def _is_other(method: Method, measure: str) -> bool:
    """Whether a margin is on another measure."""
    return method.nominal != ALPHA and measure != (method.options.get("margin_measure") or measures_of(method.analysis())[0])


def _any_true(study: Study, method: Method, found: Estimates) -> Floats:
    differs = study.world.differs  # type: ignore[attr-defined]
    places = [found.place(analysis="", contrast=_contrast(pair), visit="0", measure="mean difference") for pair in method.pairs]
    true = np.array([differs[a] == differs[b] for a, b in method.pairs])
    hits = found.significant[:, places]  # type: ignore[index]
    if method.procedure:
        hits = (method.procedure[1](found.p_value[:, places]) < ALPHA).astype(float)  # type: ignore[index]
    return np.where(np.isnan(hits).any(axis=1), np.nan, hits[:, true].any(axis=1))


def _fit(study: Study, numbers: Numbers, replicates: Sequence[Any], luck: Sequence[Luck]) -> Fitted:
    kind, shape = numbers.analysis.kind, {"n_arms": study.n_arms, "n_visits": study.n_visits}
    if kind in EVENTS:
        return fit_events(numbers, replicates, n_arms=study.n_arms)
    if kind == "counts":
        return fit_counts(numbers, replicates, n_arms=study.n_arms)
    if kind == "complier":
        return fit_compliers(numbers, replicates, measure=measures_of(numbers.analysis)[0], n_visits=study.n_visits)
    copies = [completed(one, numbers.analysis.missing, its) for one, its in zip(replicates, luck, strict=True)]
    flat, m = [one for several in copies for one in several], len(copies[0])
    means = _cells(numbers, flat) if kind in ("modified_poisson", "linear") else fit_means(numbers, flat, **shape)
    compared = []
    if kind in ("proportions", "chi_squared"):
        compared = fit_proportions(numbers, flat, n_visits=study.n_visits)
    return Fitted(pooled(means, m) if m > 1 else means, compared)


def _cells(numbers: Numbers, replicates: Sequence[Data | FitError]) -> Any:
    sound = next(one for one in replicates if isinstance(one, Data))
    # A replicate without data has nothing observed, and so fails.
    nothing = replace(sound, y=np.full_like(sound.y, np.nan), weights=None)
    every = [one if isinstance(one, Data) else nothing for one in replicates]
    y = np.stack([one.y for one in every])
    weights = None
    if sound.weights is not None:
        weights = np.stack([np.ones_like(one.y) if one.weights is None else one.weights for one in every])
    columns = (np.stack([getattr(one, name) for one in every]) for name in ("arm", "covariates", "cluster"))
    family = "poisson" if numbers.analysis.kind == "modified_poisson" else "gaussian"
    return of_cells(fit_cells(y, ~np.isnan(y), *columns, n_arms=sound.n_arms, family=family, weights=weights))


# --- missing data -----------------------------------------------------------------------------------------------------


def completed(data: Data, missing: Any, luck: Luck) -> list[Data | FitError]:
    """The copies of a replicate that are analysed; all fail if it cannot be done."""
    m = getattr(missing, "imputations", 1)
    try:
        return _completed(data, missing, luck, m)
    except FitError as fault:
        return [fault] * m


def _completed(data: Data, missing: Any, luck: Luck, m: int) -> list[Data | FitError]:
    n_visits, seen = data.y.shape[1], data.observed
    common: dict[str, Any] = {"n_arms": data.n_arms, "m": m, "luck": luck}
    if missing.kind == "available":
        return [data]
    if missing.kind == "complete_cases":
        return [replace(data, y=np.where(seen.all(axis=1, keepdims=True), data.y, np.nan))]
    if missing.kind == "weights":
        weights = inverse_probability_weights(
            seen, data.arm, data.covariates, data.y, n_arms=data.n_arms, history=missing.history
        )  # fmt: skip
        return [replace(data, weights=np.where(np.isnan(weights), 1.0, weights))]
    if missing.kind == "pattern_mixture":
        filled = impute_change(data.y, data.arm, n_arms=data.n_arms, covariates=data.covariates)
        own = response_weights(seen.any(axis=1), data.covariates, data.arm, n_arms=data.n_arms)
        weights = np.repeat(np.where(np.isnan(own), 1.0, own)[:, None], n_visits, axis=1)
        return [replace(data, y=filled, weights=weights)]
    if missing.kind == "reference":
        deviation = np.where(seen.all(axis=1), n_visits, seen.argmin(axis=1))
        copies = reference_based(
            data.y, data.arm, data.covariates, reference=int(missing.reference.removeprefix("arm")), method=missing.rule,
            deviation=deviation, **common,
        )  # fmt: skip
    else:
        model = joint_normal if missing.model == "joint_normal" else chained
        copies = model(data.y, data.arm, data.covariates, by_arm=missing.by_arm, **common)
    return [replace(data, y=copy) for copy in copies]


# --- what is tried ----------------------------------------------------------------------------------------------------


def one(kind: str, most: dict[int, int] | None = None, **options: Any) -> Method:
    return Method(kind, options, most=most or {})


def margin(kind: str, **options: Any) -> tuple[Method, ...]:
    """On the margin, both ways. The true value favours arm 1 by as much as the margin allows."""
    return tuple(Method(kind, options | {"hypothesis": name}) for name in ("non_inferiority", "equivalence"))


CORRECTIONS = ("none", "df", "kauermann_carroll", "mancl_derouen", "fay_graubard")
WORKINGS = ("independence", "exchangeable", "unstructured")
_DF = ("satterthwaite", "kenward_roger", "between_within", "normal")


def _most_of_gee(working: str, correction: str) -> dict[int, int]:
    if working != "exchangeable":
        return SECOND_GEE
    return {} if correction == "none" else DEAR_GEE


def _imputed(**options: Any) -> dict[str, Any]:
    return {"imputations": _COPIES, "covariates": ("x",), **options}


def _one_visit() -> list[Study]:
    return [
        Study("normal", worlds.normal, (
            one("t_test", equal_variance=True),
            one("t_test", equal_variance=False),
            *(one("ancova", variance=v) for v in ("model", "hc0", "hc3")),
            one("linear"),
        )),
        Study("unequal variance", worlds.unequal_variance, (
            one("t_test", equal_variance=False),
            one("t_test", equal_variance=True),
            *(one("ancova", variance=v) for v in ("model", "hc0", "hc3")),
        )),
        Study("binary", worlds.binary, (
            one("proportions"),
            *(one("chi_squared", correction=c) for c in (False, True)),
            *(one("logistic", variance=v) for v in ("model", "robust")),
        )),
        Study("log-linear risk", worlds.log_linear_risk, (one("log_binomial"), one("modified_poisson"))),
        Study("negative binomial", worlds.negative_binomial_counts, (
            one("counts", family="negative_binomial"), one("counts", family="quasi_poisson"))),
        Study("overdispersed", worlds.overdispersed_counts, (one("counts", family="quasi_poisson"),)),
        Study("compliers", worlds.compliers, tuple(
            Method("complier", {"method": m}, pairs=((0, 2),)) for m in ("two_stage", "ratio"))),
        Study("times", worlds.times, (
            one("log_rank"), one("cox", ties="efron"), one("cox", ties="breslow"), one("rmst", until_day=180.0))),
        Study("times at visits", worlds.times_at_visits, (
            one("log_rank"), one("cox", ties="efron"), one("cox", ties="breslow"), one("rmst", until_day=182.0))),
    ]  # fmt: skip


def _three_visits() -> list[Study]:
    binary = {"endpoint": "response", "working": "exchangeable"}
    imputation = {"kind": "imputation"}
    reference = {"kind": "reference", "reference": "arm1"}
    return [
        Study("repeated", worlds.repeated, (
            *(one("gee", _most_of_gee(w, c), working=w, correction=c) for w in WORKINGS for c in CORRECTIONS),
            one("linear"),
            one("linear", missing={"kind": "complete_cases"}),
            one("linear", missing={"kind": "pattern_mixture"}),
        ), n_visits=3),
        Study("repeated binary", worlds.repeated_binary, (
            *(one("gee", _most_of_gee("exchangeable", c), **binary, correction=c) for c in CORRECTIONS),
            one("modified_poisson"),
        ), n_visits=3),
        Study("dropout", worlds.dropout, (
            *(one("mmrm", df=df) for df in ("kenward_roger", "satterthwaite", "residual")),
            one("mmrm", df="kenward_roger", covariates_by_visit=True),
            one("linear", missing={"kind": "weights", "history": True}),
        ), n_visits=3),
        Study("dropout, imputed", worlds.dropout, (
            *(one("ancova", IMPUTED, missing=_imputed(**imputation, model=model)) for model in ("joint_normal", "chained")),
            *(one("ancova", IMPUTED, missing=_imputed(**reference, rule=rule))
              for rule in ("jump", "copy_reference", "copy_increment")),
        ), n_visits=3),
    ]  # fmt: skip


def _clusters() -> list[Study]:
    robust = tuple(one("cluster_robust", correction=c) for c in ("CR2", "CR1", "CR0"))
    person = {"cluster": "coach"}
    return [
        Study("12 coaches", worlds.coaches, (
            *(one("mixed", nested_arms=("arm0",), heteroscedastic=True, df=df) for df in _DF),
            one("mixed", nested_arms=("arm0",), heteroscedastic=False, df="satterthwaite"),
            *robust,
            one("cluster_means", weights="equal"), one("cluster_means", weights="size"),
            one("linear", **person),
        )),
        Study("12 coaches, repeated", worlds.coaches_repeated, (
            *(one("gee", DEAR_GEE, working="exchangeable", correction=c, **person) for c in CORRECTIONS),
            one("linear", **person),
        ), n_visits=3),
        Study("12 coaches, repeated binary", worlds.coaches_binary, (
            *(one("gee", DEAR_GEE, endpoint="response", working="exchangeable", correction=c, **person)
              for c in ("none", "mancl_derouen", "fay_graubard")),
            one("modified_poisson", **person),
        ), n_visits=3),
        Study("12 sites", worlds.sites, (
            *(one("mixed", cluster="site", df=df) for df in _DF), *robust, one("linear", cluster="site"))),
        Study("24 randomized clusters", worlds.randomized_clusters, (
            *(one("mixed", df=df) for df in _DF),
            *robust,
            *(one("cluster_means", weights=w, pooled=p) for w in ("equal", "size") for p in (False, True)),
            one("linear", **person),
        )),
    ]  # fmt: skip


def _margins() -> list[Study]:
    ratio = worlds.RATIO_MARGIN
    return [
        Study("mean on the margin", worlds.normal_margin, (
            *margin("ancova", margin=worlds.MEAN_MARGIN), *margin("t_test", margin=worlds.MEAN_MARGIN))),
        Study("risks on the margin", worlds.binary_margin, (
            *margin("proportions", margin=15.0),
            *margin("proportions", margin=ratio, margin_measure="risk ratio"),
            *margin("modified_poisson", margin=ratio),
            *margin("log_binomial", margin=ratio),
            *margin("logistic", margin=worlds.odds_margin(), margin_measure="odds ratio"),
        )),
        Study("hazards on the margin", worlds.times_margin, (
            *margin("cox", margin=ratio), *margin("log_rank", margin=ratio),
            *margin("rmst", margin=worlds.time_margin(), until_day=worlds.RESTRICTED_TO),
        )),
        Study("rates on the margin", worlds.counts_margin, margin("counts", margin=ratio)),
    ]  # fmt: skip


# --- families of hypotheses -------------------------------------------------------------------------------------------

_GRAPH = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
PROCEDURES: tuple[tuple[str, Procedure], ...] = (
    ("fixed sequence", multiplicity.fixed_sequence),
    ("fallback", multiplicity.fallback),
    ("serial gatekeeping", lambda p: multiplicity.gatekeeping(p, [[0], [1, 2]], kind="serial", procedure="holm")),
    ("parallel gatekeeping", lambda p: multiplicity.gatekeeping(
        p, [[0, 1], [2]], kind="parallel", procedure=["holm", "holm"], gamma=[0.5, 1.0])),
    ("graphical", lambda p: graphical(p, np.array([0.5, 0.25, 0.25]), _GRAPH)),
)  # fmt: skip


def _family(differs: tuple[int, ...]) -> Study:
    """Arms of which those with 1 differ plainly; the last is the control."""
    k = len(differs)
    every = tuple((a, b) for a in range(k) for b in range(a + 1, k))
    control = tuple((a, k - 1) for a in range(k - 1))
    t = {"equal_variance": True}
    methods = [Method("t_test", t | {"multiplicity": "lsd"}, every, True)]
    if k == 4:
        rules = ("bonferroni", "holm", "hochberg", "hommel", "dunnett", "dunnett_step_down")
        methods += [Method("t_test", t | {"multiplicity": rule}, control, True) for rule in rules]
        methods += [Method("t_test", t, control, True, procedure) for procedure in PROCEDURES]
    truth = "all equal" if not any(differs) else f"{sum(differs)} of {k - 1} differ from control"
    return Study(f"{k} arms, {truth}", worlds.Arms(differs), tuple(methods), n_arms=k)


def studies() -> list[Study]:
    """All of it, in the order of the table."""
    families = [(0, 0, 0), (1, 0, 0), (0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 0, 0)]
    return [*_one_visit(), *_three_visits(), *_clusters(), *_margins(), *(_family(differs) for differs in families)]


# --- what is known beforehand -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """Why the rate of some analyses is not the nominal one, up to a number of participants."""

    direction: str  # "liberal" or "conservative"
    data: str  # regular expressions, to be found in what they are about
    title: str
    tested: str
    most_n: float
    why: str

    def tells(self, data: str, title: str, tested: str, n: int, direction: str) -> bool:
        """Whether it explains this row."""
        about = zip((self.data, self.title, self.tested), (data, title, tested), strict=True)
        return self.direction == direction and n <= self.most_n and all(re.search(a, b) for a, b in about)


KNOWN: tuple[Known, ...] = ()
