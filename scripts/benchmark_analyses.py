"""How fast are the analyses, beside statsmodels on the same arrays? Their estimates are compared too."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from benchmark_common import Effort

from trialsim.analysis.cells import fit_cells
from trialsim.analysis.fits import Data, Floats
from trialsim.analysis.gee import gee
from trialsim.analysis.mixed import mixed
from trialsim.analysis.mmrm import mmrm
from trialsim.analysis.plan import estimate
from trialsim.analysis.regressions import ancova
from trialsim.block import simulate_block
from trialsim.design.parts import Design
from trialsim.design.reader import read_design
from trialsim.world.world import World


def repeated_data(n: int, rng: np.random.Generator) -> tuple[Data, Data]:
    """A replicate with three visits and 12 coaches in arm 0, a normal and a binary outcome; 15 % are missing."""
    arm, visits = np.arange(n) % 3, 3
    covariates = np.column_stack([rng.standard_normal(n), rng.random((n, 2)) < 0.5])
    coach = np.where(arm == 0, rng.integers(12, size=n), -1)
    shared = np.where(coach < 0, 0.0, 0.25 * rng.standard_normal(12)[coach]) + 0.7 * rng.standard_normal(n)
    y = (covariates @ [0.5, 0.3, 0.0] + shared)[:, None] + 0.7 * rng.standard_normal((n, visits))
    y[rng.random((n, visits)) < 0.15] = np.nan
    response = np.where(np.isnan(y), np.nan, y > 0.6)
    return Data(y, arm, covariates, coach, 3), Data(response, arm, covariates, coach, 3)


def without_clusters(data: Data) -> Data:
    return replace(data, cluster=np.full(len(data.arm), -1))


@dataclass(frozen=True)
class Long:
    """The same as one row per observation: a column per arm and visit, centred covariates, as statsmodels wants it."""

    y: Floats
    x: Floats
    person: Any
    visit: Any
    coach: Any
    in_arm: Floats  # one column per arm, and the covariates


def long_of(data: Data) -> Long:
    person, visit = np.nonzero(data.observed)
    arm, centred = data.arm[person], data.covariates - data.covariates.mean(axis=0)
    cells = ((arm * 3 + visit)[:, None] == np.arange(9)).astype(float)
    arms = (arm[:, None] == np.arange(3)).astype(float)
    x, in_arm = np.hstack([cells, centred[person]]), np.hstack([arms, centred[person]])
    return Long(data.y[person, visit], x, person, visit, data.cluster[person], in_arm)


def last_difference(means: Any) -> float:
    """Arm 0 minus arm 1 at the last visit, on the scale of the link."""
    return float(means.mean[..., 0, -1].ravel()[0] - means.mean[..., 1, -1].ravel()[0])


def of_cell_parameters(params: Floats) -> float:
    return float(params[2] - params[5])


@dataclass(frozen=True)
class Rival:
    """An analysis here and in statsmodels; each gives the difference of two arms at the last visit."""

    ours: Callable[[], float]
    theirs: Callable[[], float]
    same_model: bool = True
    note: str = ""


def _cells(data: Data, family: Any) -> float:
    parts = (data.arm, data.covariates, np.full(len(data.arm), -1))
    fit = fit_cells(data.y[None], data.observed[None], *(part[None] for part in parts), n_arms=3, family=family)
    return float(fit.cell[0, 0, -1] - fit.cell[0, 1, -1])


def rivals(n: int, seed: int = 1) -> dict[str, Rival]:
    """Analyses of one replicate of n participants x 3 visits, and the nearest thing in statsmodels."""
    import statsmodels.api as sm
    from statsmodels.genmod.cov_struct import Exchangeable
    from statsmodels.regression.mixed_linear_model import MixedLM

    normal, binary = repeated_data(n, np.random.default_rng(seed))
    alone, binary_alone = without_clusters(normal), without_clusters(binary)
    wide, wide_binary = long_of(normal), long_of(binary)

    def by_visit(fit: Callable[[Any], Any]) -> float:
        found = [fit(wide.visit == visit) for visit in range(3)]
        return float(found[-1].params[0] - found[-1].params[1])

    def least_squares() -> float:
        return by_visit(lambda rows: sm.OLS(wide.y[rows], wide.in_arm[rows]).fit())

    def poisson() -> float:
        model = sm.GLM(wide_binary.y, wide_binary.x, family=sm.families.Poisson())
        return of_cell_parameters(model.fit(cov_type="cluster", cov_kwds={"groups": wide_binary.person}).params)

    def equations(long: Long, family: Any) -> float:
        model = sm.GEE(long.y, long.x, groups=long.person, family=family, cov_struct=Exchangeable())
        return of_cell_parameters(model.fit(ddof_scale=0).params)

    def random_persons() -> float:
        return of_cell_parameters(MixedLM(wide.y, wide.x, groups=wide.person).fit(reml=True).fe_params)

    def random_coaches(group: Any) -> float:
        coached = (wide.coach >= 0).astype(float)[:, None]

        def fit(rows: Any) -> Any:
            model = MixedLM(wide.y[rows], wide.in_arm[rows], groups=group[rows], exog_re=coached[rows])
            return model.fit(reml=True)

        return by_visit(fit)

    own_group = np.where(wide.coach >= 0, wide.coach, 12 + wide.person)

    return {
        "ANCOVA at each visit": Rival(lambda: last_difference(ancova(alone)), least_squares),
        "modified Poisson, all visits": Rival(lambda: _cells(binary_alone, "poisson"), poisson),
        "GEE exchangeable": Rival(
            lambda: last_difference(gee(alone, family="gaussian", working="exchangeable")),
            lambda: equations(wide, sm.families.Gaussian()),
        ),
        "GEE exchangeable, logistic": Rival(
            lambda: last_difference(gee(binary_alone, family="binomial", working="exchangeable")),
            lambda: equations(wide_binary, sm.families.Binomial()),
            same_model=False,
            note="same model; here standardised as well, so estimates differ",
        ),
        "MMRM, Kenward-Roger": Rival(
            lambda: last_difference(mmrm(alone)),
            random_persons,
            same_model=False,
            note="statsmodels has no MMRM: a random intercept of persons, normal distribution",
        ),
        "mixed, coaches' intercepts": Rival(
            lambda: last_difference(mixed(normal, nested_arms=(0,))),
            lambda: random_coaches(own_group),
            note="each visit apart; statsmodels without degrees of freedom",
        ),
        "  the others gathered": Rival(
            lambda: last_difference(mixed(normal, nested_arms=(0,))),
            lambda: random_coaches(wide.coach),
            note="those without a coach in one group where nothing is random: 13 groups for statsmodels",
        ),
    }


def compare(n: int, rounds: int) -> dict[str, tuple[float, float, float, Rival]]:
    """Median processor seconds here and there, and the difference between the estimates."""
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    apart: dict[str, float] = {}
    all_rivals = rivals(n)
    for _ in range(rounds):
        for name, rival in all_rivals.items():
            found = []
            for work, seconds, times in ((rival.ours, ours, 5), (rival.theirs, theirs, 1)):
                started = time.process_time()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # statsmodels' optimiser
                    found.append([work() for _ in range(times)][-1])
                seconds.setdefault(name, []).append((time.process_time() - started) / times)
            apart[name] = abs(found[0] - found[1])
    return {
        name: (statistics.median(ours[name]), statistics.median(theirs[name]), apart[name], rival)
        for name, rival in all_rivals.items()
    }


def report_comparison(n: int, found: dict[str, tuple[float, float, float, Rival]]) -> None:
    print(f"\nAnalyses of one replicate, {n} participants x 3 visits: processor time, estimates apart")
    print(f"  {'':<30} {'here':>12} {'statsmodels':>12} {'ratio':>7} {'apart':>9}")
    for name, (ours, theirs, apart, rival) in found.items():
        times = f"{1000 * ours:9.2f} ms {1000 * theirs:9.1f} ms {theirs / ours:7.0f}"
        print(f"  {name:<30} {times} {apart:9.1e}  {rival.note}")


PLAN: dict[str, dict[str, Any]] = {
    "t test": {"kind": "t_test"},
    "ANCOVA": {"kind": "ancova"},
    "modified Poisson": {"kind": "modified_poisson"},
    "linear": {"kind": "linear"},
    "logistic": {"kind": "logistic"},
    "GEE": {"kind": "gee"},
    "GEE, logistic": {"kind": "gee", "endpoint": "response"},
    "MMRM": {"kind": "mmrm"},
    "mixed, coaches": {"kind": "mixed", "nested_arms": ["coach"]},
    "Cox": {"kind": "cox"},
    "ANCOVA, 20 imputations": {"kind": "ancova", "missing": {"kind": "imputation"}},
}


def shares(n: int, replicates: int) -> dict[str, float]:
    """Processor seconds per replicate of simulating RESOLVE and of each analysis in a plan with many."""
    base = read_design("resolve").model_dump() | {"sample_size": n, "decisions": {}}
    plan = {}
    for place, given in enumerate(PLAN.values()):
        covariates = {} if given["kind"] == "t_test" else {"covariates": ["baseline", "female", "site"]}
        plan[f"a{place}"] = {"outcome": "severity", **covariates, **given}
    design = Design.model_validate(base | {"analyses": plan})
    world, started = World(design), time.process_time()
    block = simulate_block(world, seed=1, first=0, n_replicates=replicates)
    seconds = {"simulation": (time.process_time() - started) / replicates}
    numbers = np.arange(replicates, dtype=np.int32)
    for key, name in zip(plan, PLAN, strict=True):
        started = time.process_time()
        estimate(design, key, block.observed, numbers, block.draws)
        seconds[name] = (time.process_time() - started) / replicates
    return seconds


def report_shares(n: int, seconds: dict[str, float]) -> None:
    total = sum(seconds.values())
    print(f"\nRESOLVE, N = {n}: where the time of a replicate goes if the plan has all of these")
    for name, value in seconds.items():
        print(f"  {name:<30} {1000 * value:9.2f} ms {value / total:6.1%}")


def analyses(effort: Effort) -> None:
    """One size by the analyses here and in statsmodels, and what each costs in a plan."""
    n = effort.participants(2331)
    report_comparison(n, compare(n, effort.rounds))
    report_shares(n, shares(n, 2 if effort.quick else 16))
