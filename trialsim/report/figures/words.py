"""Words that figures share: names that people read, what bands are, where published values come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from trialsim.design.parts import Design
from trialsim.experiments.targets import Target
from trialsim.report.layout import number, plural

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


def arm_name(arm: str) -> str:
    """An arm's short name, as designs and tables have it."""
    return arm.replace("_", " ")


def contrast_label(design: Design, contrast: str) -> str:
    """'coach − usual' of 'coach - usual'; what is no arm stays as it is."""
    parts = contrast.split(" - ")
    return " − ".join(arm_name(part) if part in design.arms else part for part in parts)


def arms_in_full(design: Design, arms: Iterable[str] | None = None) -> str:
    """'coach: Health-coach CBT; usual: usual care.' of arms whose short names are used; empty where they say all."""
    names = design.arms if arms is None else arms
    said = [f"{arm_name(arm)}: {design.arms[arm].label}" for arm in names if design.arms[arm].label]
    return f"{'; '.join(said)}." if said else ""


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
        be = "is" if material.n_failed == 1 else "are"
        text += f" {plural(material.n_failed, 'replicate')} failed and {be} left out."
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
    more = f"; and {len(kinds) - 3} more (see trialsim compare)" if len(kinds) > 4 else ""
    told = "; ".join(kinds[: 3 if more else 4])
    text = (
        f"Published values: {told}{more}. The line through a published value is the range in which the simulated"
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
