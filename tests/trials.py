"""One simulated trial read from its tables alone, as a second analyst would: no cut, no array of the library's."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd
from helpers import Array

from trialsim.block import Block
from trialsim.records import table


class Trial:
    """What the tables of one replicate say. N participants in order of randomization, V visits."""

    def __init__(self, block: Block, column: int = 0) -> None:
        self.design, self.block, self.column = block.world.design, block, column
        self.arms, self.visits = list(self.design.arms), list(self.design.visits)
        self.people = self._table("participants").set_index("participant")
        self.observations = self._table("observations")

    def _table(self, name: str) -> pd.DataFrame:
        return table(self.block, name, columns=[self.column]).to_pandas()

    def by_visit(self, outcome: str, column: str) -> Array:
        """A column of the observations (N, V), NaN where null."""
        mine = self.observations[self.observations["outcome"] == outcome].astype({"visit": str})
        wide = mine.pivot(index="participant", columns="visit", values=column)
        return wide.loc[self.people.index, self.visits].astype(float).to_numpy()

    def value(self, outcome: str) -> Array:
        return self.by_visit(outcome, "value")

    def baseline(self, outcome: str) -> Array:
        return self.people[f"baseline_{outcome}"].to_numpy()

    def y(self, outcome: str, endpoint: str) -> Array:
        """Change or response (N, V)."""
        if endpoint == "response":
            return self.by_visit(outcome, "responder")
        return self.value(outcome) - self.baseline(outcome)[:, None]

    @cached_property
    def arm(self) -> Array:
        return np.array([self.arms.index(arm) for arm in self.people["arm"]], dtype=np.int64)

    def covariates(self, outcome: str, names: tuple[str, ...]) -> Array:
        """(N, C): sites as indicators of all but the first."""
        columns: list[Array] = []
        for name in names:
            if name == "site":
                columns += [(self.people["site"] == s).to_numpy(float) for s in list(self.design.recruitment.sites)[1:]]
            else:
                columns.append(self.people[f"baseline_{outcome}" if name == "baseline" else name].to_numpy(float))
        return np.column_stack(columns) if columns else np.empty((len(self.people), 0))

    def cluster(self, kind: str) -> Array:
        """Numbers of clusters in order of appearance, -1 for who stands alone."""
        if kind == "person":
            return np.full(len(self.people), -1)
        if kind == "site":
            return pd.factorize(self.people["site"])[0].astype(np.int64)
        names = self.people["arm"].astype(str) + self.people["coach"].astype(str)
        numbers = pd.factorize(names)[0].astype(np.int64)
        return np.where(self.people["coach"].isna(), -1, numbers)

    # --- treatment ---

    @cached_property
    def planned(self) -> Array:
        """Sessions planned (N,)."""
        return np.array([self.design.n_sessions(arm) for arm in self.people["arm"]])

    @cached_property
    def attended(self) -> Array:
        """Sessions attended by each visit's due day (N, V), counted in the table of sessions."""
        days = self._table("sessions").dropna(subset="attended_day").groupby("participant")["attended_day"]
        mine = {person: group.to_numpy() for person, group in days}
        randomized = self.people["randomized_day"]
        return np.array(
            [
                [(mine.get(i, np.array([])) <= randomized[i] + v.day).sum() for v in self.design.visits.values()]
                for i in self.people.index
            ]
        )

    @cached_property
    def stopped(self) -> Array:
        """Whether sessions were left but none was attended after the visit (N, V)."""
        in_the_end = self.people["n_sessions"].to_numpy()[:, None]
        return (in_the_end < self.planned[:, None]) & (self.attended == in_the_end)

    # --- time to the first response ---

    def first_response(self, outcome: str) -> tuple[Array, Array, Array]:
        """Days and events of those who ever answered, and who they are (N,)."""
        responds, days = self.by_visit(outcome, "responder"), [v.day for v in self.design.visits.values()]
        ever = ~np.isnan(responds).all(axis=1)
        time, event = [], []
        for row in responds[ever]:
            hits = [day for day, hit in zip(days, row, strict=True) if hit == 1]
            answers = [day for day, hit in zip(days, row, strict=True) if not np.isnan(hit)]
            time.append(float(hits[0] if hits else answers[-1]))
            event.append(bool(hits))
        return np.array(time), np.array(event), ever
