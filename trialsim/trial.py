"""One simulated trial and its tables: what Python users hold in their hands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trialsim.analysis.estimates import RATIOS
from trialsim.analysis.fits import FitError
from trialsim.analysis.plan import analyse_block, estimate
from trialsim.analysis.reference_based import TippingPoint
from trialsim.analysis.reference_based import tipping_point as find_tipping_point
from trialsim.block import Block, EngineName, simulate_block
from trialsim.design.analysis_checks import measures_of
from trialsim.design.cards import card, facts_table, grid
from trialsim.records import funnel_counts, table, to_arrow
from trialsim.tables import SCHEMAS
from trialsim.world.draws import Draws
from trialsim.world.histories import Missing, Status
from trialsim.world.plans import DIED, WITHDREW
from trialsim.world.world import World

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from trialsim.design.parts import Design


@dataclass(frozen=True)
class TrialData:
    """One simulated trial and its tables."""

    block: Block
    column: int = 0

    @property
    def design(self) -> Design:
        """The design that was simulated."""
        return self.block.world.design

    @property
    def replicate(self) -> int:
        """Number of the replicate."""
        return self.block.first + self.column

    def table(self, name: str) -> pa.Table:
        """A table of DESIGN's list as Arrow: funnel, participants, sessions, observations, events, resources, truth.

        Raises KeyError for another name.
        """
        return table(self.block, name, columns=[self.column])

    @property
    def participants(self) -> pd.DataFrame:
        """One row per participant."""
        return self.table("participants").to_pandas()

    @property
    def sessions(self) -> pd.DataFrame:
        """One row per session that was scheduled."""
        return self.table("sessions").to_pandas()

    @property
    def observations(self) -> pd.DataFrame:
        """One row per participant, visit and outcome."""
        return self.table("observations").to_pandas()

    @property
    def events(self) -> pd.DataFrame:
        """The event log."""
        return self.table("events").to_pandas()

    def __repr__(self) -> str:
        n = int(self.block.histories.n_participants[self.column])
        return f"<trial {self.design.name}, replicate {self.replicate}, seed {self.block.draws.seed}: {n} participants>"

    def _repr_html_(self) -> str:
        title = self.design.title.strip() or self.design.name
        kind = f"simulated trial: replicate {self.replicate}, seed {self.block.draws.seed}, {self.block.engine} engine"
        return card(kind, title, [facts_table(self._calendar()), self._flow()])

    def _calendar(self) -> list[tuple[str, str]]:
        """How many, and when."""
        h, column = self.block.histories, self.column
        n = int(h.n_participants[column])
        contacted = next(int(people[column]) for step, _, people in funnel_counts(self.block) if step == "contacted")
        entered = h.randomized_day[:n, column]
        observed = self.block.follow.observed_day[:, :n, column]
        days = [("first participant", entered), ("last participant", entered), ("last answer", observed[observed >= 0])]
        dates = [
            (what, self._date(days.min() if what.startswith("first") else days.max()))
            for what, days in days
            if days.size
        ]
        return [("contacted", f"{contacted:,}"), ("participants", f"{n:,} of {self.design.sample_size:,}"), *dates]

    def _date(self, day: int) -> str:
        return f"{self.design.date_of(day).isoformat()} (day {day:,})"

    def _flow(self) -> str:
        """Participants by arm, from entering the trial to the last visit."""
        block, column = self.block, self.column
        h, names = block.histories, block.world.arms
        arm = h.arm[:, column]

        def counted(flags: NDArray[np.bool_]) -> list[str]:
            return [f"{int((flags & (arm == a)).sum()):,}" for a in range(len(names))]

        status, exits = h.status[:, column], h.exit_kind[:, column]
        rows = [["participants", *counted(arm >= 0)], ["attended a session", *counted(h.n_sessions[:, column] > 0)]]
        rows.append(["completed treatment", *counted(status == Status.COMPLETED)])
        rows += [["withdrew", *counted(exits == WITHDREW)], ["died", *counted(exits == DIED)]]
        for visit, missing in zip(block.world.visits, block.follow.missing, strict=True):
            rows.append([f"answered {visit}", *counted(missing[:, column] == Missing.ANSWERED)])
        return grid("Participants by arm", ["", *names], rows)


def simulate(design: Design, *, seed: int = 1, replicate: int = 0, engine: EngineName = "process") -> TrialData:
    """Simulate one trial.

    Raises EngineError for an unknown engine, ValueError for a negative seed or replicate.
    """
    if seed < 0 or replicate < 0:
        raise ValueError("seed and replicate must be 0 or more")
    return TrialData(simulate_block(World(design), seed=seed, first=replicate, n_replicates=1, engine=engine))


def analyse(trial: TrialData) -> pd.DataFrame:
    """The design's analyses of one simulated trial: one row per analysis, visit, contrast and measure, truth beside."""
    estimates = analyse_block(trial.block)
    frame = to_arrow(SCHEMAS["estimates"], estimates.columns()).to_pandas()
    return frame[frame["replicate"] == trial.replicate].reset_index(drop=True)


def tipping_point(
    trial: TrialData, *, analysis: str, contrast: str, visit: str, arm: str, furthest: float = 5.0
) -> TippingPoint:
    """By how much the missing of one arm must be worse than imputed before a contrast loses its significance.

    The analysis must impute (`missing` of kind imputation or reference); its delta in `arm` goes from 0 towards
    `furthest` [points], the other arms' stay as designed. The same luck is used at every delta. ValueError for an
    analysis that does not impute or a contrast that it does not have, FitError where a fit fails.
    """
    plan: Any = trial.design.analyses[analysis]
    if plan.missing.kind not in ("imputation", "reference"):
        raise ValueError(f"analysis '{analysis}' does not impute, so there is no delta to move.")
    replicate = np.array([trial.replicate], dtype=np.int32)
    block = trial.block
    data = block.observed.replicate(trial.column)
    draws = Draws(block.draws.seed, trial.replicate, 1)

    def effect_at(delta: float) -> tuple[float, float]:
        missing = plan.missing.model_copy(update={"delta": plan.missing.delta | {arm: delta}})
        analyses = {analysis: plan.model_copy(update={"missing": missing})}
        found = estimate(trial.design.model_copy(update={"analyses": analyses}), analysis, data, replicate, draws)
        measure = plan.margin_measure or measures_of(plan)[0]
        place = found.place(analysis=analysis, contrast=contrast, visit=visit, measure=measure)
        if place is None:
            raise ValueError(f"analysis '{analysis}' has no contrast '{contrast}' at visit '{visit}'.")
        if not found.converged[0, place]:
            raise FitError(str(found.reason[0, place]))
        value = found.estimate[0, place]
        return float(np.log(value) if measure in RATIOS else value), float(found.p_value[0, place])

    return find_tipping_point(effect_at, furthest=furthest, alpha=plan.alpha)
