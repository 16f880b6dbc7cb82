"""Log-rank, Cox, restricted mean survival time and Kaplan-Meier against R's survival package and by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from trialsim.analysis.fits import FitError, TimesToEvent
from trialsim.analysis.survival import cox, kaplan_meier, log_rank, rmst

Array = NDArray[Any]

# R 4.2.2, survival 3.5.3. The data are those of `example` below.
R_CALL = """
library(survival); options(digits = 15)
i <- 0:89
d <- data.frame(time = 5 * (1 + (i * 37) %% 23) + 40 * (i %% 3 == 1), event = (i * 7) %% 5 != 0,
                arm = factor(i %% 3), x1 = ((i * 29) %% 17) / 4, x2 = as.numeric((i * i) %% 7 < 3))
s <- survdiff(Surv(time, event) ~ arm, d); print(s$chisq)
for (p in list(c(1,0), c(2,0), c(1,2))) {
  s <- survdiff(Surv(time, event) ~ arm == p[1], d[d$arm %in% p, ])
  cat(p, s$chisq, (s$obs - s$exp)[2], s$var[2, 2], pchisq(s$chisq, 1, lower.tail = FALSE), "\n")
}
for (ties in c("efron", "breslow")) {
  control <- coxph.control(eps = 1e-14, iter.max = 50)
  f <- coxph(Surv(time, event) ~ arm + x1 + x2, d, ties = ties, control = control)
  b <- coef(f)[1:2]; V <- vcov(f)[1:2, 1:2]; w <- c(b %*% solve(V, b))
  cat(ties, b, b[1] - b[2], sqrt(diag(V)), sqrt(V[1,1] + V[2,2] - 2 * V[1,2]), w, pchisq(w, 2, lower.tail = FALSE), "\n")
  f <- coxph(Surv(time, event) ~ arm, d, ties = ties, control = control); cat(coef(f), sqrt(diag(vcov(f))), "\n")
}
for (tau in c(60, 110, 115, 150)) print(summary(survfit(Surv(time, event) ~ arm, d), rmean = tau)$table[, 5:6])
k <- summary(survfit(Surv(time, event) ~ 1, d[d$arm == 2, ])); print(k$time); print(k$surv)
"""
PAIRS = ((1, 0), (2, 0), (1, 2))
LOG_RANK = np.array(
    [  # chi-squared, O - E, V, p
        [15.9885965004439, -11.2266087788529, 7.88291484308316, 6.3725174934763e-05],
        [0.131250786256615, 1.16694114261817, 10.3751883639963, 0.717138689774259],
        [17.7842189337218, -11.6485312332175, 7.62970138845722, 2.47426987415492e-05],
    ]
)
LOG_RANK_ALL_ARMS = 22.0543291131941
COX = {
    "efron": {
        "estimate": [-1.37818665077686, 0.101431578293972, -1.47961822907083],
        "std_error": [0.344175820198828, 0.290557141841668, 0.351687014816695],
        "global": [20.4735415746816, 3.58283604318693e-05],
        "unadjusted": [-1.3503267230816, 0.0952464123948684, 0.341706680260219, 0.289160515672155],
    },
    "breslow": {
        "estimate": [-1.29112495118563, 0.0954557567189138, -1.38658070790454],
        "std_error": [0.338379876613272, 0.290551096320699, 0.345088812532728],
        "global": [18.7805248858663, 8.3533530575587e-05],
        "unadjusted": [-1.26669768602401, 0.089634550371764, 0.336464085935369, 0.289182239633694],
    },
}
RMST = {  # means and standard errors of arms 0, 1, 2
    60: [48.8968344282157, 59.0, 47.7670565302144, 3.262280980409626, 0.596284793999944, 3.278605708655958],
    110: [68.2524719823827, 94.9956433726457, 65.7188192630603, 6.44056876245326, 3.92775508389686, 6.41110095320037],
    115: [68.7297996655927, 97.4290177785601, 65.9712905818932, 6.57119934951294, 4.27104973835183, 6.48542462318126],
    150: [68.7297996655927, 108.1358651645837, 65.9712905818932, 6.57119934951294, 6.27936694272905, 6.48542462318126],
}
STEPS = [0, 5, 10, 15, 20, 25, 30, 35, 45, 50, 60, 65, 75, 80, 85, 90, 95, 100, 105, 110, 115]
# fmt: off
SURVIVAL = [
    1, 0.966666666666667, 0.933333333333333, 0.898765432098765, 0.864197530864197, 0.829629629629630,
    0.757487922705314, 0.721417069243156, 0.645478430375455, 0.607509110941605, 0.567008503545498, 0.486007288753284,
    0.441824807957531, 0.397642327161778, 0.353459846366025, 0.302965582599450, 0.252471318832875, 0.201977055066300,
    0.100988527533150, 0.050494263766575, 0,
]
# fmt: on
TIES: list[Literal["efron", "breslow"]] = ["efron", "breslow"]


def example() -> TimesToEvent:
    i = np.arange(90)
    x = np.stack([((i * 29) % 17) / 4, (i * i % 7 < 3) * 1.0], axis=1)
    return TimesToEvent(5.0 * (1 + (i * 37) % 23) + 40.0 * (i % 3 == 1), (i * 7) % 5 != 0, i % 3, x, 3)


def of_arms(data: TimesToEvent, *arms: int) -> TimesToEvent:
    rows = np.isin(data.arm, arms)
    number = np.searchsorted(arms, data.arm[rows])
    return TimesToEvent(data.time[rows], data.event[rows], number, data.covariates[rows], len(arms))


# ------------------------------------------------------------------------------------------------- other software


def test_log_rank_of_survdiff() -> None:
    found = log_rank(example(), PAIRS)
    np.testing.assert_allclose((found.estimate / found.std_error)[:, 0] ** 2, LOG_RANK[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found.estimate[:, 0], LOG_RANK[:, 1] / LOG_RANK[:, 2], rtol=1e-12)
    np.testing.assert_allclose(found.std_error[:, 0], LOG_RANK[:, 2] ** -0.5, rtol=1e-12)
    np.testing.assert_allclose(found.p_value[:, 0], LOG_RANK[:, 3], rtol=1e-11)
    assert found.global_statistic is not None
    np.testing.assert_allclose(found.global_statistic, LOG_RANK_ALL_ARMS, rtol=1e-12)
    np.testing.assert_allclose(found.global_p, np.exp(-LOG_RANK_ALL_ARMS / 2), rtol=1e-11)
    assert found.n_used is not None
    assert found.n_used.tolist() == [[60], [60], [60]]


@pytest.mark.parametrize("ties", TIES)
def test_cox_of_coxph(ties: Literal["efron", "breslow"]) -> None:
    found, expected = cox(example(), PAIRS, ties=ties), COX[ties]
    np.testing.assert_allclose(found.estimate[:, 0], expected["estimate"], rtol=1e-11)
    np.testing.assert_allclose(found.std_error[:, 0], expected["std_error"], rtol=1e-11)
    z = np.divide(expected["estimate"], expected["std_error"])
    np.testing.assert_allclose(found.p_value[:, 0], 2 * norm.sf(abs(z)), rtol=1e-9)
    assert found.global_statistic is not None
    assert found.global_p is not None
    np.testing.assert_allclose([found.global_statistic[0], found.global_p[0]], expected["global"], rtol=1e-9)
    bare = cox(replace(example(), covariates=np.empty((90, 0))), PAIRS[:2], ties=ties)
    np.testing.assert_allclose([*bare.estimate[:, 0], *bare.std_error[:, 0]], expected["unadjusted"], rtol=1e-11)


@pytest.mark.parametrize("tau", RMST)
def test_restricted_mean_of_survfit(tau: int) -> None:
    found = rmst(example(), tau=tau)
    np.testing.assert_allclose(found.mean[:, 0], RMST[tau][:3], rtol=1e-12)
    np.testing.assert_allclose(np.sqrt(np.diag(found.cov)), RMST[tau][3:], rtol=1e-12)
    assert (found.cov[~np.eye(3, dtype=np.bool_)] == 0).all()
    assert found.n_cell.tolist() == [[30], [30], [30]]


def test_kaplan_meier_of_survfit() -> None:
    arm = of_arms(example(), 2)
    steps, survival = kaplan_meier(arm.time, arm.event)
    np.testing.assert_array_equal(steps, STEPS)
    np.testing.assert_allclose(survival, SURVIVAL, rtol=1e-13)


# -------------------------------------------------------------------------------------------------------- by hand


def test_log_rank_by_hand() -> None:
    """Arm 0: events at 2 and 3. Arm 1: event at 1, censored at 3. Risk sets of 4, 3 and 2."""
    data = TimesToEvent(
        np.array([2.0, 3.0, 1.0, 3.0]), np.array([True, True, True, False]), np.array([0, 0, 1, 1]), np.empty((4, 0)), 2
    )
    excess = 1 - (2 / 4 + 1 / 3 + 1 / 2)
    variance = 1 / 4 + 2 / 9 + 1 / 4
    found = log_rank(data, ((1, 0), (0, 1)))
    np.testing.assert_allclose(found.estimate[:, 0], [excess / variance, -excess / variance], rtol=1e-13)
    np.testing.assert_allclose(found.std_error[:, 0], variance**-0.5, rtol=1e-13)


def test_cox_by_hand() -> None:
    """Arm 1 has the first of two events among one and two: maximise b - log(e^b + 2) - log(2)."""
    time, event = np.array([1.0, 2.0, 3.0]), np.array([True, True, False])
    data = TimesToEvent(time, event, np.array([1, 0, 1]), np.empty((3, 0)), 2)
    # Score 1 - 2t / (2t + 1) - t / (t + 1) with t = e^b vanishes at 2 t^2 = 1.
    t = 0.5**0.5
    info = 2 * t / (2 * t + 1) ** 2 + t / (t + 1) ** 2
    found = cox(data, ((1, 0),))
    np.testing.assert_allclose(found.estimate, [[np.log(t)]], rtol=1e-12)
    np.testing.assert_allclose(found.std_error, [[info**-0.5]], rtol=1e-12)


def test_restricted_mean_by_default_ends_where_the_first_arm_ends() -> None:
    data = example()
    np.testing.assert_array_equal(rmst(data).mean, rmst(data, tau=115).mean)
    early = replace(data, event=data.event & (data.time < 100))
    assert rmst(early, tau=116).reason == ("follow-up in arm 0 ends before tau",)
    assert rmst(early).reason == ("",)


# ----------------------------------------------------------------------------------------------------- behaviour


def test_an_arm_without_events_is_the_limit_of_one_with_few() -> None:
    data = example()
    none = replace(data, event=data.event & (data.arm != 2))
    found, rest = cox(none, PAIRS), cox(of_arms(data, 0, 1), ((1, 0),))
    assert found.reason is not None
    assert found.reason[:, 0].tolist() == ["", "no events in arm 2", "no events in arm 2"]
    np.testing.assert_allclose(found.estimate[0], rest.estimate[0], rtol=1e-12)
    np.testing.assert_allclose(found.std_error[0], rest.std_error[0], rtol=1e-12)
    assert np.isnan(found.estimate[1:]).all()
    assert found.global_statistic is not None
    assert np.isnan(found.global_statistic).all()
    test = log_rank(none, PAIRS)
    assert np.isfinite(test.estimate).all()
    assert rmst(none, tau=60).reason == ("no events in arm 2 before tau",)


def test_other_monotone_likelihoods_do_not_converge() -> None:
    data = example()
    found = cox(replace(data, time=np.where(data.arm == 1, data.time, data.time + 500)), PAIRS)
    assert found.reason is not None
    assert found.reason[:, 0].tolist() == ["no convergence"] * 3
    assert np.isnan(found.p_value).all()
    perfect = replace(data, covariates=data.time[:, None])
    assert np.isnan(cox(perfect, PAIRS).estimate).all()


@pytest.mark.parametrize(
    ("covariates", "reason"),
    [
        (lambda d: (d.arm == 1)[:, None] * 2.5, "covariates are collinear"),
        (lambda d: np.full((90, 1), 0.1), "covariates are collinear"),
        (lambda d: d.covariates[:, [0, 0]], "covariates are collinear"),
        (lambda d: np.where(d.covariates > 2, np.inf, 1.0), "a covariate is not finite"),
    ],
)
def test_covariates_that_cannot_be_used(covariates: Any, reason: str) -> None:
    data = example()
    found = cox(replace(data, covariates=covariates(data)), PAIRS)
    assert found.reason is not None
    assert found.reason[:, 0].tolist() == [reason] * 3


def test_units_do_not_matter() -> None:
    data = example()
    one, other = cox(data, PAIRS), cox(replace(data, covariates=data.covariates * [1e-6, 1e9] + [0, 50]), PAIRS)
    np.testing.assert_allclose(other.estimate, one.estimate, rtol=1e-9)
    np.testing.assert_allclose(other.std_error, one.std_error, rtol=1e-9)
    years = rmst(replace(data, time=data.time / 365.25), tau=60 / 365.25)
    np.testing.assert_allclose(years.mean * 365.25, rmst(data, tau=60).mean, rtol=1e-12)


def test_an_empty_arm_and_no_events_at_all() -> None:
    data = replace(of_arms(example(), 0, 1), n_arms=3)
    for found in (log_rank(data, PAIRS), cox(data, PAIRS)):
        assert found.reason is not None
        assert found.reason[:, 0].tolist() == ["", "no participants in arm 2", "no participants in arm 2"]
        assert found.global_p is not None
        assert np.isnan(found.global_p).all()
    assert rmst(data).reason == ("no participants in arm 2",)
    nothing = replace(example(), event=np.zeros(90, dtype=np.bool_))
    assert "no events in arms 1 and 0" in str(log_rank(nothing, PAIRS).reason)
    assert kaplan_meier(nothing.time, nothing.event)[1].tolist() == [1.0]


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_impossible_times_are_refused(bad: float) -> None:
    data = example()
    time = np.where(np.arange(90) == 7, bad, data.time)
    wrong = replace(data, time=time)
    for call in (
        lambda: log_rank(wrong, PAIRS),
        lambda: cox(wrong, PAIRS),
        lambda: rmst(wrong),
        lambda: rmst(data, tau=bad),
        lambda: kaplan_meier(time, data.event),
    ):
        with pytest.raises(FitError, match="not finite and above 0"):
            call()


# ------------------------------------------------------------------------------------------------- type I error


N_REPLICATES = 1500
TOO_FAR = 4.5 * np.sqrt(0.05 * 0.95 / N_REPLICATES)


def rejections(hazard_ratio: float) -> Array:
    """How often log-rank, Cox (adjusted) and restricted means find a difference at .05; 120 participants."""
    rng = np.random.default_rng(20240608)
    arm = np.arange(120) % 2
    found = np.zeros(3)
    for _ in range(N_REPLICATES):
        x = rng.normal(size=(120, 1))
        time, end = rng.exponential(100 / hazard_ratio**arm), rng.uniform(100, 365, 120)
        data = TimesToEvent(np.ceil(np.minimum(time, end)), time <= end, arm, x, 2)
        means = rmst(data, tau=90)
        z = (means.mean[1, 0] - means.mean[0, 0]) / np.sqrt(np.trace(means.cov))
        p_values = [log_rank(data, ((1, 0),)).p_value[0, 0], cox(data, ((1, 0),)).p_value[0, 0], 2 * norm.sf(abs(z))]
        found += np.array(p_values) < 0.05
    return found / N_REPLICATES


def test_type_i_error() -> None:
    assert (np.abs(rejections(1.0) - 0.05) < TOO_FAR).all()


def test_type_i_error_is_seen_to_be_wrong_where_hazards_differ() -> None:
    assert (rejections(1.3) - 0.05 > TOO_FAR).all()
