"""The scenario library as a list: what each scenario is, and its design, in one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trialsim.design.library import library
from trialsim.design.parts import Design
from trialsim.design.reader import read_design, read_file
from trialsim.report.layout import plural

ALLOCATIONS = {
    "simple": "simple randomization",
    "blocks": "permuted blocks",
    "minimization": "minimization",
    "biased_coin": "biased coin",
    "urn": "urn",
    "clusters": "randomized by cluster",
    "cohorts": "not randomized",
}


@dataclass(frozen=True)
class Entry:
    """A scenario in the list."""

    name: str
    title: str
    design: str
    """Arms, their ratio if it is not equal, allocation, participants."""
    extends: str
    """The scenario that it is a variant of; empty if its file stands on its own."""

    @property
    def what(self) -> str:
        """The title, and what it is a variant of."""
        return f"{self.title} (variant of {self.extends})" if self.extends else self.title


def catalogue() -> list[Entry]:
    """Every scenario of the library, in alphabetical order. Raises DesignError if a file is faulty."""
    return [_entry(name, path) for name, path in library().items()]


def _entry(name: str, path: Path) -> Entry:
    design, (_, *extended) = read_design(path), read_file(path).names
    return Entry(name, design.title or design.name, in_short(design), Path(extended[0]).stem if extended else "")


def in_short(design: Design) -> str:
    """'3 arms 2:1:1, permuted blocks, 300 participants'."""
    ratio = [design.allocation.ratio[arm] for arm in design.arms]
    arms = plural(len(ratio), "arm") + (f" {':'.join(map(str, ratio))}" if len(set(ratio)) > 1 else "")
    return f"{arms}, {ALLOCATIONS[design.allocation.kind]}, {plural(design.sample_size, 'participant')}"
