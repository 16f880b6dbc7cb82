"""What can be moved on any design, in words for a class, and how each knob changes the design.

A knob at its own value leaves the design as it is, to the last digit; `turned` only does what was moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from trialsim.design.delivery import Group, Individual
from trialsim.design.outcomes import Score
from trialsim.design.parts import Arm, Design, Dials
from trialsim.errors import TrialsimError
from trialsim.report.layout import signed
from trialsim.teach import alike
from trialsim.teach.primary import primary_of

Value = float | int | str

AS_DESIGNED = "design"
DIAL = 0.8
"""Strength of the mechanisms `mar` and `mnar` [probit units of answering per SD of the outcome]."""
MOST_PARTICIPANTS = 20_000
MOST_STEPS = 500


class KnobError(TrialsimError):
    """A value that a knob cannot have, or knobs that do not go together; `where` names the knob."""

    def __init__(self, where: str, said: str) -> None:
        self.where = where
        super().__init__(said)


@dataclass(frozen=True)
class Choice:
    """One way a knob can stand."""

    value: str
    label: str


@dataclass(frozen=True)
class Knob:
    """One thing that can be moved; `value` is the design's own."""

    name: str
    label: str
    tip: str
    value: Value
    group: str
    low: float = 0.0
    high: float = 0.0
    step: float = 1.0
    unit: str = ""
    choices: tuple[Choice, ...] = ()

    def data(self) -> dict[str, Any]:
        """As the page reads it."""
        data: dict[str, Any] = {
            "name": self.name,
            "label": self.label,
            "tip": self.tip,
            "kind": "choice" if self.choices else "number",
            "value": self.value,
            "unit": self.unit,
            "group": self.group,
        }
        if self.choices:
            return data | {"choices": [{"value": one.value, "label": one.label} for one in self.choices]}
        return data | {"low": self.low, "high": self.high, "step": self.step}

    def checked(self, value: object) -> Value:
        """The value, if the knob can have it; a whole number where its step is whole. KnobError otherwise."""
        if self.choices:
            known = [one.value for one in self.choices]
            if not isinstance(value, str) or value not in known:
                raise KnobError(self.name, f"{self.label} must be one of: {', '.join(known)}.")
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise KnobError(self.name, f"{self.label} must be a number.")
        if not self.low <= value <= self.high:
            raise KnobError(self.name, f"{self.label} must be from {self.low:g} to {self.high:g}.")
        if self.step == int(self.step) and self.value == int(self.value):
            if value != int(value):
                raise KnobError(self.name, f"{self.label} must be a whole number.")
            return int(value)
        return float(value)


def number_knob(
    name: str, label: str, tip: str, group: str, *, value: float, low: float, high: float, steps: tuple[float, ...],
    unit: str = "",
) -> Knob:  # fmt: skip
    """A knob for a number: of the steps the largest that reaches its own value from its low end, ends rounded to it."""
    low, high = min(low, value), max(high, value)
    fitting = [step for step in steps if _divides(step, value - low) and _divides(step, high - low)]
    step = fitting[0] if fitting else steps[-1]
    return Knob(name, label, tip, value, group, low, high, step, unit)


def _divides(step: float, length: float) -> bool:
    return abs(length / step - round(length / step)) < 1e-9


# --- the knobs of a design --------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _knobs(document: str) -> tuple[Knob, ...]:
    design = Design.model_validate_json(document)
    parts = (_size, _recruitment, _effects, _starts, _dropout, _staff, _alike)
    return tuple(knob for part in parts for knob in part(design))


def knobs_of(design: Design) -> tuple[Knob, ...]:
    """Every knob that the design has, in the order of the page."""
    return _knobs(design.model_dump_json())


def knob_of(design: Design, name: str, **changed: Any) -> Knob:
    """One of them, with some of its fields changed (a lesson may want other limits or words)."""
    knob = next(one for one in knobs_of(design) if one.name == name)
    return Knob(**{**vars(knob), **changed})


def _size(design: Design) -> Iterator[Knob]:
    n = design.sample_size
    step = next(step for step in (10, 5, 2, 1) if n % step == 0) if n >= 50 else 1
    low, high = max(step, round(0.2 * n / step) * step), max(n, min(3 * n, MOST_PARTICIPANTS // step * step))
    tip = "How many people are randomized, in all arms together. More people make estimates more exact, and cost more."
    yield Knob("n", "Participants", tip, n, "Trial", low, high, step)


def _recruitment(design: Design) -> Iterator[Knob]:
    tip = "How fast people are found. 1: as the design plans; 2: twice as many people are asked each month."
    yield Knob("recruitment", "Recruitment rate", tip, 1.0, "Trial", 0.25, 3.0, 0.05, "× planned")


def _effects(design: Design) -> Iterator[Knob]:
    for name, arm in design.arms.items():
        if _has_effect(arm):
            tip = f"How well it works. 1: as the design states{_stated(design, arm)}; 0: not at all; 2: twice as well."
            yield Knob(
                f"effect_{name}", f"Effect: {arm.label or name}", tip, 1.0, "Effects", 0.0, 2.0, 0.05, "× planned"
            )


def _has_effect(arm: Arm) -> bool:
    found = [change for effect in arm.effects.values() for change in effect.by_visit.values()]
    return any(found) or any(taper.prob for taper in arm.tapers.values())


def _stated(design: Design, arm: Arm) -> str:
    """' (pain intensity -0.55 at 3 months, for who attends everything)', if there is such an effect."""
    primary = primary_of(design)
    effect = arm.effects.get(primary.outcome)
    if effect is None or not effect.by_visit.get(primary.visit):
        return ""
    what, when = design.outcomes[primary.outcome].label or primary.outcome, design.visits[primary.visit].label
    change = signed(effect.by_visit[primary.visit])
    return f" ({what} {change} at {when or primary.visit}, for somebody who attends everything)"


def _starts(design: Design) -> Iterator[Knob]:
    for name, arm in design.arms.items():
        if not design.n_sessions(name):
            continue
        tip = "Of 100 people who are offered it, how many would begin if there were no wait. Others get no sessions."
        yield number_knob(
            f"start_{name}", f"Start: {arm.label or name}", tip, "Attendance",
            value=_tidy(100 * arm.start_prob), low=0.0, high=100.0, steps=(1.0, 0.5, 0.2, 0.1), unit="%",
        )  # fmt: skip


def _tidy(x: float) -> float:
    """A percentage without the dust of binary fractions; one digit behind the point."""
    return float(round(x, 1))


def _dropout(design: Design) -> Iterator[Knob]:
    share = round(100 * (1 - _answering(design)))
    visit = primary_of(design).visit
    when = design.visits[visit].label or visit
    tip = (
        f"Of 100 people in the study, how many do not answer at {when} (about: who leaves the study comes on top). "
        "The other visits move along."
    )
    high = float(max(60, min(share + 10, 99)))
    yield Knob("dropout", "Not answering", tip, float(share), "Missing data", float(min(1, share)), high, 1.0, "%")
    tip = (
        "Why people do not answer. Completely at random: luck alone. Depends on what was seen: those whose last "
        "recorded value was bad answer less. Depends on what is not seen: those who do badly at the visit itself do."
    )
    known = [Choice(name, label) for name, label in _MECHANISMS.items() if name != AS_DESIGNED or not _by_luck(design)]
    own = known[0].value  # the design's own mechanism, which may be luck alone
    yield Knob("mechanism", "Why people do not answer", tip, own, "Missing data", choices=tuple(known))


_MECHANISMS = {
    AS_DESIGNED: "as the design states",
    "mcar": "completely at random",
    "mar": "depends on what was seen",
    "mnar": "depends on what is not seen",
}
_PLAIN: dict[str, Any] = {
    "motivation_on_frailty": 0.0,
    "covariates": {},
    "baseline": {},
    "attendance": 0.0,
    "current_value": {},
}
"""Observation in which nothing moves answering but arm, visit, and how readily a person answers."""


def _by_luck(design: Design) -> bool:
    """Whether nothing about a person moves answering."""
    observation = design.observation
    plain = all(getattr(observation, name) == value for name, value in _PLAIN.items())
    return plain and observation.dials == Dials()


def _answering(design: Design) -> float:
    """Mean over arms of the share who answer at the primary visit."""
    visit = primary_of(design).visit
    return sum(arm.response_prob[visit] for arm in design.arms.values()) / len(design.arms)


def _staff(design: Design) -> Iterator[Knob]:
    for name, arm in design.arms.items():
        label = arm.label or name
        if isinstance(arm.delivery, Individual):
            n = len(design.coaches(name))
            tip = "Staff who give sessions one to one. When all are full people wait, and those who wait start less."
            yield Knob(f"coaches_{name}", f"Coaches: {label}", tip, n, "Staff", 1, min(max(3 * n, 6), 1000), 1)
        if isinstance(arm.delivery, Group):
            n, least = arm.delivery.facilitators, arm.delivery.facilitators_per_group
            tip = "Staff who lead groups. With more of them more groups can run at once, and people wait less."
            high = min(max(3 * n, least + 4), 1000)
            yield Knob(f"facilitators_{name}", f"Group leaders: {label}", tip, n, "Staff", least, high, 1)


_ALIKE = {
    "clusters": ("ICC of clusters", "Clusters", "How alike people of one cluster (a clinic, a practice) are"),
    "coaches": ("ICC of staff", "Staff", "How alike people of one coach or group leader become"),
    "groups": ("ICC of groups", "Staff", "How alike people of one treatment group become"),
}


def _alike(design: Design) -> Iterator[Knob]:
    for sort, sds in alike.sorts(design).items():
        label, group, what = _ALIKE[sort]
        scale = "" if isinstance(design.outcomes[sds.outcome], Score) else " on the hidden scale behind the answers"
        tip = (
            f"{what}: the share of all differences between people{scale} that lies between them. 0: no more alike than "
            "any others. Trials with alike people tell less than their size suggests."
        )
        yield Knob(f"icc_{sort}", label, tip, sds.icc, group, 0.0, max(0.2, math.ceil(sds.icc * 20) / 20), 0.001)


# --- turning them -----------------------------------------------------------------------------------------------------


def turned(design: Design, values: Mapping[str, Value]) -> Design:
    """The design with knobs turned; names that are no knob of it, and knobs at their own value, change nothing.

    KnobError where the design cannot be so.
    """
    moved = [knob for knob in knobs_of(design) if knob.name in values and values[knob.name] != knob.value]
    if not moved:
        return design
    data = design.model_dump()
    for knob in moved:
        kind, _, rest = knob.name.partition("_")
        _TURNS[kind](data, design, rest, values[knob.name])
    try:
        return Design.model_validate(data)
    except ValidationError as error:
        name, said = moved[-1].name, error.errors(include_url=False, include_input=False)[0]["msg"]
        raise KnobError(name, f"these values do not go together: {said}.") from error


Data = dict[str, Any]


def _set_n(data: Data, design: Design, _: str, value: Any) -> None:
    data["sample_size"] = int(value)


def _set_recruitment(data: Data, design: Design, _: str, value: Any) -> None:
    for site in data["recruitment"]["sites"].values():
        site["rate_per_month"] *= value


def _set_effect(data: Data, design: Design, arm: str, value: Any) -> None:
    for effect in data["arms"][arm]["effects"].values():
        effect["by_visit"] = {visit: value * change for visit, change in effect["by_visit"].items()}
        effect["sd"] *= value
    for taper in data["arms"][arm]["tapers"].values():
        taper["prob"] = min(1.0, value * taper["prob"])


def _set_start(data: Data, design: Design, arm: str, value: Any) -> None:
    data["arms"][arm]["start_prob"] = value / 100


def _set_dropout(data: Data, design: Design, _: str, value: Any) -> None:
    """All inclinations to answer move by one shift, so that on average over arms the share is met."""
    visit = primary_of(design).visit
    shares = [arm.response_prob[visit] for arm in design.arms.values()]
    goal = min(max(1 - value / 100, 0.001), 0.999)

    def miss(shift: float) -> float:
        return float(sum(ndtr(ndtri(share) + shift) for share in shares)) / len(shares) - goal

    shift = brentq(miss, -12.0, 12.0, xtol=1e-10)
    for arm in data["arms"].values():
        probs = {at: float(ndtr(ndtri(prob) + shift)) for at, prob in arm["response_prob"].items()}
        arm["response_prob"] = {at: round(min(max(prob, 1e-6), 1 - 1e-6), 6) for at, prob in probs.items()}


def _set_mechanism(data: Data, design: Design, _: str, value: Any) -> None:
    """Nothing moves answering but what the mechanism names."""
    observation = data["observation"]
    observation |= {**_PLAIN, "dials": {}}
    if value == "mcar":
        return
    outcome = primary_of(design).outcome
    stated = design.outcomes[outcome]
    worse_is_lower = getattr(stated, "better_is_higher", stated.kind in ("binary", "ordinal", "event"))
    observation["dials"] = {value: -DIAL if worse_is_lower else DIAL, "outcome": outcome}


def _set_coaches(data: Data, design: Design, arm: str, value: Any) -> None:
    """A number of equal coaches, or the first of a list; of more than it has, more like its last."""
    delivery = data["arms"][arm]["delivery"]
    if isinstance(delivery["coaches"], int):
        delivery["coaches"] = int(value)
        return
    staff = list(delivery["coaches"])
    delivery["coaches"] = tuple(staff[: int(value)] + [staff[-1]] * (int(value) - len(staff)))


def _set_facilitators(data: Data, design: Design, arm: str, value: Any) -> None:
    data["arms"][arm]["delivery"]["facilitators"] = int(value)


def _set_icc(data: Data, design: Design, sort: str, value: Any) -> None:
    for outcome, changed in alike.at_icc(design, sort, float(value)).items():
        data["outcomes"][outcome] |= changed


_TURNS: dict[str, Callable[[Data, Design, str, Any], None]] = {
    "n": _set_n,
    "recruitment": _set_recruitment,
    "effect": _set_effect,
    "start": _set_start,
    "dropout": _set_dropout,
    "mechanism": _set_mechanism,
    "coaches": _set_coaches,
    "facilitators": _set_facilitators,
    "icc": _set_icc,
}
