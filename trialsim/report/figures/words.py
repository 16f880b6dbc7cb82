"""Words that figures share: names that people read, what bands are, where published values come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from trialsim.design.parts import Design
from trialsim.experiments.targets import Target
from trialsim.report.layout import listed, number, plural

if TYPE_CHECKING:
    from trialsim.report.figures.material import Material

Z = 1.96
"""Half width of a 95 % interval in standard errors."""
PUBLISHED = "published"
BENCHMARK = "published without a randomized control"


def arm_label(design: Design, arm: str) -> str:
    """What people read of an arm."""
    return design.arms[arm].label or arm.replace("_", " ")


def visit_label(design: Design, visit: str) -> str:
    """What people read of a visit."""
    return design.visits[visit].label or visit


def outcome_label(design: Design, outcome: str) -> str:
    """What people read of an outcome."""
    return design.outcomes[outcome].label or outcome.replace("_", " ")


def contrast_label(design: Design, contrast: str) -> str:
    """'Coach − usual care' of 'coach - usual'; an arm or 'all arms' as it is."""
    parts = contrast.split(" - ")
    return " − ".join(arm_label(design, part) if part in design.arms else part for part in parts)


def of_trials(n: int) -> str:
    """'one simulated trial', '200 simulated trials'."""
    return "one simulated trial" if n == 1 else f"{n:,} simulated trials"


def about(material: Material, n: int | None = None) -> str:
    """Which trials a figure rests on, in a sentence for its caption."""
    n = material.n_replicates if n is None else n
    which = f"replicate {int(material.replicates[0])}" if material.n_replicates == 1 else plural(n, "replicate")
    text = f"Simulated: design {material.design.name}, {which}, seed {material.seed}."
    if 1 < n < material.n_replicates:
        text = (
            f"Simulated: design {material.design.name}, seed {material.seed}; the first {n:,} of "
            f"{plural(material.n_replicates, 'replicate')}, simulated again."
        )
    if material.n_failed:
        text += f" {plural(material.n_failed, 'replicate')} failed and {'is' if material.n_failed == 1 else 'are'} left out."
    return text


def plus_minus(value: float, mcse: float, digits: int = 1) -> str:
    """'26.9 (Monte Carlo SE 0.2)'; without an error the value alone."""
    if math.isnan(value):
        return "unknown"
    if math.isnan(mcse):
        return number(value, digits)
    return f"{number(value, digits)} (MCSE {number(mcse, max(digits, _decimals(mcse)))})"


def _decimals(error: float) -> int:
    return min(4, max(0, -math.floor(math.log10(error)))) if error > 0 else 0


def sources(targets: Iterable[Target]) -> str:
    """Where published values come from, and what their ranges are; empty where there are none."""
    used = list(targets)
    if not used:
        return ""
    kinds = list(dict.fromkeys(target.source for target in used))
    text = (
        f"Published values: {'; '.join(kinds)}. The line through a published value is the range in which the simulated"
        " mean counts as agreeing with it, not a confidence interval."
    )
    fitted = [target for target in used if target.kind == "fitted"]
    if fitted:
        what = "All of them" if len(fitted) == len(used) else f"{len(fitted)} of the {len(used)}"
        text += f" {what} were used to choose numbers of the design."
    if any(target.benchmark for target in used):
        text += " Hollow marks were published without a randomized control: they are no effects of randomization."
    return text


def sentences(parts: Sequence[str]) -> str:
    """Those that are not empty, one after the other."""
    return " ".join(part for part in parts if part)


__all__ = [
    "BENCHMARK", "PUBLISHED", "Z", "about", "arm_label", "contrast_label", "listed", "number", "of_trials", "outcome_label",
    "plural", "plus_minus", "sentences", "sources", "visit_label",
]  # fmt: skip
