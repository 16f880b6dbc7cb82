"""What replicates gave as Arrow tables: estimates, replicates, measures. Single runs and sweeps write the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trialsim.records import to_arrow
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
    failed = {failure.replicate: failure for failure in finished.failures}
    good = {int(replicate): place for place, replicate in enumerate(finished.replicates)}
    every = sorted([*failed, *good])

    def of_good(values: Any, missing: Any) -> list[Any]:
        return [values[good[r]] if r in good else missing for r in every]

    m = finished.measures
    nothing = np.empty(0)
    closing, last = m.get("calendar/closing_day", nothing), m.get("calendar/last_visit_day", nothing)
    return {
        "design_point": np.full(len(every), design_point, dtype=np.int32),
        "replicate": np.array(every, dtype=np.int32),
        "status": (np.array([int(r in failed) for r in every], dtype=np.int32), ["ok", "failed"]),
        "stage": pa.array(
            [failed[r].stage if r in failed else None for r in every], type=pa.string()
        ).dictionary_encode(),
        "error": pa.array([failed[r].error if r in failed else None for r in every], type=pa.string()),
        "n_randomized": pa.array([_whole(x) for x in of_good(m.get("randomized/all", []), None)], type=pa.int32()),
        "enrolment_days": pa.array([_whole(x, 1) for x in of_good(closing, None)], type=pa.int32()),
        "duration_days": pa.array([_whole(x, 1) for x in of_good(last, None)], type=pa.int32()),
        "cost": np.array(of_good(m.get("cost/total", []), np.nan), dtype=float),
        "digest": pa.array(of_good(finished.digests, None), type=pa.string()),
    }


def _whole(x: Any, plus: int = 0) -> int | None:
    return None if x is None or np.isnan(x) else int(x) + plus
