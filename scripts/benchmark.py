#!/usr/bin/env python
"""How fast is trialsim? Everything is measured in one run, interleaved, and reported as medians, ranges and ratios.

    python scripts/benchmark.py [--quick] [--section NAME]

whole       replicates per second with all that a sweep does by default, beside the aims
peers       the same job by SimPy and by NumPy with statsmodels
where       where the time goes, by engine and size, and the floor: bare drawing and writing
engines     the two engines beside each other, with and without tables
analyses    analyses beside statsmodels on the same arrays, their estimates compared
sweep       two workers and one: rate, efficiency, memory, bytes (time by the clock)
curve       whole commands from 100 replicates to 100,000 (time by the clock)
library     every scenario: simulation, measures and analyses of a replicate, beside RESOLVE's

Times depend on the machine and its other work; compare the ratios. One linear-algebra thread.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version

from trialsim.experiments.threads import one_thread_per_worker

one_thread_per_worker()  # before NumPy starts

# Worker processes import this file: whatever it imports would count as theirs, so sections are imported when they run.
SECTIONS = {
    "whole": "benchmark_whole",
    "peers": "benchmark_peers",
    "where": "benchmark_whole",
    "engines": "benchmark_engines",
    "analyses": "benchmark_analyses",
    "sweep": "benchmark_sweep",
    "curve": "benchmark_curve",
    "library": "benchmark_library",
}
ROUNDS = {"engines": 7, "analyses": 7, "sweep": 3}
OTHER_ROUNDS = 5
SHOWN = ("numpy", "pyarrow", "simpy", "statsmodels")


def main(given: Sequence[str] | None = None) -> None:
    """Run some or all sections."""
    from benchmark_common import Effort

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny, in seconds: shows only that it runs")
    parser.add_argument("--section", choices=SECTIONS, help="only this part")
    parser.add_argument("--rounds", type=int, help="rounds of each measurement")
    options = parser.parse_args(given)
    print(f"Python {sys.version.split()[0]}", *(f"{name} {version(name)}" for name in SHOWN), sep=", ")
    for name in [options.section] if options.section else SECTIONS:
        rounds = options.rounds or (1 if options.quick else ROUNDS.get(name, OTHER_ROUNDS))
        section: Callable[[Effort], None] = getattr(import_module(SECTIONS[name]), name)
        section(Effort(rounds, options.quick))


if __name__ == "__main__":
    main()
