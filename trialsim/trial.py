"""One simulated trial and its tables: what Python users hold in their hands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trialsim.analysis.plan import analyse_block
from trialsim.block import Block, EngineName, simulate_block
from trialsim.records import table, to_arrow
from trialsim.tables import SCHEMAS
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
