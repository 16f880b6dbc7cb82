"""The same job by other means that pip installs, side by side and in the same run. Processor time of one process.

What each does and does not do is in `WORDS`. The others simulate a much simpler trial than RESOLVE: everybody who comes
is randomized, nobody waits for anything, nothing is kept. So the same simple trial is run by trialsim too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import simpy
import statsmodels.api as sm
from benchmark_common import Effort, interleaved, lines, processor_rate, resolve, run_here, stored, sweep_of
from numpy.typing import NDArray

from trialsim.block import EngineName, batches, simulate_block
from trialsim.design.parts import Design
from trialsim.world.world import World

Floats = NDArray[np.float64]

N_ARMS, COACHES, SITES = 3, 12, 4
VISIT_DAYS = (91, 183, 365)
EFFECTS = (-0.5, -0.6, 0.0)
WORDS = {
    "SimPy": "SimPy, a process per participant, numbers one by one: arrivals, blocks, three visits; data only",
    "arrays, one visit": "NumPy arrays; statsmodels at the last visit: Poisson GLM with sandwich, ANCOVA",
    "arrays, three visits": "the same at three visits: one GLM with a sandwich by person, three ANCOVAs",
    "simple, data": "trialsim, the simple trial, data only",
    "simple, whole": "trialsim, the simple trial, everything: modified Poisson and linear model at three visits, files",
    "process, data": "trialsim, RESOLVE (funnel, queue, sessions, letters), process engine, data only",
    "vector, data": "trialsim, RESOLVE, vector engine, data only",
    "vector, whole": "trialsim, RESOLVE, everything: measures, modified Poisson at three visits, truth, files",
}


# --- SimPy, as in a textbook ------------------------------------------------------------------------------------------


def simpy_trial(n: int, seed: int) -> list[tuple[int, int, int, int, float]]:
    """Rows (participant, arm, visit, day, value) of those who answered."""
    env, luck, rows = simpy.Environment(), random.Random(seed), list[tuple[int, int, int, int, float]]()
    envelopes = _envelopes(luck)

    def participant(number: int) -> Generator[simpy.Event, Any, None]:
        arm, level, start = next(envelopes), luck.gauss(6.0, 1.5), env.now
        for visit, day in enumerate(VISIT_DAYS):
            yield env.timeout(start + day + min(45.0, luck.expovariate(0.1)) - env.now)
            if luck.random() < 0.8:
                value = level - 0.8 + EFFECTS[arm] + luck.gauss(0.0, 1.0)
                rows.append((number, arm, visit, int(env.now), round(min(10.0, max(0.0, value)), 1)))

    def arrivals() -> Generator[simpy.Event, Any, None]:
        for number in range(n):
            yield env.timeout(luck.expovariate(3.0))
            env.process(participant(number))

    env.process(arrivals())
    env.run()
    return rows


def _envelopes(luck: random.Random) -> Iterator[int]:
    while True:
        block = 2 * list(range(N_ARMS))
        luck.shuffle(block)
        yield from block


# --- arrays and statsmodels -------------------------------------------------------------------------------------------


class Arrays:
    """A simple three-arm trial as arrays of participants (n,) and visits (n, 3); a quarter does not answer."""

    def __init__(self, n: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.day = rng.exponential(1 / 3, n).cumsum()
        blocks = np.tile(np.repeat(np.arange(N_ARMS), 2), (-(-n // (2 * N_ARMS)), 1))
        self.arm = rng.permuted(blocks, axis=1).ravel()[:n]
        site, female = rng.integers(SITES, size=n), rng.random(n) < 0.73
        self.baseline = np.clip(np.round(6.0 + 1.6 * rng.standard_normal(n), 1), 0, 10)
        coach = 0.17 * rng.standard_normal(COACHES)[rng.integers(COACHES, size=n)] * (self.arm == 0)
        level = self.baseline - 0.8 + np.array(EFFECTS)[self.arm] + coach + 0.7 * rng.standard_normal(n)
        self.y = np.clip(np.round(level[:, None] + rng.standard_normal((n, 3)), 1), 0, 10)
        self.y[rng.random((n, 3)) < 0.25] = np.nan
        self.covariates = np.column_stack([self.baseline, female, site[:, None] == np.arange(1, SITES)])
        self.arms = (self.arm[:, None] == np.arange(N_ARMS)).astype(float)

    def ancova(self, visit: int) -> Any:
        """Least squares of the change."""
        seen = ~np.isnan(self.y[:, visit])
        x = np.hstack([self.arms, self.covariates])[seen]
        return sm.OLS((self.y[:, visit] - self.baseline)[seen], x).fit()

    def poisson_at_last(self) -> Any:
        """Risk ratios at the last visit."""
        seen = ~np.isnan(self.y[:, -1])
        responds = (self.y[seen, -1] <= 0.7 * self.baseline[seen]).astype(float)
        x = np.hstack([self.arms, self.covariates])[seen]
        return sm.GLM(responds, x, family=sm.families.Poisson()).fit(cov_type="HC0")

    def poisson_at_all(self) -> Any:
        """Risk ratios at three visits from one model."""
        person, visit = np.nonzero(~np.isnan(self.y))
        responds = (self.y[person, visit] <= 0.7 * self.baseline[person]).astype(float)
        cells = ((self.arm[person] * 3 + visit)[:, None] == np.arange(9)).astype(float)
        model = sm.GLM(responds, np.hstack([cells, self.covariates[person]]), family=sm.families.Poisson())
        return model.fit(cov_type="cluster", cov_kwds={"groups": person})


def arrays_one_visit(n: int, seed: int) -> tuple[Any, ...]:
    """Data and analyses; what a user would keep is taken from the fits."""
    trial = Arrays(n, seed)
    fits = (trial.poisson_at_last(), trial.ancova(2))
    return tuple((fit.params, fit.bse) for fit in fits)


def arrays_three_visits(n: int, seed: int) -> tuple[Any, ...]:
    """The same at all visits."""
    trial = Arrays(n, seed)
    fits = (trial.poisson_at_all(), *(trial.ancova(visit) for visit in range(3)))
    return tuple((fit.params, fit.bse) for fit in fits)


# --- the same simple trial here ---------------------------------------------------------------------------------------


def simple_design(n: int) -> Design:
    """Everybody who comes is randomized; arms are names and effects."""
    visits = {f"v{day}": {"day": day} for day in VISIT_DAYS}
    analysis = {"outcome": "pain", "covariates": ["baseline", "female", "site"]}
    arms = {
        name: {
            "delivery": {"kind": "none"},
            "response_prob": dict.fromkeys(visits, 0.75),
            "effects": {"pain": {"by_visit": dict.fromkeys(visits, effect)}} if effect else {},
        }
        for name, effect in zip(("coach", "online", "usual"), EFFECTS, strict=True)
    }
    return Design.model_validate(
        {
            "name": "simple",
            "start_date": "2024-01-01",
            "sample_size": n,
            "max_enrolment_days": n + 60,
            "recruitment": {"sites": {f"site_{k}": {"rate_per_month": 23.0} for k in range(SITES)}},
            "funnel": {"enrolled": {}},
            "covariates": {"female": {"kind": "binary", "prob": 0.73}},
            "visits": visits,
            "outcomes": {
                "pain": {
                    "items": 10, "mean": 6.0, "sd": 1.5, "error_sd": 0.5, "change_sd": 1.0,
                    "course": dict.fromkeys(visits, -0.8), "responder_change": 0.3,
                }
            },
            "arms": arms,
            "allocation": {"kind": "blocks", "ratio": dict.fromkeys(arms, 1), "block_sizes": [6]},
            "analyses": {
                "responders": {"kind": "modified_poisson", **analysis},
                "change": {"kind": "linear", **analysis},
            },
        }
    )  # fmt: skip


# --- side by side -----------------------------------------------------------------------------------------------------


def _data(design: Design, engine: EngineName, replicates: int) -> Callable[[int], float]:
    world = World(design)
    size = min(replicates, batches(design, 0, replicates)[0][1])

    def rate(number: int) -> float:
        return processor_rate(
            lambda: simulate_block(world, seed=number, first=0, n_replicates=size, engine=engine), size
        )

    return rate


def _whole(design: Design, replicates: int) -> Callable[[int], float]:
    def rate(number: int) -> float:
        with stored(sweep_of(design, replicates=replicates, seed=number)) as store:
            return processor_rate(lambda: run_here(store), replicates)

    return rate


def _others(trial: Callable[[int, int], object], n: int, replicates: int) -> Callable[[int], float]:
    def rate(number: int) -> float:
        first = number * replicates
        return processor_rate(lambda: [trial(n, first + r) for r in range(replicates)], replicates)

    return rate


def peers(effort: Effort) -> None:
    """Both sizes."""
    for full in (2331, 300):
        n, many = effort.participants(full), effort.replicates(600_000 // full)
        few = effort.replicates(15_000 // full)
        work = {
            "SimPy": _others(simpy_trial, n, few),
            "arrays, one visit": _others(arrays_one_visit, n, 3 * few),
            "arrays, three visits": _others(arrays_three_visits, n, 3 * few),
            "simple, data": _data(simple_design(n), "vector", many),
            "simple, whole": _whole(simple_design(n), many),
            "process, data": _data(resolve(n), "process", max(1, few // 3)),
            "vector, data": _data(resolve(n), "vector", many),
            "vector, whole": _whole(resolve(n), many),
        }
        for one in work.values():
            one(1_000)  # first use
        rates = interleaved(work, effort.rounds)
        print(
            f"\nReplicates per second of processor time, N = {n}, one process (range of rounds); ratio to RESOLVE whole"
        )
        ours = rates["vector, whole"].median
        lines([(WORDS[name], rates[name].shown(",.1f"), f"{ours / rates[name].median:.2f}") for name in work])
