"""What replicates gave as Arrow tables: estimates, replicates, measures. Single runs and sweeps write the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trialsim.records import arrow, to_arrow
from trialsim.tables import SCHEMAS

if TYPE_CHECKING:
    from trialsim.analysis.estimates import Estimates
    from trialsim.experiments.runner import Failure

ALWAYS = ("estimates", "measures", "replicates")


class Finished(Protocol):
    """Consecutive replicates that were run; failed ones are only in `failures`."""

    @property
    def replicates(self) -> NDArray[np.int32]: ...
    @property
    def measures(self) -> Mapping[str, NDArray[np.float64]]: ...
    @property
    def estimates(self) -> Estimates | None: ...
    @property
    def digests(self) -> list[str]: ...
    @property
    def failures(self) -> list[Failure]: ...


def result_tables(finished: Finished, *, design_point: int = 0) -> dict[str, pa.Table]:
    """The tables of `ALWAYS`, in that order; no estimates where nothing was analysed."""
    tables = {}
    if finished.estimates is not None and finished.estimates.labels:
        tables["estimates"] = to_arrow(SCHEMAS["estimates"], finished.estimates.columns(design_point=design_point))
    tables["measures"] = _measures(finished, design_point)
    tables["replicates"] = to_arrow(SCHEMAS["replicates"], _replicates(finished, design_point))
    return tables


def _measures(finished: Finished, design_point: int) -> pa.Table:
    """Measure after measure, so that equal numbers stand together: half the bytes of replicate after replicate."""
    names, n = list(finished.measures), len(finished.replicates)
    values = np.stack([finished.measures[name] for name in names]) if names else np.empty((0, n))
    frame = {
        "design_point": np.full(values.size, design_point, dtype=np.int32),
        "measure": (np.repeat(np.arange(len(names), dtype=np.int32), n), names),
        "replicate": np.tile(finished.replicates, len(names)),
        "value": values.ravel(),
    }
    return to_arrow(SCHEMAS["measures"], frame)


def _replicates(finished: Finished, design_point: int) -> dict[str, Any]:
    failures = finished.failures
    every = np.concatenate([finished.replicates, np.array([one.replicate for one in failures], dtype=np.int32)])
    order, n, m = np.argsort(every), len(finished.replicates), finished.measures

    def measured(name: str, plus: int = 0) -> NDArray[np.float64]:
        """NaN for those that failed."""
        values = np.full(len(every), np.nan)
        values[:n] = m[name] if n else ()
        return values[order] + plus

    def told(of_good: list[Any], of_failed: list[Any]) -> pa.Array:
        return pa.array([*of_good, *of_failed], type=pa.string()).take(pa.array(order))

    nobody: list[Any] = [None] * n
    return {
        "design_point": np.full(len(every), design_point, dtype=np.int32),
        "replicate": every[order],
        "status": ((order >= n).astype(np.int32), ["ok", "failed"]),
        "stage": told(nobody, [one.stage for one in failures]).dictionary_encode(),
        "error": told(nobody, [one.error for one in failures]),
        "n_randomized": _wholes(measured("randomized/all")),
        "enrolment_days": _wholes(measured("calendar/closing_day", plus=1)),
        "duration_days": _wholes(measured("calendar/last_visit_day", plus=1)),
        "cost": measured("cost/total"),
        "digest": told(finished.digests, [None] * len(failures)),
    }


def _wholes(values: NDArray[np.float64]) -> pa.Array:
    nothing = np.isnan(values)
    return arrow(np.where(nothing, 0, values).astype(np.int32), nothing)
