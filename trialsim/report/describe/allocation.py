"""How participants come to arms, the clusters they belong to, and changes of the protocol, in words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trialsim.design.allocation import AtLeast, ClusterParts, Cohorts, Selection
from trialsim.design.parts import Change, Design
from trialsim.report.describe.phrases import chance, confounded, moved, share, when
from trialsim.report.layout import bullets, heading, listed, number, paragraph, plural

_DEFAULT_CLUSTERS = "clusters"


def allocation(design: Design) -> list[str]:
    """Kind, ratio and strata."""
    if len(design.arms) == 1:
        only = next(iter(design.arms))
        return [heading("Allocation"), paragraph(f"Everybody is in the one arm, {only}.")]
    plan: Any = design.allocation
    if plan.kind == "cohorts":
        return [heading("Allocation"), paragraph(_cohorts(design, plan)), paragraph(confounded(design))]
    who = _clusters_name(design).capitalize() if plan.kind == "clusters" else "Participants"
    text = f"{who} are randomized to {_ratio(design, plan.ratio)}, {_METHODS[plan.kind](design, plan)}."
    return [heading("Allocation"), paragraph(text)]


def _ratio(design: Design, ratio: dict[str, int]) -> str:
    return f"{listed(list(design.arms))} in the ratio {':'.join(str(ratio[arm]) for arm in design.arms)}"


def _blocks(design: Design, plan: Any) -> str:
    return f"{_of_sizes(plan.block_sizes)}, {_strata(design)}"


def _of_sizes(block_sizes: tuple[int, ...]) -> str:
    sizes = [str(size) for size in sorted(block_sizes)]
    each = " (each size with the same chance)" if len(sizes) > 1 else ""
    return f"in permuted blocks of {listed(sizes, 'or')}{each}"


def _minimization(design: Design, plan: Any) -> str:
    weights = plan.weights or (1,) * len(plan.strata)
    factors = [
        _factor(design, factor) + (f", weight {weight}" if len(set(weights)) > 1 else "")
        for factor, weight in zip(plan.strata, weights, strict=True)
    ]
    best = "goes for certain" if plan.best_prob == 1 else f"goes with a chance of {share(plan.best_prob)}"
    return (
        f"by minimization (Pocock and Simon): each participant {best} to the arm that leaves the arms most alike in"
        f" the {plan.imbalance} of their numbers among those of the participant's own level, added up over"
        f" {'; '.join(factors)}"
        f"{_parts(plan.ratio)}; arms that are equally good share the chance"
    )


def _parts(ratio: dict[str, int]) -> str:
    total = sum(ratio.values())
    return f", the ratio being made of {total} equal parts that count like arms" if total > len(ratio) else ""


def _biased_coin(design: Design, plan: Any) -> str:
    return (
        f"by a biased coin (Efron): where an arm lags behind it has a chance of {share(plan.coin_prob)}, which arms"
        f" that lag most share, the others the rest; where none lags chances follow the ratio; {_strata(design)}"
    )


def _urn(design: Design, plan: Any) -> str:
    balls, added = plural(plan.balls, "ball"), plural(plan.added, "ball")
    return (
        f"from an urn (Wei) that begins with {balls} for each part of the ratio and to which each draw adds {added} for"
        f" every part that was not drawn; {_strata(design)}"
    )


def _whole_clusters(design: Design, plan: Any) -> str:
    """Method of randomizing clusters."""
    looked_at = ", then ".join(plan.balance)
    total = sum(plan.ratio.values())
    method = {
        "simple": "each by chance alone",
        "stratified": "in numbers as even as can be within each site",
        "matched": f"within sets of {total} that are alike: at each site they are sorted by {looked_at}",
        "constrained": (
            f"constrained: of {number(plan.candidates)} random allocations with even numbers one of the"
            f" {share(plan.accepted_share)} best balanced on {listed(list(plan.balance))} is drawn"
        ),
    }[plan.method]
    return f"{method}; this is done before anybody is recruited, and participants have their cluster's arm"


_METHODS: dict[str, Callable[[Design, Any], str]] = {
    "simple": lambda design, plan: "each by chance alone",
    "blocks": _blocks,
    "minimization": _minimization,
    "biased_coin": _biased_coin,
    "urn": _urn,
    "clusters": _whole_clusters,
}


def _strata(design: Design) -> str:
    factors = design.allocation.strata
    if not factors:
        return "not stratified"
    n_levels = math.prod(len(design.recruitment.sites) if factor == "site" else 2 for factor in factors)
    crossed = " x ".join(_factor(design, factor) for factor in factors)
    return f"within {plural(n_levels, 'stratum', 'strata')}: {crossed}"


def _factor(design: Design, factor: str | AtLeast) -> str:
    if factor == "site":
        return f"site ({len(design.recruitment.sites)})"
    if isinstance(factor, str):
        return f"{factor} (no, yes)"
    value = number(factor.at_least)
    return f"{factor.outcome} at baseline (below {value}, {value} or more)"


def _cohorts(design: Design, plan: Cohorts) -> str:
    """Who comes to which cohort."""
    tendency, last = plan.tendency, list(design.arms)[-1]
    moves = [f"{name} ({_probits(slope)} per unit)" for name, slope in tendency.covariates.items() if slope]
    moves += [f"{name} at baseline ({_probits(slope)} per point)" for name, slope in tendency.baseline.items() if slope]
    moves += [f"motivation ({_probits(tendency.motivation)} per SD)"] if tendency.motivation else []
    shares = f"The arms are cohorts that are NOT randomized: {_ratio(design, plan.ratio)} on average"
    if not moves:
        return f"{shares}, by chance alone."
    order = f"; the higher the tendency, the later the arm in this order ({last} is the last)"
    return f"{shares}, before what people tend to: a normal tendency is moved by {listed(moves)}{order}."


def _probits(slope: float) -> str:
    return f"{'+' if slope > 0 else ''}{number(slope)} probit units"


# --- clusters -----------------------------------------------------------------------------------------------


def _clusters_name(design: Design) -> str:
    label = design.clusters.label.strip() if design.clusters else ""
    return label or _DEFAULT_CLUSTERS


def clusters(design: Design) -> list[str]:
    """Number, sizes, opening and selection of clusters; nothing where there are none."""
    parts = design.clusters
    if parts is None:
        return []
    texts = [f"{_numbers(design, parts)} {_sizes(parts)} {_opening(parts)}"]
    texts += [_selected(design, arm, selection) for arm, selection in parts.selection.items()]
    return [heading("Clusters"), *map(paragraph, texts)]


def _numbers(design: Design, parts: ClusterParts) -> str:
    sites, what = design.recruitment.sites, _clusters_name(design)
    if isinstance(parts.per_site, int):
        at = "at the one site" if len(sites) == 1 else f"at each of the {len(sites)} sites"
        return f"There are {parts.per_site * len(sites):,} {what}, {parts.per_site:,} {at}."
    by_site = listed([f"{parts.per_site[site]:,} at {site}" for site in sites])
    return f"There are {sum(parts.per_site.values()):,} {what}: {by_site}."


def _sizes(parts: ClusterParts) -> str:
    vary = f"differ with a coefficient of variation of {number(parts.size_cv)} (gamma)"
    expected = f"Their expected sizes {vary if parts.size_cv else 'are equal'}"
    if parts.recruitment == "even":
        return f"{expected}, and people are spread over a site's clusters as evenly as these allow."
    return f"{expected}, and which of a site's clusters a person belongs to is chance."


def _opening(parts: ClusterParts) -> str:
    if not parts.opening_days:
        return "All open with their site."
    over = f"over {plural(parts.opening_days, 'day')} from the site's opening"
    return f"They open one after another, in random order, {over}; people are contacted in open clusters only."


def _selected(design: Design, arm: str, selection: Selection) -> str:
    """Recruiting by people who know the arm."""
    outcome = next(iter(design.outcomes))
    text = f"Those who recruit in clusters of {arm} know the arm: {share(selection.prob)} of people"
    if not selection.severity or selection.prob in (0, 1):
        return f"{text} are asked and agree, whoever they are."
    above, below = (chance(moved(selection.prob, sign * selection.severity)) for sign in (1, -1))
    return (
        f"{text} at the mean level of {outcome} are asked and agree, {above} of those one SD above it and {below} of"
        " those one SD below. Arms so differ at baseline although clusters are randomized."
    )


# --- changes of the protocol --------------------------------------------------------------------------------


def changes(design: Design) -> list[str]:
    """What changes from which day on; nothing where nothing does."""
    if not design.changes:
        return []
    intro = "Reminders and answering change for the visits whose windows open from the day on."
    items = [_change(design, change) for change in design.changes]
    return [heading("Changes of the protocol"), paragraph(intro), bullets(items)]


def _change(design: Design, change: Change) -> str:
    texts = []
    if change.ratio is not None:
        sizes = f" {_of_sizes(change.block_sizes)}" if change.block_sizes else ""
        texts.append(f"those randomized from then on go to {_ratio(design, change.ratio)}{sizes}")
    for visit, days in change.reminders.items():
        due = design.visits[visit].day
        when_reminded = ", ".join(f"{due + day:,}" for day in days) or "none"
        texts.append(f"reminders of {visit} on day {when_reminded}")
    if change.answering:
        texts.append(f"the inclination to answer shifts by {_answering(design, change.answering)}")
    label = f" ({change.label.strip()})" if change.label.strip() else ""
    return f"From {when(design, change.starts)} on{label}: {'; '.join(texts) or 'nothing'}."


def _answering(design: Design, shift: float) -> str:
    arm, visit = list(design.arms)[-1], list(design.visits)[-1]
    prob = design.arms[arm].response_prob[visit]
    return f"{_probits(shift)}, in {arm} at {visit} from {share(prob)} to {chance(moved(prob, shift))}"
