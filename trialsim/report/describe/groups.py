"""Delivery in groups, in words, and phrases about sessions."""

from __future__ import annotations

from collections.abc import Sequence

from trialsim.design.delivery import Component, Group
from trialsim.design.parts import Design
from trialsim.report.describe.phrases import entry, share
from trialsim.report.layout import number, paragraph, plural, table


def sessions(modules: Sequence[str], noun: str) -> str:
    """'3 sessions (goals; pacing; sleep)'."""
    return f"{plural(len(modules), noun)} ({'; '.join(modules)})"


def asked_after(days: int) -> str:
    """'2 days after', 'on the day of'."""
    return f"{plural(days, 'day')} after" if days else "on the day of"


def grouped(design: Design, delivery: Group, *, weighed: bool) -> list[str]:
    """Delivery in groups: sessions, waiting, staff, components (with weights where they make the dose)."""
    what = (
        f"In groups that begin together: {sessions(delivery.modules, 'session')} of"
        f" {number(delivery.session_minutes)} minutes, {_rhythm(delivery)}."
    )
    wait = "wait for a group of their site" if delivery.by_site else "wait"
    first = asked_after(delivery.lead_days) if delivery.lead_days else "on the day on which"
    asking = (
        f"Those who want to start ask for a place {asked_after(delivery.referral_days)} {entry(design)} and {wait},"
        f" first come, first served, {plural(delivery.max_wait_days, 'day')} at most. {_beginning(delivery)} The first"
        f" session is {first} a group is made up; nobody joins later. {_missed(delivery)}"
    )
    texts = [_text(what), _text(asking), _text(_staff(delivery))]
    return [*texts, *_components(delivery, weighed=weighed)] if delivery.components else texts


def _text(text: str) -> str:
    return paragraph(text, indent=2)


def _rhythm(delivery: Group) -> str:
    weeks = "every week" if delivery.weeks_apart == 1 else f"every {delivery.weeks_apart} weeks"
    if delivery.days_per_week == 1:
        return weeks
    return f"on {delivery.days_per_week} days in a row {weeks}"


def _beginning(delivery: Group) -> str:
    """When a group is made up."""
    size, least = plural(delivery.size, "participant"), delivery.min_size
    if delivery.intake_days is not None:
        every = plural(delivery.intake_days, "day")
        fewest = f", if at least {least} wait" if least > 1 else ""
        return f"Groups are made up every {every} from study day 0, of all who wait, with {size} at most{fewest}."
    text = f"A group is made up when {size} wait"
    if delivery.start_after_days is None:
        return f"{text}, not before."
    others = f", if they are {least} or more by then" if least > 1 else ""
    return f"{text}, or when the first of them has waited {plural(delivery.start_after_days, 'day')}{others}."


def _missed(delivery: Group) -> str:
    if not delivery.miss_prob:
        return "No session is missed by those who have not stopped."
    return f"A session is missed with a chance of {share(delivery.miss_prob)} and not made up for."


def _staff(delivery: Group) -> str:
    each = f"{delivery.facilitators_per_group} to a group" if delivery.facilitators_per_group > 1 else "one to a group"
    rooms = "" if delivery.rooms is None else f", and {plural(delivery.rooms, 'room')}"
    at_once = f"{plural(delivery.at_once, 'group')} at most {'runs' if delivery.at_once == 1 else 'run'} at once"
    where = "At each site " if delivery.by_site else ""
    text = f"{where}{plural(delivery.facilitators, 'facilitator')}, {each}{rooms}: {at_once}."
    if delivery.staffing == "rotating":
        others = "the next group of the site" if delivery.by_site else "the next group"
        return f"{text} With every session the teams move on to {others} (crossed)."
    return f"{text} A group keeps its team."


def _components(delivery: Group, *, weighed: bool) -> list[str]:
    header = ["component", "at sessions", "attended by", "weight in the dose"]
    rows = [_component(name, part, delivery) for name, part in delivery.components.items()]
    shown = slice(0, 4 if weighed else 3)
    intro = "Its components, and who of those at the session attends them:"
    return [_text(intro), table(header[shown], [row[shown] for row in rows], "llrr"[shown], indent=2)]


def _component(name: str, part: Component, delivery: Group) -> list[str]:
    places = ", ".join(map(str, part.sessions)) or f"all {len(delivery.modules)}"
    return [name, places, share(part.attend_prob), number(part.weight)]
