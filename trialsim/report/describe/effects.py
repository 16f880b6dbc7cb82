"""What an arm does to outcomes, and who leaves the study, in words."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trialsim.design.delivery import NoDelivery
from trialsim.design.parts import Arm, Design, Effect
from trialsim.report.describe.outcomes import times
from trialsim.report.describe.phrases import at_visits, entry, in_order, points_at_visits, share
from trialsim.report.layout import listed, number, percent, plural
from trialsim.world.formulas import saturating_dose
from trialsim.world.world import World


def effects(world: World, arm: Arm) -> list[str]:
    """Effects, tapers, what comes from elsewhere, withdrawal: a paragraph each."""
    design = world.design
    texts = [_effects(design, arm), _tapers(arm), _from_elsewhere(design, arm), _withdrawal(world, arm)]
    return [text for text in texts if text]


def _changes(design: Design, effects: Mapping[str, Effect]) -> str:
    """'pain by -0.5 points at m3 (SD between participants 1) and mood by ...'; empty where nothing changes."""
    told = [
        f"{name} by {points_at_visits(in_order(design, effect.by_visit))}{_notes(design, name, effect)}"
        for name, effect in effects.items()
        if effect.sd or any(effect.by_visit.values())
    ]
    return ("; " if len(told) > 2 else " and ").join(told)


def _notes(design: Design, name: str, effect: Effect) -> str:
    """In brackets: factors where points are logarithms, and the spread between participants."""
    outcome = design.outcomes[name]
    by_visit = in_order(design, effect.by_visit)
    notes = [at_visits(by_visit, lambda shift: times(outcome, shift))] if times(outcome, 0) else []
    notes += [f"SD between participants {number(effect.sd)}"] if effect.sd else []
    return f" ({'; '.join(notes)})" if notes else ""


def _effects(design: Design, arm: Arm) -> str:
    changes = _changes(design, arm.effects)
    if not changes:
        return "" if arm.tapers else "It changes no outcome."
    return f"{'At full dose it' if _has_dose(arm) else 'It'} changes {changes}. {_dose(arm)}"


def _has_dose(arm: Arm) -> bool:
    return arm.dose != "assigned" and not isinstance(arm.delivery, NoDelivery)


def _dose(arm: Arm) -> str:
    if isinstance(arm.delivery, NoDelivery):
        return "Everybody in the arm has this effect."
    if arm.dose == "assigned":
        return "Everybody in the arm has the full effect, however many sessions they attend."
    if arm.dose == "components":
        return "The effect grows with the components attended by the visit, each in proportion and by its weight."
    planned = len(arm.delivery.modules)
    if planned == 1:
        return "Those who attend the one session by the visit have the full effect, the others none."
    some = sorted({n for n in (1, 2, planned // 2) if 0 < n < planned})
    doses = [f"{percent(_dose_of(arm, n), 0)} after {plural(n, 'session')}" for n in some]
    k = number(arm.dose_scale)
    curve = f"(1 - exp(-s/{k})) / (1 - exp(-{planned}/{k}))"
    grown = listed([*doses, f"100% after all {planned}"])
    return f"The effect grows with the sessions s attended by the visit, as {curve}: {grown}."


def _dose_of(arm: Arm, n: int) -> float:
    assert not isinstance(arm.delivery, NoDelivery)
    return float(saturating_dose(np.array(n), len(arm.delivery.modules), arm.dose_scale))


def _tapers(arm: Arm) -> str:
    texts = [
        f"It tapers {name}: {share(taper.prob)} of the users who attend all of it are off it {_within(taper.days)}, and"
        " a share in proportion to their dose of treatment of the others."
        for name, taper in arm.tapers.items()
    ]
    return " ".join(texts)


def _within(days: int) -> str:
    return f"{plural(days, 'day')} after the first session" if days else "from the first session on"


def _from_elsewhere(design: Design, arm: Arm) -> str:
    """Contamination and co-intervention."""
    texts = []
    if arm.contamination is not None:
        other = arm.contamination
        part = "the full effect" if other.dose == 1 else f"{share(other.dose)} of the full effect"
        texts.append(f"Contamination: {share(other.prob)} of its participants have {part} of {other.arm} too.")
    if arm.co_intervention is not None:
        changes = _changes(design, arm.co_intervention.effects) or "no outcome"
        texts.append(
            f"Co-intervention: {share(arm.co_intervention.prob)} of its participants have something else besides, which"
            f" changes {changes}."
        )
    return " ".join(texts)


def _withdrawal(world: World, arm: Arm) -> str:
    if not arm.withdrawal_prob:
        return "Nobody withdraws from the study."
    stops = ", which ends treatment too" if not isinstance(arm.delivery, NoDelivery) else ""
    withdraw = f"{share(arm.withdrawal_prob)} withdraw from the study by day {world.horizon}"
    return f"{withdraw} after {entry(world.design)}, at a constant rate{stops}."
