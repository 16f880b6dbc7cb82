"""The replicates that a report is about, and what several of its sections need of them."""

from __future__ import annotations

import platform
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trialsim import __version__
from trialsim.design.reader import digest
from trialsim.experiments.performance import Performance, mean_with_error, proportion_with_error
from trialsim.experiments.runner import Experiment, Failure
from trialsim.report.summary import Summary
from trialsim.report.summary_analyses import AnalysisText

if TYPE_CHECKING:
    from trialsim.block import EngineName
    from trialsim.experiments.measures import Floats
    from trialsim.report.figures.material import Material


class Run:
    """Replicates of one design: those just simulated, those of a results folder, or those of a sweep's design point."""

    def __init__(self, material: Material) -> None:
        self.material, self.design, self.world = material, material.design, material.world
        self.many, self.n = material.many, material.n_replicates

    @property
    def manifest(self) -> dict[str, Any]:
        """Of the results folder; empty where there is none."""
        return dict(self.material.results.manifest) if self.material.results is not None else {}

    @property
    def folder(self) -> str:
        """Name of the results folder; empty where there is none."""
        return Path(self.material.source).name if self.material.results is not None else ""

    @property
    def engine(self) -> EngineName:
        """By which the replicates were simulated."""
        name: EngineName = self.manifest.get("key", {}).get("engine", "vector")
        return name

    @cached_property
    def digest(self) -> str:
        """Of the design."""
        return digest(self.design)

    @cached_property
    def versions(self) -> dict[str, str]:
        """By which the replicates were simulated."""
        stored = self.manifest.get("versions")
        if stored:
            return {name: str(version) for name, version in stored.items()}
        return {"trialsim": __version__, "python": platform.python_version(), "numpy": np.__version__}

    # --- numbers ------------------------------------------------------------------------------------------------------

    def values(self, name: str) -> Floats:
        """A measure by replicate, (R,); NaN where there is none."""
        return self.material.measures.get(name, np.full(self.n, np.nan))

    def total(self, pattern: str) -> Floats:
        """Sum of a measure over the arms that have it, (R,)."""
        names = [pattern.format(arm) for arm in self.design.arms]
        return sum((self.values(name) for name in names if name in self.material.measures), np.zeros(self.n))

    @property
    def reached(self) -> tuple[float, float]:
        """Share of replicates that reach the sample size, and its Monte Carlo standard error."""
        hits = (self.values("randomized/all") >= self.design.sample_size).astype(float)
        return proportion_with_error(hits)[:2]

    def mean(self, name: str) -> float:
        """Mean of a measure."""
        return mean_with_error(self.values(name))[0]

    # --- analyses -----------------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> dict[str, list[Performance]]:
        """Performance by analysis."""
        found: dict[str, list[Performance]] = {name: [] for name in self.design.analyses}
        for row in self.material.performance:
            if row.label.analysis in found:
                found[row.label.analysis].append(row)
        return found

    @cached_property
    def decided(self) -> dict[str, list[Performance]]:
        """Chances by decision."""
        rows = self.material.decisions[0] if self.many else []
        return {name: [row for row in rows if row.label.measure == name] for name in self.design.decisions}

    @cached_property
    def experiment(self) -> Experiment:
        """The same replicates as `trialsim run` has them."""
        material = self.material
        return Experiment(
            design=self.design, seed=material.seed, engine=self.engine, replicates=material.replicates,
            measures=material.measures, estimates=material.estimates, digests=[], seconds=np.zeros(self.n),
            failures=self._failures(),
        )  # fmt: skip

    def _failures(self) -> list[Failure]:
        """Of a results folder; those of a run just made are refused before."""
        results = self.material.results
        if results is None or not self.material.n_failed:
            return []
        rows = results.arrow("replicates", self.material.point).to_pylist()
        return [Failure(row["replicate"], row["stage"], row["error"]) for row in rows if row["status"] == "failed"]

    @cached_property
    def summary(self) -> Summary:
        """What `trialsim run` says of them, section by section."""
        return Summary(self.experiment, skip_failed=self.material.skip_failed)

    def analysis_pieces(self) -> list[str]:
        """Of every analysis: its words and its tables."""
        text = AnalysisText(self.experiment, skip_failed=self.material.skip_failed, truths=None)
        if not self.many:
            return text.pieces()
        refused = self.material.refused
        return text.performances([(name, rows, refused.get(name, "")) for name, rows in self.rows.items()])
