"""As-treated analysis, an estimator as a user would write it: who attended against who did not, whatever the arm.

A lesson shows what is wrong with it; the command line can run it too (`kind: user`, docs/analyses.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from trialsim.analysis.user import Info


def as_treated(data: pd.DataFrame, info: Info) -> Iterator[dict[str, Any]]:
    """Mean change of who attended a session by the visit minus that of everybody else; unequal variances."""
    for contrast in info.contrasts:
        for visit in info.visits:
            change = (data[f"{info.outcome}_{visit}"] - data[f"baseline_{info.outcome}"]).to_numpy()
            attended = data[f"sessions_{visit}"].to_numpy() > 0
            treated, others = (change[who & (change == change)] for who in (attended, ~attended))
            variance = treated.var(ddof=1) / len(treated) + others.var(ddof=1) / len(others)
            yield {
                "contrast": contrast,
                "visit": visit,
                "estimate": treated.mean() - others.mean(),
                "std_error": variance**0.5,
                "n_used": len(treated) + len(others),
            }
