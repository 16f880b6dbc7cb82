"""What an arm does to latent levels: effects by dose, staff and groups, other arms' effects, other treatment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trialsim.design.parts import Arm, Effect
from trialsim.world import formulas
from trialsim.world.draws import Draws
from trialsim.world.formulas import Floats
from trialsim.world.held import Held
from trialsim.world.plans import Plan
from trialsim.world.streams import Stream
from trialsim.world.traits import joint_normals
from trialsim.world.world import World


@dataclass(frozen=True)
class ArmEffects:
    """What one arm does to everybody, were they in it; by number of the outcome where it is an array of its own."""

    world: World
    arm: Arm
    held: Held
    luck: list[Floats]  # (N, R) of each outcome: own luck with every effect
    led: dict[int, Floats]  # (N, R) levels of coach and group of those who have attended
    others: list[tuple[Floats, Mapping[str, Effect]]]  # (N, R) share of effects that are not the arm's own

    def level(self, base: Floats, k: int, v: int, *, share: Floats | float) -> Floats:
        """Level under the arm, (N, R), from the level without any effect and the share of the full dose."""
        level = base + share * self._full(k, v)
        if (led := self.led.get(k)) is not None:
            level += led * (self.held.by_visit[v] > 0)  # by somebody who has been seen by then
        return self._with_others(level, k, v)

    def level_at_full_dose(self, base: Floats, k: int, v: int) -> Floats:
        """The same had everybody attended all sessions."""
        level = base + self._full(k, v)
        if (led := self.led.get(k)) is not None:
            level += led
        return self._with_others(level, k, v)

    def _full(self, k: int, v: int) -> Floats | float:
        """Effect by the visit, had all sessions been attended."""
        effect = self.arm.effects.get(self.world.outcomes[k])
        return 0.0 if effect is None else _size(effect, self.world.visits[v], self.luck[k])

    def _with_others(self, level: Floats, k: int, v: int) -> Floats:
        for share, effects in self.others:
            if (effect := effects.get(self.world.outcomes[k])) is not None:
                level += share * _size(effect, self.world.visits[v], self.luck[k])
        return level

    def share(self, v: int) -> Floats | float:
        """Share of the full dose by visit v."""
        if self.arm.dose == "components" and self.held.component_share is not None:
            return self.held.component_share[v]
        return self._share_of(self.held.by_visit[v])

    @property
    def share_in_the_end(self) -> Floats | float:
        """Share of the full dose in the end; of components, by the last visit."""
        return self.share(-1) if self.arm.dose == "components" else self._share_of(self.held.in_the_end)

    def _share_of(self, sessions: NDArray[np.int8]) -> Floats | float:
        if self.arm.dose == "assigned" or self.arm.delivery.kind == "none":
            return 1.0
        planned = len(self.arm.delivery.modules)
        return formulas.saturating_dose(np.arange(planned + 1), planned, self.arm.dose_scale).take(sessions)


def _size(effect: Effect, visit: str, luck: Floats) -> Floats | float:
    """Mean + SD x own luck."""
    return effect.by_visit[visit] + effect.sd * luck if effect.sd > 0 else effect.by_visit[visit]


def arm_effects(plan: Plan, draws: Draws, held: list[Held]) -> list[ArmEffects]:
    """Effects of every arm, with the same luck under each."""
    world, n = plan.world, len(plan.cohort.valid)
    luck = joint_normals(world, [draws.normal(Stream.HETEROGENEITY, n, name) for name in world.outcomes])
    others = _others(plan, draws)
    arms = enumerate(world.design.arms.values())
    return [ArmEffects(world, arm, held[a], luck, _led(plan, draws, a, held[a]), others[a]) for a, arm in arms]


def _led(plan: Plan, draws: Draws, arm: int, held: Held) -> dict[int, Floats]:
    """What everybody's coach and group add to each outcome; 0 without one."""
    world = plan.world
    name, n_coaches = world.arms[arm], len(world.design.coaches(world.arms[arm]))
    led: dict[int, Floats] = {}
    for k, (outcome, stated) in enumerate(world.design.outcomes.items()):
        if held.coach is not None and stated.coach_sd:
            levels = stated.coach_sd * draws.normal(Stream.COACH_LEVEL, n_coaches, name, outcome)
            level = held.staff_level(levels)
            if level is not None:
                led[k] = level
        if held.group is not None and stated.group_sd:
            normals = draws.normal(Stream.GROUP_LEVEL, int(held.group.max(initial=-1)) + 1, name, outcome)
            levels = np.concatenate([stated.group_sd * normals, np.zeros((1, normals.shape[1]))])
            level = levels[held.group, np.arange(normals.shape[1])]  # a group of -1 is the last row
            led[k] = led[k] + level if k in led else level
    return led


def _others(plan: Plan, draws: Draws) -> list[list[tuple[Floats, Mapping[str, Effect]]]]:
    """By arm: (N, R) shares of effects that come from elsewhere, and these effects by outcome."""
    arms, n = plan.world.design.arms, len(plan.cohort.valid)
    found: list[list[tuple[Floats, Mapping[str, Effect]]]] = [[] for _ in arms]
    if any(arm.contamination for arm in arms.values()):
        luck = draws.uniform(Stream.CONTAMINATION, n)
        for mine, arm in zip(found, arms.values(), strict=True):
            if (reached := arm.contamination) is not None:
                mine.append((np.where(luck < reached.prob, reached.dose, 0.0), arms[reached.arm].effects))
    if any(arm.co_intervention for arm in arms.values()):
        luck = draws.uniform(Stream.CO_INTERVENTION, n)
        for mine, arm in zip(found, arms.values(), strict=True):
            if (other := arm.co_intervention) is not None:
                mine.append((np.asarray(luck < other.prob, dtype=float), other.effects))
    return found
