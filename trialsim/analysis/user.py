"""Estimators of the user's own: a Python function that sees one trial's observed data as a table.

The function is called `function(data, info)`. `data` is a pandas DataFrame with a row per participant and the columns
`participant`, `arm`, `site`, `coach`, the covariates, `baseline_<outcome>`, and for every visit `<outcome>_<visit>`
(NaN where not answered) and `sessions_<visit>` (attended by then). `info` is an `Info`. It returns an iterable of
dictionaries, each with `contrast` ("coach - usual"), `visit`, `estimate`, `std_error` and, if wanted, `df`, `ci_low`,
`ci_high`, `p_value`, `n_used`. What it does not return, and what it raises, become rows with a reason.
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
    responder_fall: float


def load(function: str) -> Callable[[pd.DataFrame, Info], Iterable[Mapping[str, Any]]]:
    """Import `module:function`; the current folder counts as a place of modules. TrialsimError if there is none."""
    module, _, name = function.partition(":")
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise TrialsimError(f"estimator '{function}' cannot be loaded: {error}.") from error
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
    columns |= {name: values[r][rows] for name, values in data.covariates.items()}
    columns |= {f"baseline_{name}": values[r][rows] for name, values in data.baseline.items()}
    for v, visit in enumerate(design.visits):
        columns |= {f"{name}_{visit}": values[r][rows][:, v] for name, values in data.value.items()}
        columns[f"sessions_{visit}"] = data.sessions[r][rows][:, v]
    return pd.DataFrame(columns)


def call(function: Any, table: pd.DataFrame, info: Info, pairs: Pairs, measure: str) -> Comparison:
    """One replicate's estimates by a user's function. Whatever it raises becomes a FitError."""
    try:
        given = {(str(row["contrast"]), str(row["visit"])): row for row in function(table, info)}
    except Exception as error:
        raise FitError(f"the function raised {type(error).__name__}: {error}") from error
    shape = (len(info.contrasts), len(info.visits))
    values = {name: np.full(shape, np.nan) for name in NUMBERS}
    n_used, reason = np.full(shape, len(table), dtype=np.int64), no_reasons(*shape)
    for p, contrast in enumerate(info.contrasts):
        for v, visit in enumerate(info.visits):
            row = given.get((contrast, visit))
            reason[p, v] = _fault(row)
            if row is not None and not reason[p, v]:
                for name in NUMBERS:
                    values[name][p, v] = float(row.get(name, math.inf if name == "df" else math.nan))
                n_used[p, v] = int(row.get("n_used", len(table)))
    own = p_value(values["estimate"], values["std_error"], values["df"])
    values["p_value"] = np.where(np.isnan(values["p_value"]), own, values["p_value"])
    return Comparison(measure, pairs, **values, n_used=n_used, reason=reason)


def _fault(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "the function gave nothing for it"
    estimate, error = row.get("estimate"), row.get("std_error")
    try:
        sound = math.isfinite(float(estimate)) and float(error) > 0  # type: ignore[arg-type]
    except (TypeError, ValueError):
        sound = False
    return "" if sound else "the function gave no finite estimate with a standard error above 0"
