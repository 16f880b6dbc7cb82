"""Estimators of the user's own: a Python function that sees one trial's observed data as a table.

The function is called `function(data, info)`. `data` is a pandas DataFrame with a row per participant and the columns
`participant`, `arm`, `site`, `coach`, the covariates, `baseline_<outcome>`, and for every visit `<outcome>_<visit>`
(NaN where not known) and `sessions_<visit>` (attended by then). Where the design has randomized clusters or delivery
groups there are `cluster` and `group` (-1: none), for times to an event `time_<outcome>` and `event_<outcome>`. `info`
is an `Info`. The function returns an iterable of dictionaries, each with `contrast` ("coach - usual"), `visit`,
`estimate`, `std_error` and, if wanted, `df`, `ci_low`, `ci_high`, `p_value`, `n_used` (None and NaN count as not
given). A difference of two chances lies between -1 and 1; it is shown in percentage points. What the function does not
return, what cannot be right, and what it raises become rows with a reason.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trialsim.analysis.fits import Comparison, FitError, Pairs, no_reasons
from trialsim.analysis.inference import p_value
from trialsim.design.parts import Design
from trialsim.errors import TrialsimError
from trialsim.world.observation import ObservedData

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = ("estimate", "std_error", "df", "p_value", "ci_low", "ci_high")


@dataclass(frozen=True)
class Info:
    """What a user's function is told beside the data."""

    analysis: str
    outcome: str
    covariates: tuple[str, ...]
    arms: tuple[str, ...]
    visits: tuple[str, ...]
    contrasts: tuple[str, ...]
    alpha: float
    outcome_kind: str
    better: str  # which values of a score are better, lower or higher; empty where the outcome is no score
    responder_change: float  # NaN where the outcome is no score


def load(function: str) -> Callable[[pd.DataFrame, Info], Iterable[Mapping[str, Any]]]:
    """Import `module:function`; the current folder counts as a place of modules. TrialsimError if there is none."""
    module, _, name = function.partition(":")
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        raise TrialsimError(f"estimator '{function}' cannot be loaded: {_described(error)}.") from error
    finally:
        if added:
            sys.path.remove(here)
    if not callable(found):
        raise TrialsimError(f"estimator '{function}' is not a function.")
    return found


def observed_table(design: Design, data: ObservedData, r: int) -> pd.DataFrame:
    """One replicate's observed data as a table, one row per participant."""
    import pandas as pd

    rows = data.arm[r] >= 0
    arms, sites = np.array(list(design.arms)), np.array(list(design.recruitment.sites))
    columns: dict[str, Any] = {
        "participant": np.flatnonzero(rows),
        "arm": arms[data.arm[r][rows]],
        "site": sites[data.site[r][rows]],
        "coach": data.coach[r][rows],
    }
    if design.clusters is not None:
        columns["cluster"] = data.cluster[r][rows]
    if any(arm.delivery.kind == "group" for arm in design.arms.values()):
        columns["group"] = data.group[r][rows]
    measured = [name for name, outcome in design.outcomes.items() if outcome.has_baseline]
    columns |= {name: values[r][rows] for name, values in data.covariates.items()}
    columns |= {f"baseline_{name}": data.baseline[name][r][rows] for name in measured}
    columns |= {f"time_{name}": values[r][rows] for name, values in data.event_time.items()}
    columns |= {f"event_{name}": values[r][rows] for name, values in data.event.items()}
    for v, visit in enumerate(design.visits):
        columns |= {f"{name}_{visit}": values[r][rows][:, v] for name, values in data.value.items()}
        columns[f"sessions_{visit}"] = data.sessions[r][rows][:, v]
    return pd.DataFrame(columns)


def call(function: Any, table: pd.DataFrame, info: Info, pairs: Pairs, measure: str) -> Comparison:
    """One replicate's estimates by a user's function. Whatever it raises becomes a FitError."""
    n = len(table)
    try:
        given = {(str(row["contrast"]), str(row["visit"])): dict(row) for row in function(table, info)}
    except (Exception, SystemExit) as error:
        raise FitError(f"the function raised {_described(error)}") from error
    shape = (len(info.contrasts), len(info.visits))
    values = {name: np.full(shape, np.nan) for name in (*NUMBERS, "n_used")}
    reason = no_reasons(*shape)
    for p, contrast in enumerate(info.contrasts):
        for v, visit in enumerate(info.visits):
            try:
                row = _checked(given.get((contrast, visit)), n)
            except FitError as fault:
                row, reason[p, v] = {"n_used": n}, str(fault)
            for name, number in row.items():
                values[name][p, v] = number
    n_used = values.pop("n_used").astype(np.int64)
    own = p_value(values["estimate"], values["std_error"], values["df"])
    values["p_value"] = np.where(np.isnan(values["p_value"]), own, values["p_value"])
    return Comparison(measure, pairs, **values, n_used=n_used, reason=reason)


def _checked(row: Mapping[str, Any] | None, n: int) -> dict[str, float]:
    """The numbers of one row; FitError that says which of them cannot be right."""
    if row is None:
        raise FitError("the function gave nothing for it")
    found = {name: _number(row, name) for name in (*NUMBERS, "n_used")}
    for name, default in (("df", math.inf), ("n_used", n)):
        found[name] = default if math.isnan(found[name]) else found[name]
    if not (math.isfinite(found["estimate"]) and 0 < found["std_error"] < math.inf):
        raise FitError("the function gave no finite estimate with a standard error above 0")
    wrong = {
        "df": not found["df"] > 0,
        "p_value": found["p_value"] < 0 or found["p_value"] > 1,
        "ci_low": found["ci_low"] > found["ci_high"],
        "n_used": not 0 <= found["n_used"] <= np.iinfo(np.int32).max,
    }
    for name in (name for name, fault in wrong.items() if fault):
        raise FitError(f"the function's {name} cannot be right: {found[name]:g}")
    return found


def _number(row: Mapping[str, Any], name: str) -> float:
    given = row.get(name)
    try:
        return math.nan if given is None else float(given)
    except Exception as error:
        raise FitError(f"the function's {name} is not a number but {type(given).__name__}") from error


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
