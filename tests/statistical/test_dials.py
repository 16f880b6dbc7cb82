"""Missing data by one number each: what is lost, and what analyses of the rest make of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from designs import THREE_VISITS, WIDE, busy, design, merged, online, score, usual
from helpers import Array, Z, agrees, differences, engine_differences, portrait, run, se_of_correlation, se_of_share
from scipy.stats import norm

from trialsim.analysis.estimates import Estimates
from trialsim.analysis.plan import analyse_block
from trialsim.block import Block, EngineName
from trialsim.design.parts import Design

N_REPLICATES = 128
Data = dict[str, Any]


def world(dials: Data, **parts: Any) -> Design:
    """Two arms, three visits; the outcome has no bounds and its mean falls by 0.3, in one arm by 0.3 more."""
    effect = {"pain": {"by_visit": dict.fromkeys(THREE_VISITS, -0.3)}}
    answers = dict.fromkeys(THREE_VISITS, 0.85)
    copies = {"kind": "imputation", "imputations": 4}
    x: Data = {"covariates": ["baseline"]}
    analyses = {
        "answered": {"kind": "t_test"},
        "complete": {"kind": "t_test", "missing": {"kind": "complete_cases"}},
        "linear": {"kind": "linear", **x},
        "weighted": {"kind": "linear", **x, "missing": {"kind": "weights"}},
        "mmrm": {"kind": "mmrm", **x, "df": "satterthwaite"},
        "joint": {"kind": "ancova", **x, "missing": copies},
        "chained": {"kind": "ancova", **x, "missing": {**copies, "model": "chained"}},
    }
    given: Data = {
        "sample_size": 200,
        "visits": THREE_VISITS,
        "outcomes": {
            "pain": score(**WIDE, sd=1.5, course=dict.fromkeys(THREE_VISITS, -0.3), change_sd=1.0, persistence=0.8)
        },
        "arms": {
            "web": online(sessions=1, arm={"effects": effect, "dose": "assigned", "response_prob": answers}),
            "usual": usual(response_prob=answers),
        },
        "observation": {"dials": dials},
        "analyses": {name: {"outcome": "pain", **one} for name, one in analyses.items()},
    }
    return design(**merged(given, **parts))


DIAL = 1.4
"""Fall of the inclination to answer per standard deviation [probit units]."""
WORLDS: dict[str, Data] = {
    "none": {},
    "mcar": {"mcar": 0.4},
    "mar": {"mar": DIAL, "arms": ["web"]},
    "mar in both arms": {"mar": DIAL},
    "mnar": {"mnar": DIAL, "arms": ["web"]},
}


@cache
def simulated(name: str) -> Block:
    return run(world(WORLDS[name]), n=N_REPLICATES, seed=5)


@cache
def analysed(name: str) -> Estimates:
    return analyse_block(simulated(name))


# --- what is lost -----------------------------------------------------------------------------------------------------


def test_mcar_loses_its_share_of_the_answers_and_no_others() -> None:
    """The same trial with and without the dial: among those who would answer, each loses with the same chance."""
    before, after = simulated("none").observed, simulated("mcar").observed
    would = before.observed & (before.arm >= 0)[:, :, None]
    assert not (after.observed & ~would).any()
    lost = would & ~after.observed
    n = int(would.sum())
    assert agrees(lost.sum() / n, 0.4, se_of_share(0.4, n))
    assert not agrees(lost.sum() / n, 0.4 * 1.05, se_of_share(0.4, n))
    for v in range(3):
        here = would[:, :, v]
        for score_of in (before.value["pain"][:, :, v], before.baseline["pain"], before.arm.astype(float)):
            r = np.corrcoef(lost[:, :, v][here], score_of[here])[0, 1]
            assert agrees(r, 0.0, se_of_correlation(0.0, int(here.sum())))
    both = would[:, :, 0] & would[:, :, 1]
    r = np.corrcoef(lost[:, :, 0][both], lost[:, :, 1][both])[0, 1]
    assert agrees(r, 0.0, se_of_correlation(0.0, int(both.sum())))


def inclinations(block: Block, *, by: str) -> tuple[Array, Array]:
    """Standardised score that a dial goes by, and who answered, of the dialled arm at every visit, (rows,)."""
    data, k = block.observed, 0
    outcome = block.world.design.outcomes["pain"]
    realised = block.outcomes.realised[k].transpose(2, 1, 0) / outcome.items + outcome.low
    last = data.baseline["pain"]
    scores, answered = [], []
    for v in range(3):
        goes_by = last if by == "last" else realised[:, :, v]
        mine = data.arm == 0
        scores.append((goes_by[mine] - outcome.mean) / outcome.sd)
        answered.append(data.observed[:, :, v][mine])
        last = np.where(data.observed[:, :, v], realised[:, :, v], last)
    return np.concatenate(scores), np.concatenate(answered)


def follows(scores: Array, answered: Array, slope: float) -> bool:
    """Whether answers have the chance Phi(Phi^-1(0.85) - slope x score), below, around and above the mean."""
    prob = norm.cdf(norm.ppf(0.85) - slope * scores)
    parts = np.digitize(scores, np.quantile(scores, [0.2, 0.4, 0.6, 0.8]))
    return all(
        abs((answered - prob)[parts == part].sum()) <= Z * np.sqrt((prob * (1 - prob))[parts == part].sum())
        for part in range(5)
    )


@pytest.mark.parametrize(("name", "by"), [("mar", "last"), ("mnar", "now")])
def test_mar_goes_by_the_value_recorded_last_and_mnar_by_the_value_itself(name: str, by: str) -> None:
    """Frailty is 0, so that visits are independent given the score."""
    scores, answered = inclinations(simulated(name), by=by)
    assert follows(scores, answered, DIAL)
    assert not follows(scores, answered, 0.9 * DIAL)
    assert not follows(*inclinations(simulated(name), by="now" if by == "last" else "last"), DIAL)


@pytest.mark.parametrize("name", ["mar", "mnar"])
def test_dials_work_in_their_arms_only(name: str) -> None:
    before, after = simulated("none").observed, simulated(name).observed
    usual_care = before.arm == 1
    assert np.array_equal(before.observed[usual_care], after.observed[usual_care])
    assert not np.array_equal(before.observed[~usual_care], after.observed[~usual_care])


@pytest.mark.parametrize("name", ["mcar", "mar", "mnar"])
def test_dials_change_nothing_but_answers(name: str) -> None:
    before, after = portrait(simulated("none"), 3), portrait(simulated(name), 3)
    changed = set(differences(before, after))
    assert "observed value" in changed
    assert changed <= {"observed value", "observed_day", "missing", "n_reminders", "events"}


def test_dials_at_zero_leave_every_number_as_it_was() -> None:
    zero = {"mcar": 0.0, "mar": 0.0, "mnar": 0.0, "outcome": "mood", "arms": ["coach"]}
    without, with_zeros = run(busy(), n=3), run(busy(observation={"dials": zero}), n=3)
    for k in range(3):
        assert differences(portrait(without, k), portrait(with_zeros, k)) == []


@pytest.mark.parametrize(
    "dials", [{"mcar": 0.3}, {"mar": 0.8, "outcome": "mood"}, {"mnar": -0.8, "arms": ["web", "usual"]}]
)
def test_engines_agree_with_dials_on(dials: Data) -> None:
    trial = busy(observation={"dials": dials | {"mcar": 0.1}})
    one, other = (run(trial, n=3, engine=engine) for engine in ENGINES)
    assert engine_differences(one, other) == []
    assert differences(portrait(one), portrait(run(busy(), n=3))) != []


ENGINES: tuple[EngineName, ...] = ("process", "vector")


# --- what analyses make of it -----------------------------------------------------------------------------------------


def bias(name: str, analysis: str, *, contrast: str = "web", visit: str = "m12") -> tuple[float, float]:
    """Mean of estimate minus truth, and its Monte Carlo standard error."""
    found = analysed(name)
    place = next(
        k for k, x in enumerate(found.labels) if (x.analysis, x.contrast, x.visit) == (analysis, contrast, visit)
    )
    sound = found.converged[:, place]  # weights may be separated by what they are modelled by
    assert sound.mean() > 0.95
    gap = found.estimate[sound, place] - found.truth[sound, place]
    return float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap)))


def unbiased(name: str, analysis: str, *, contrast: str = "web") -> bool:
    gap, error = bias(name, analysis, contrast=contrast)
    return abs(gap) <= Z * error


EVERY = ("answered", "complete", "linear", "weighted", "mmrm", "joint", "chained")


@pytest.mark.slow
@pytest.mark.parametrize("analysis", EVERY)
@pytest.mark.parametrize("contrast", ["web", "web - usual"])
def test_answers_lost_completely_at_random_bias_nothing(analysis: str, contrast: str) -> None:
    assert unbiased("mcar", analysis, contrast=contrast)


@pytest.mark.slow
@pytest.mark.parametrize("analysis", ["mmrm", "joint", "chained"])
def test_missing_at_random_does_not_bias_models_of_all_visits(analysis: str) -> None:
    for contrast in ("web", "web - usual"):
        assert unbiased("mar", analysis, contrast=contrast)


@pytest.mark.slow
@pytest.mark.parametrize("analysis", ["answered", "complete", "linear"])
def test_missing_at_random_biases_analyses_of_the_answers_alone(analysis: str) -> None:
    """Those with high values fall silent: those left have improved too much. The baseline is not enough: answers hang
    on the last one too, which working independence does not use."""
    gap, error = bias("mar", analysis)
    assert gap < -Z * error


@pytest.mark.slow
@pytest.mark.parametrize("analysis", EVERY)
def test_missing_not_at_random_biases_all(analysis: str) -> None:
    for contrast in ("web", "web - usual"):
        gap, error = bias("mnar", analysis, contrast=contrast)
        assert gap < -Z * error


@pytest.mark.slow
def test_weights_are_right_if_the_chance_of_answering_is_modelled_right() -> None:
    """The model has the same slopes in all arms; where the dial works in one arm alone, both arms' means are off."""
    for arm in ("web", "usual"):
        assert unbiased("mar in both arms", "weighted", contrast=arm)
        assert not unbiased("mar in both arms", "linear", contrast=arm)
        assert not unbiased("mar", "weighted", contrast=arm)


@pytest.mark.slow
def test_the_other_arm_is_met_in_every_world() -> None:
    """In it the dials do not work."""
    for name in ("none", "mcar", "mar", "mnar"):
        for analysis in ("answered", "complete", "mmrm", "joint", "chained"):
            assert unbiased(name, analysis, contrast="usual")
