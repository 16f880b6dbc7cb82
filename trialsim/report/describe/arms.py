"""Each arm in words: delivery, starting, stopping."""

from __future__ import annotations

from collections import Counter

from trialsim.design.delivery import Coach, Group, Individual, NoDelivery, SelfPaced
from trialsim.design.parts import Arm, Design
from trialsim.report.describe import effects
from trialsim.report.describe.groups import asked_after, grouped, sessions
from trialsim.report.describe.phrases import (
    chance,
    entry,
    given,
    moved,
    moved_by_covariates,
    named,
    share,
    takes,
    when,
)
from trialsim.report.layout import heading, listed, number, paragraph, part, percent, plural, table
from trialsim.world.places import coach_calendar
from trialsim.world.world import World

Treatment = SelfPaced | Individual | Group

_START, _END = "the start", "the end"


def arms(world: World) -> list[str]:
    """All arms, one after another."""
    blocks = [heading("Arms")]
    for name, arm in world.design.arms.items():
        told = [*_delivered(world, name), *map(_text, effects.effects(world, arm))]
        blocks.append(part(named(name, arm.label), told))
    return blocks


def _text(text: str) -> str:
    return paragraph(text, indent=2)


def _delivered(world: World, name: str) -> list[str]:
    """Delivery, starting and stopping."""
    arm = world.design.arms[name]
    if isinstance(arm.delivery, NoDelivery):
        return [_text("There are no sessions: everybody has usual care.")]
    if isinstance(arm.delivery, SelfPaced):
        start = _self_paced_start(world, arm, arm.delivery)
        told = [_text(_self_paced(world.design, arm.delivery))]
    elif isinstance(arm.delivery, Group):
        start = _awaited_start(world, arm, "a group")
        told = grouped(world.design, arm.delivery, weighed=arm.dose == "components")
    else:
        start = _awaited_start(world, arm, "a coach")
        told = _individual(world, name, arm.delivery)
    return [*told, _text(f"{start} {_stopping(world, arm, arm.delivery)}")]


# --- delivery -----------------------------------------------------------------------------------------------


def _individual(world: World, name: str, delivery: Individual) -> list[str]:
    apart = f", {plural(delivery.interval_days, 'day')} apart" if len(delivery.modules) > 1 else ""
    minutes = f"of {number(delivery.session_minutes)} minutes{apart}"
    what = f"One-to-one with a coach: {sessions(delivery.modules, 'session')} {minutes}."
    asking = (
        f"Those who want to start ask for a coach {asked_after(delivery.referral_days)} {entry(world.design)}. When all"
        f" are full they wait, first come, first served, {plural(delivery.max_wait_days, 'day')} at most. The"
        f" first appointment is {asked_after(delivery.lead_days)} the offer of a coach."
    )
    return [_text(what), *_staff(world, name), _text(f"{asking} {_missed(delivery)}{_covered(delivery)}")]


def _covered(delivery: Individual) -> str:
    if not delivery.cover_prob:
        return ""
    return f" With a chance of {share(delivery.cover_prob)} another of the coaches, chosen by chance, holds a session."


def _missed(delivery: Individual) -> str:
    if not delivery.no_show_prob:
        return "No appointment is missed."
    most = delivery.max_reschedules
    missed = f"An appointment is missed with a chance of {share(delivery.no_show_prob)}"
    if not most:
        return f"{missed}, which ends treatment."
    moved_by = plural(delivery.interval_days, "day")
    end = f"a session missed more than {plural(most, 'time')} ends treatment"
    return f"{missed}, which moves the session by {moved_by}; {end}."


def _staff(world: World, name: str) -> list[str]:
    """The coaches in a sentence, or (when they differ) in a table."""
    coaches = world.design.coaches(name)
    places = coach_calendar(world, world.arms.index(name))[0]
    kinds = Counter(zip(coaches, places, strict=True))
    total = f"{plural(len(coaches), 'coach')} with {plural(sum(places), 'place')} in all"
    if len(kinds) == 1:
        return [_text(f"{total}{_alike(world.design, *next(iter(kinds)), len(coaches))}.")]
    header = ["coaches", "caseload", "sessions/week", "places each", "there from", "takes new until"]
    rows = [[str(n), *_coach_cells(world.design, coach, held)] for (coach, held), n in kinds.items()]
    always = all(row[4:] == [_START, _END] for row in rows)
    shown = slice(0, 4 if always else 6)
    staff = table(header[shown], [row[shown] for row in rows], "rrrrll"[shown], indent=2)
    return [_text(f"{total}:"), staff]


def _alike(design: Design, coach: Coach, places: int, n: int) -> str:
    """Caseload, hours, what that makes in places, joining and leaving of n equal coaches."""
    *_, joins, leaves = _coach_cells(design, coach, places)
    each, participants = "each with" if n > 1 else "with", plural(coach.caseload or 1, "participant")
    hours = f"hours for {plural(coach.sessions_per_week or 1, 'session')} a week"
    text = f", {each} a caseload of {participants} and {hours} ({plural(places, 'place')})"
    text += f", there from {joins} on" if joins != _START else ""
    return text + (f", taking new participants until {leaves}" if leaves != _END else "")


def _coach_cells(design: Design, coach: Coach, places: int) -> list[str]:
    """Caseload, hours, places, day of joining, last day of taking somebody new."""
    joins, leaves = design.day_of(coach.joins), coach.leaves
    return [
        number(coach.caseload or 1),
        number(coach.sessions_per_week or 1),
        number(places),
        when(design, joins) if joins > 0 else _START,
        _END if leaves is None else when(design, design.day_of(leaves) - 1),
    ]


def _self_paced(design: Design, delivery: SelfPaced) -> str:
    first = f"The first is done {takes(delivery.first)} after {entry(design)}"
    pace = f" and each next one {takes(delivery.pace)} after that" if len(delivery.modules) > 1 else ""
    return (
        f"Web modules worked through alone: {sessions(delivery.modules, 'module')}, open for"
        f" {plural(delivery.access_days, 'day')} after {entry(design)}. {first}{pace}. {_calls(delivery)}"
    )


def _calls(delivery: SelfPaced) -> str:
    if not delivery.max_calls:
        return "Nobody calls those who stall."
    days, most = plural(delivery.call_after_days, "day"), plural(delivery.max_calls, "call")
    again = f", and again after as many more, {most} at most" if delivery.max_calls > 1 else ""
    reached = share(delivery.reachable_prob)
    whom = f", of the {reached} who can be reached," if delivery.reachable_prob < 1 else ""
    return (
        f"Whoever stalls is called after {days} without a module{again}; a call brings"
        f" {share(delivery.call_success_prob)}{whom} to the next module on the day after."
    )


def _called_back(delivery: SelfPaced) -> float:
    """Chance that somebody who stalls and can be reached is brought back by one of the calls."""
    return 1.0 - (1.0 - delivery.call_success_prob) ** delivery.max_calls


# --- starting and stopping ----------------------------------------------------------------------------------


def _awaited_start(world: World, arm: Arm, what: str) -> str:
    """Starting where people wait: for a coach, for a group."""
    text = f"{share(arm.start_prob)} would start if {what} were there at once{_who_starts(world, arm)}."
    effect = world.design.adherence.wait_effect
    if not effect or not arm.start_prob or arm.start_prob == 1:
        return text
    later = [f"{chance(moved(arm.start_prob, -effect * weeks))} after {weeks} weeks" for weeks in (4, 8)]
    lowers = f"Each week of waiting lowers the inclination to start by {number(effect)} probit units"
    return f"{text} {lowers}: {listed(later)}."


def _self_paced_start(world: World, arm: Arm, delivery: SelfPaced) -> str:
    text = f"{share(arm.start_prob)} start by themselves{_who_starts(world, arm)}"
    back = _called_back(delivery) * delivery.reachable_prob
    if not back or arm.start_prob == 1:
        return f"{text}."
    total = arm.start_prob + (1 - arm.start_prob) * back
    others = f"calls bring {percent(back)} of the others to the first module"
    return f"{text}; {others}, so {percent(total)} start in all."


def _who_starts(world: World, arm: Arm) -> str:
    """In brackets: how motivation and covariates move the chance of starting."""
    adherence = world.design.adherence
    if arm.start_prob in (0, 1):
        return ""
    phrases = _by_motivation(arm.start_prob, adherence.motivation_on_start)
    by_covariates = moved_by_covariates(world, adherence.covariates, arm.start_prob)
    phrases += [by_covariates] if by_covariates else []
    return f" ({'; '.join(phrases)})" if phrases else ""


def _by_motivation(prob: float, correlation: float) -> list[str]:
    if not correlation or prob in (0, 1):
        return []
    more, less = (chance(given(prob, sign, correlation)) for sign in (1, -1))
    return [f"{more} of those one SD more motivated than average, {less} of those one SD less"]


def _stopping(world: World, arm: Arm, delivery: Treatment) -> str:
    noun = "module" if isinstance(delivery, SelfPaced) else "session"
    if len(delivery.modules) == 1:
        return ""
    if not arm.stop_prob:
        return f"Nobody stops between {noun}s of their own accord."
    stops = "stall" if _of_whom(arm, delivery) else "stop"
    text = f"After each {noun} but the last {share(arm.stop_prob)} {stops}"
    correlation = world.design.adherence.motivation_on_stop
    if not correlation or arm.stop_prob == 1:
        return f"{text}{_of_whom(arm, delivery)}."
    more, less = (chance(given(arm.stop_prob, sign, correlation)) for sign in (-1, 1))
    text += f" ({more} of those one SD more motivated, {less} of those one SD less){_of_whom(arm, delivery)}."
    whom = "the less motivated start and go on less often, so fewer stop among those who do"
    return f"{text} The share is that of all participants; {whom}."


def _of_whom(arm: Arm, delivery: Treatment) -> str:
    """What calls leave of those who stall."""
    if not isinstance(delivery, SelfPaced) or not _called_back(delivery) or not delivery.reachable_prob:
        return ""
    back = _called_back(delivery)
    if delivery.reachable_prob < 1:
        return f"; calls bring {percent(back)} of those back who can be reached"
    return f"; calls bring {percent(back)} of them back, so {percent(arm.stop_prob * (1 - back))} stop"
