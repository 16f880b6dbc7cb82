"""Trials with next to nothing in them: every row is an estimate with an error, or says why there is none."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from designs import coached, design, online, score, usual
from helpers import run
from hypothesis import given, settings
from hypothesis import strategies as st

from trialsim.analysis.estimates import NNT, Estimates
from trialsim.analysis.plan import estimate
from trialsim.analysis.truth import Truth, value_of
from trialsim.block import Block

X = ("baseline", "site", "female")
KINDS: dict[str, dict[str, Any]] = {
    "modified_poisson": {}, "linear": {}, "t_test": {}, "proportions": {}, "chi_squared": {}, "ancova": {},
    "logistic": {}, "log_binomial": {}, "gee": {}, "mmrm": {}, "mixed": {}, "cluster_robust": {}, "cluster_means": {},
    "log_rank": {}, "cox": {}, "rmst": {}, "counts": {}, "complier": {},
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "poisson_x": {"kind": "modified_poisson", "covariates": X, "cluster": "coach"},
    "linear_x": {"kind": "linear", "covariates": X, "cluster": "site"},
    "student": {"kind": "t_test", "equal_variance": True, "multiplicity": "hommel"},
    "newcombe": {"kind": "proportions", "interval": "newcombe"},
    "yates": {"kind": "chi_squared", "correction": True},
    "ancova_x": {"kind": "ancova", "covariates": X, "variance": "hc3"},
    "dunnett": {"kind": "ancova", "multiplicity": "dunnett", "contrasts": [["coach", "usual"], ["web", "usual"]]},
    "stepped": {
        "kind": "mmrm", "multiplicity": "dunnett_step_down", "contrasts": [["coach", "usual"], ["web", "usual"]],
    },
    "logistic_x": {"kind": "logistic", "covariates": X, "variance": "robust"},
    "log_binomial_x": {"kind": "log_binomial", "covariates": X},
    "gee_response": {"kind": "gee", "endpoint": "response", "working": "unstructured", "cluster": "coach"},
    "gee_corrected": {"kind": "gee", "covariates": X, "correction": "mancl_derouen"},
    "gee_sites": {"kind": "gee", "cluster": "site", "correction": "fay_graubard"},
    "mmrm_x": {"kind": "mmrm", "covariates": X, "df": "satterthwaite", "covariates_by_visit": True},
    "mixed_nested": {"kind": "mixed", "nested_arms": ["coach"], "heteroscedastic": True},
    "mixed_sites": {"kind": "mixed", "cluster": "site", "covariates": ["baseline"], "df": "kenward_roger"},
    "cr1": {"kind": "cluster_robust", "cluster": "site", "correction": "CR1"},
    "cluster_sizes": {"kind": "cluster_means", "weights": "size", "pooled": True, "covariates": ["baseline"]},
    "cox_x": {"kind": "cox", "covariates": X, "ties": "breslow"},
    "quasi": {"kind": "counts", "family": "quasi_poisson", "covariates": X},
    "ratio": {"kind": "complier", "method": "ratio", "endpoint": "response", "adherent": 2},
    "complier_x": {"kind": "complier", "covariates": X, "multiplicity": "holm"},
    "hypothetical": {"kind": "ancova", "estimand": "hypothetical"},
    "protocol": {"kind": "linear", "estimand": "per_protocol"},
    "on_treatment": {"kind": "gee", "estimand": "while_on_treatment"},
    "composite": {"kind": "logistic", "estimand": "composite"},
    "non_inferior": {"kind": "ancova", "hypothesis": "non_inferiority", "margin": 1.0, "multiplicity": "holm"},
    "equivalent": {"kind": "proportions", "hypothesis": "equivalence", "margin": 10.0, "multiplicity": "none"},
    "whole": {"kind": "linear", "missing": {"kind": "complete_cases"}},
    "whole_times": {"kind": "cox", "missing": {"kind": "complete_cases"}},
    "whole_counts": {"kind": "counts", "missing": {"kind": "complete_cases"}},
    "weights": {"kind": "linear", "missing": {"kind": "weights"}},
    "weights_x": {"kind": "logistic", "variance": "robust", "missing": {"kind": "weights", "covariates": X}},
    "weights_composite": {"kind": "modified_poisson", "estimand": "composite", "missing": {"kind": "weights"}},
    "joint": {"kind": "ancova", "missing": {"kind": "imputation", "imputations": 3}},
    "joint_cells": {"kind": "modified_poisson", "missing": {"kind": "imputation", "imputations": 3, "by_arm": False}},
    "chained": {"kind": "mmrm", "missing": {"kind": "imputation", "imputations": 3, "model": "chained"}},
    "jump": {"kind": "linear", "missing": {"kind": "reference", "reference": "usual", "imputations": 3}},
    "increments": {
        "kind": "t_test",
        "missing": {"kind": "reference", "reference": "coach", "rule": "copy_increment", "imputations": 3,
                    "delta": {"web": 1.0}},
    },
    "pattern": {"kind": "linear", "missing": {"kind": "pattern_mixture", "covariates": X}},
    "pattern_composite": {
        "kind": "modified_poisson", "estimand": "composite", "missing": {"kind": "pattern_mixture"},
    },
}  # fmt: skip
ANALYSES = {kind: {"kind": kind, **given} for kind, given in KINDS.items()} | VARIANTS


@cache
def trial(
    size: int, n_visits: int, n_sites: int, answers: float, spread: float, fall: float, start: float, sessions: int
) -> Block:
    """Three arms; the outcome has `spread`, falls by `fall`, and a share `answers`."""
    visits = {f"v{k}": {"day": 60 * k + 60, "closes": 20} for k in range(n_visits)}
    arm = {"response_prob": dict.fromkeys(visits, answers), "start_prob": start, "stop_prob": 0.3}
    sites = {f"s{k}": {"rate_per_month": 40.0} for k in range(n_sites)}
    return run(
        design(
            sample_size=size,
            recruitment={"sites": sites},
            visits=visits,
            covariates={"female": {"kind": "binary", "prob": 0.5}},
            outcomes={
                "pain": score(
                    mean=6.0, sd=spread, error_sd=spread / 2, change_sd=spread, course=dict.fromkeys(visits, -fall)
                )
            },
            arms={
                "coach": coached(sessions=sessions, arm=arm),
                "web": online(sessions=sessions, arm=arm),
                "usual": usual(response_prob=arm["response_prob"]),
            },
            analyses={name: {"outcome": "pain", **given} for name, given in ANALYSES.items()},
        ),
        n=3,
    )


TRIALS = st.builds(
    trial,
    size=st.sampled_from([2, 3, 4, 5, 6, 8, 10, 12, 30]),
    n_visits=st.integers(1, 3),
    n_sites=st.integers(1, 2),
    answers=st.sampled_from([0.01, 0.3, 0.7, 0.999]),
    spread=st.sampled_from([0.0, 0.05, 1.0, 3.0]),
    fall=st.sampled_from([0.0, 2.0, 6.0]),
    start=st.sampled_from([0.0, 0.5, 1.0]),
    sessions=st.sampled_from([2, 4]),
)


def faults(found: Estimates) -> list[str]:
    """What is wrong with the rows."""
    wrong = []
    for place, label in enumerate(found.labels):
        what = f"{label.analysis} {label.contrast} {label.visit} {label.measure}"
        for r in range(found.n_replicates):
            fault = _fault(found, r, place, label.measure)
            if fault:
                wrong.append(f"{what} replicate {r}: {fault}")
    return wrong


def _fault(found: Estimates, r: int, place: int, measure: str) -> str:
    names = ("estimate", "std_error", "df", "ci_low", "ci_high", "p_value", "significant")
    row = {name: float(getattr(found, name)[r, place]) for name in names}
    if bool(found.converged[r, place]) != (found.reason[r, place] == ""):
        return "converged and reason disagree"
    if not found.converged[r, place]:
        return "" if all(np.isnan(value) for value in row.values()) else f"failed, but {row}"
    wrong = {
        "estimate": not (np.isfinite(row["estimate"]) or (measure == NNT and not np.isnan(row["estimate"]))),
        "std_error": not (np.isnan(row["std_error"]) or 0 < row["std_error"] < np.inf),
        "nothing beside": bool(np.isnan([row["std_error"], row["ci_low"], row["p_value"]]).all()),
        "df": not (np.isnan(row["df"]) or row["df"] > 0),
        "interval": np.isnan(row["ci_low"]) != np.isnan(row["ci_high"]) or row["ci_low"] > row["ci_high"],
        "p_value": row["p_value"] < 0 or row["p_value"] > 1,
        "significant": row["significant"] not in (0.0, 1.0) and not np.isnan(row["significant"]),
        "n_used": found.n_used[r, place] <= 0,
    }
    return "; ".join(f"{name} in {row}" for name, bad in wrong.items() if bad)


def analysed(block: Block, name: str) -> Estimates:
    numbers = np.arange(block.n_replicates, dtype=np.int32)
    return estimate(block.world.design, name, block.observed, numbers, block.draws)


@settings(max_examples=150)
@given(block=TRIALS, name=st.sampled_from(list(ANALYSES)))
def test_every_row_is_sound_or_says_why_not(block: Block, name: str) -> None:
    assert faults(analysed(block, name)) == []


EXTREMES = {
    "two participants": {"size": 2},
    "nobody answers": {"answers": 1e-9},
    "constant outcome": {"spread": 0.0, "fall": 0.0},
    "all respond alike": {"spread": 0.0, "fall": 6.0},
    "no responder": {"fall": 0.0, "spread": 0.05},
    "nobody starts": {"start": 0.0},
    "one visit": {"n_visits": 1},
    "a trial of twelve": {"size": 12, "answers": 0.7},
    "an ordinary small trial": {},
}


@pytest.mark.parametrize("what", EXTREMES)
def test_extremes_of_every_kind(what: str) -> None:
    base: dict[str, Any] = {
        "size": 40, "n_visits": 2, "n_sites": 1, "answers": 0.9, "spread": 1.0, "fall": 2.0, "start": 0.8,
        "sessions": 4,
    }  # fmt: skip
    block = trial(**base | EXTREMES[what])
    wrong = [fault for name in ANALYSES for fault in faults(analysed(block, name))]
    assert wrong == []


def test_most_analyses_of_an_ordinary_small_trial_have_estimates() -> None:
    """Otherwise the checks above could be content with reasons alone."""
    block = trial(200, 2, 3, 0.8, 1.0, 2.0, 0.8, 2)
    found = {name: analysed(block, name).converged.mean() for name in ANALYSES}
    assert [name for name, share in found.items() if share < 0.3] == []


@pytest.mark.parametrize("name", ANALYSES)
def test_labels_do_not_depend_on_what_failed(name: str) -> None:
    """Blocks in which all failed can be put together with others."""
    sound, empty = trial(200, 2, 3, 0.8, 1.0, 2.0, 0.8, 2), trial(2, 2, 3, 1e-9, 0.0, 0.0, 0.0, 2)
    assert analysed(sound, name).converged.any()
    assert not analysed(empty, name).converged.any()
    assert analysed(sound, name).labels == analysed(empty, name).labels


@settings(max_examples=80)
@given(block=TRIALS, name=st.sampled_from(list(ANALYSES)))
def test_who_is_different_is_unknown_only_where_something_failed(block: Block, name: str) -> None:
    """A pair without a verdict has a failed row, its own or another of its visit, so that no power leaves it out."""
    found, analysis = analysed(block, name), block.world.design.analyses[name]
    asked = analysis.margin_measure or next((x.measure for x in found.labels if " - " in x.contrast), "")
    for place, label in enumerate(found.labels):
        if " - " not in label.contrast or label.measure == NNT or (analysis.margin and label.measure != asked):
            continue
        others = [k for k, x in enumerate(found.labels) if x.visit == label.visit]
        unknown = np.isnan(found.significant[:, place])
        assert found.converged[unknown][:, others].all(axis=1).sum() == 0


@settings(max_examples=40)
@given(block=TRIALS, name=st.sampled_from(list(ANALYSES)))
def test_the_truth_is_a_number_or_nan_without_a_warning(block: Block, name: str) -> None:
    estimates, truth = analysed(block, name), Truth(block, block.world.design.analyses[name])
    for label in estimates.labels:
        values = value_of(label.measure, truth.means(label))
        assert not np.isinf(values).any()
