"""What the parts of the benchmark share: how much is done, designs, and the spread of what was measured."""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trialsim.design.parts import Design
from trialsim.design.reader import digest, read_design
from trialsim.experiments.executors import crew
from trialsim.sweeps.drive import drive
from trialsim.sweeps.store import Store
from trialsim.sweeps.sweep import DesignPoint, Sweep

ADJUSTED = ["baseline", "female", "site", "rural", "multisite_pain", "mental_health"]
MMRM = {"kind": "mmrm", "outcome": "severity", "covariates": ADJUSTED}


@dataclass(frozen=True)
class Effort:
    """How often things are done; `quick` makes everything so small that it only shows that it runs."""

    rounds: int
    quick: bool = False

    def participants(self, n: int) -> int:
        """Sample size of a trial that should have n."""
        return 36 + n % 7 if self.quick else n

    def replicates(self, n: int) -> int:
        """How many instead of n."""
        return 4 if self.quick else n


@dataclass(frozen=True)
class Spread:
    """What several rounds gave."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def shown(self, form: str = ",.0f", times: float = 1.0) -> str:
        """Median and, of several rounds, the range."""
        low, middle, high = (format(times * x, form) for x in (min(self.values), self.median, max(self.values)))
        return f"{middle} ({low} to {high})" if len(self.values) > 1 else middle


def interleaved(work: Mapping[str, Callable[[int], float]], rounds: int) -> dict[str, Spread]:
    """What each gives in each round; all in turn, so that a slow moment of the machine hits all alike."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds):
        for name, one in work.items():
            found[name].append(one(number))
    return {name: Spread(tuple(values)) for name, values in found.items()}


def processor_rate(work: Callable[[], object], replicates: int) -> float:
    """Replicates per second of processor time."""
    started = time.process_time()
    work()
    return replicates / (time.process_time() - started)


# --- designs ----------------------------------------------------------------------------------------------------------


def resolve(n: int, *, more: Mapping[str, Any] | None = None) -> Design:
    """The whole of RESOLVE with n participants, its modified Poisson regression on observed data, and `more`."""
    data = read_design("resolve").model_dump()
    analyses = {"responders": data["analyses"]["responders"], **(more or {})}
    decisions = {"primary": data["decisions"]["primary"] | {"analysis": "responders"}}
    return Design.model_validate(data | {"sample_size": n, "analyses": analyses, "decisions": decisions})


def with_size(design: Design, n: int) -> Design:
    """The same with another sample size."""
    return Design.model_validate(design.model_dump() | {"sample_size": n})


# --- running as a sweep does ------------------------------------------------------------------------------------------


def sweep_of(design: Design, *, replicates: int, seed: int) -> Sweep:
    """A sweep with one design point."""
    return Sweep(
        name="benchmark",
        points=(DesignPoint(0, {}, design, digest(design), seed),),
        replicates=replicates,
        target_mcse=None,
        seed=seed,
        common_random_numbers=True,
        tables=(),
        text="",
    )


@contextmanager
def stored(sweep: Sweep) -> Iterator[Store]:
    """A new folder for a sweep, locked; it is removed in the end."""
    with tempfile.TemporaryDirectory() as place:
        store = Store.create(Path(place) / "sweep", sweep, command="benchmark")
        with store.locked():
            yield store


def run_here(store: Store) -> None:
    """All of a sweep in this process, as `trialsim sweep` does with one worker."""
    with crew("serial", 1) as hands:
        drive(store, hands)


def bytes_of(folder: Path) -> tuple[int, int]:
    """Bytes and number of a sweep's data files."""
    sizes = [path.stat().st_size for path in folder.glob("data/*/*/*.parquet")]
    return sum(sizes), len(sizes)


def peak_mb(pid: int | None) -> float:
    """Largest resident memory that a process ever had [MB]; NaN where the system does not say (not Linux)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return float("nan")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1000 if found else float("nan")


def lines(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns: the first to the left, the others to the right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  " + "  ".join(cells).rstrip())
