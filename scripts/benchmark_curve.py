"""Whole commands on sweeps of more and more replicates: time by the clock, memory, bytes, files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmark_common import Effort, bytes_of, lines, peak_mb

ONE_POINT = "axes=[{grid: {sample_size: [300]}}]"
COMMAND = "from trialsim.cli.main import main; main()"
PERFORMANCE = "import sys, trialsim; trialsim.open_results(sys.argv[1]).performance()"
AFTER = ("resume", "status", "summarise", "performance()")
SAMPLED_EVERY = 0.05
"""Between two looks at the memory of processes [s]."""


@dataclass(frozen=True)
class Command:
    """Seconds by the clock, and the largest memory of the command itself and of a worker of it [MB]."""

    seconds: float
    mb: float
    worker_mb: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.mb:.0f} MB"


def command(code: str, *words: str) -> Command:
    """Run Python code with arguments; it must succeed. Its memory is looked at now and then until it ends."""
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL)
    own, workers = 0.0, 0.0
    while child.poll() is None:
        own = max(own, peak_mb(child.pid))
        workers = max([workers, *map(peak_mb, children(child.pid))])
        time.sleep(SAMPLED_EVERY)
    if child.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit code {child.returncode}")
    return Command(time.perf_counter() - started, own, workers)


def children(pid: int) -> list[int]:
    """Processes that a process (any of its threads) has started. Empty where the system does not say."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in listed.read_text("ascii").split()]
        except OSError:  # it has just ended
            continue
    return found


def on_curve(folder: Path, *words: str) -> dict[str, Command]:
    """Run a sweep, then what people do with its folder."""
    place = str(folder)
    return {
        "sweep": command(COMMAND, "sweep", "benchmark", "--out", place, "--workers", "2", *words),
        "resume": command(COMMAND, "resume", place),
        "status": command(COMMAND, "status", place),
        "summarise": command(COMMAND, "summarise", place),
        "performance()": command(PERFORMANCE, place),
    }


def curve(effort: Effort) -> None:
    """Whole commands, start of Python included, from 100 replicates of one design point to 100,000."""
    sizes = [16] if effort.quick else [100, 1_000, 10_000, 100_000]
    shapes = {(1, n): ["--set", ONE_POINT, "--set", f"replicates={n}"] for n in sizes}
    if not effort.quick:
        shapes[100, 200] = []
    print("\nWhole commands, two workers: seconds by the clock, largest memory of the command (of a worker of it)")
    rows: list[tuple[str, ...]] = [("points x replicates", "sweep", "replicates/s", "MB", "files", *AFTER)]
    for (points, n), words in shapes.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "sweep"
            found = on_curve(folder, *words)
            n_bytes, n_files = bytes_of(folder)
        made = found["sweep"]
        cells = [
            f"{made} ({made.worker_mb:.0f})",
            f"{points * n / made.seconds:,.0f}",
            f"{n_bytes / 1e6:.1f}",
            f"{n_files}",
        ]
        rows.append((f"{points} x {n}", *cells, *(str(found[name]) for name in AFTER)))
    lines(rows)
