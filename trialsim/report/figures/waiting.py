"""Waiting for a coach or a group: how many wait over time, and how long they waited."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trialsim.experiments.performance import mean_with_error
from trialsim.report.figures.frame import Frame, Key
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import band, date_axis, few_ticks, percent_axis, quantiles, weekly
from trialsim.report.figures.words import about, arm_label, of_trials, plus_minus, sentences
from trialsim.report.layout import listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.series import Staff
    from trialsim.report.figures.style import Look

Floats = NDArray[np.float64]


def why_no_waiting(material: Material) -> str:
    """Why nobody can wait; empty where somebody can."""
    return "" if material_waits(material) else "no arm is delivered by coaches or in groups, so nobody waits"


def material_waits(material: Material) -> bool:
    """Whether an arm has coaches or groups."""
    return any(material.world.waits(arm) for arm in range(len(material.world.arms)))


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    staff = material.series.staff
    numbers = {name: material.world.arms.index(name) for name in staff}
    keys = [Key(arm_label(material.design, n), look.colour(k), line=look.dashes(k)) for n, k in numbers.items()]
    frame = Frame(look, title=KIND.title, note=_note(material), keys=keys, body=2.7)
    left, right = frame.axes(1, 2, width_ratios=[1.35, 1])[0]
    length = max(one.waiting.shape[1] for one in staff.values())
    last = _last_day(list(staff.values()), length)
    for name, one in staff.items():
        _list(left, look, one, numbers[name], last)
        _waits(right, look, one, numbers[name], bands=len(staff) <= 3)
    date_axis(left, material.design, 0, last, look=look, width=frame.wide * 0.5)
    few_ticks(left.yaxis, 5, whole=True)
    left.set_ylim(0, max(left.get_ylim()[1], 1))
    left.set_ylabel("Participants on the list")
    if not any(one.waiting.any() for one in staff.values()):
        left.text(
            0.5, 0.5, "Nobody has to wait", transform=left.transAxes, ha="center", color=look.muted, fontsize=look.base
        )
    right.set_xlabel("Days waited, at least")
    right.set_ylabel("Of those given a place")
    percent_axis(right.yaxis)
    right.set_ylim(0, 103)
    longest = max(_longest(one) for one in staff.values())
    right.set_xlim(0, max(longest, 7))
    few_ticks(right.xaxis, 5, whole=True)
    return frame.figure


def _last_day(staff: list[Staff], length: int) -> int:
    """Until when somebody is on a list, and a bit."""
    some = np.zeros(length, dtype=bool)
    for one in staff:
        some[: one.waiting.shape[1]] |= one.waiting.any(axis=0)
    days = np.flatnonzero(some)
    return int(min(length - 1, days[-1] * 1.03 + 7)) if len(days) else max(length - 1, 30)


def _longest(one: Staff) -> int:
    """Days that hardly anybody waits longer than."""
    total = one.waits.sum(axis=0)
    if not total.sum():
        return 0
    beyond = 1 - np.cumsum(total) / total.sum()
    return int(np.argmax(beyond <= 0.002)) + 1


def _list(ax: Axes, look: Look, one: Staff, number: int, last: int) -> None:
    days, values = weekly(one.waiting[:, : last + 1])
    colour = look.colour(number)
    if len(values) > 1:
        low, quarter, three, high = quantiles(values, 0.025, 0.25, 0.75, 0.975)
        band(ax, days, low, high, colour, alpha=0.16)
        band(ax, days, quarter, three, colour, alpha=0.25)
    ax.plot(days, values.mean(axis=0), color=colour, linestyle=look.dashes(number), zorder=3)


def exceeds(one: Staff) -> Floats:
    """Percentage of those given a place who waited at least 0, 1, ... days, (R, W + 1); NaN where nobody was."""
    total = one.waits.sum(axis=1, keepdims=True)
    at_least = np.pad(one.waits[:, ::-1].cumsum(axis=1)[:, ::-1], [(0, 0), (0, 1)])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 0, 100 * at_least / total, np.nan))


def _waits(ax: Axes, look: Look, one: Staff, number: int, *, bands: bool) -> None:
    share = exceeds(one)
    if np.isnan(share).all():
        return
    days = np.arange(share.shape[1])
    colour = look.colour(number)
    if len(share) > 1 and bands:
        low, high = quantiles(share, 0.025, 0.975)
        band(ax, days, low, high, colour, alpha=0.16, step="pre")
    how: Any = {"where": "pre", "linestyle": look.dashes(number), "zorder": 3}
    ax.step(days, np.nanmean(share, axis=0), color=colour, **how)


def _note(material: Material) -> str:
    n = len(material.series)
    if n == 1:
        return "One trial."
    return f"Lines: mean of {of_trials(n)}. Bands: 50 and 95 % of trials (right: 95 %)."


def _facts(material: Material) -> list[str]:
    """Of each arm in a sentence: mean wait, who waited, who gave up."""
    found = []
    n = len(material.series)
    for name, one in material.series.staff.items():
        days = np.arange(one.waits.shape[1])
        served = one.waits.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(served > 0, one.waits @ days / served, np.nan)
            waited = np.where(served > 0, 100 * (1 - one.waits[:, 0] / served), np.nan)
        lists = [mean_with_error(values.astype(float))[:2] for values in (mean, waited, one.waiting.max(axis=1))]
        gave_up = mean_with_error(one.gave_up.astype(float))[:2]
        if math.isnan(lists[0][0]):
            found.append(f"{arm_label(material.design, name)}: nobody was given a place.")
            continue
        found.append(
            f"{arm_label(material.design, name)}: mean wait {plus_minus(*lists[0])} days, "
            f"{plus_minus(*lists[1])} % had to wait, at most {plus_minus(*lists[2])} at once; "
            f"{plus_minus(*gave_up)} left the list without a place{' per trial' if n > 1 else ''}."
        )
    return found


def _say(material: Material, asked: Asked) -> str:
    n = len(material.series)
    bands = "Lines are means, bands hold 50 % (darker) and 95 % of trials." if n > 1 else ""
    arms = listed([arm_label(material.design, name) for name in material.series.staff])
    return sentences(
        [
            f"Left: participants waiting for a place, weekly means ({arms}). Right: share of those given a place who"
            " had waited at least so many days from being put on the list.",
            bands,
            *_facts(material),
            about(material, n),
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    return sentences(["Two panels: the waiting list over time, and the days waited.", *_facts(material)])


KIND = Kind(
    name="waiting",
    title="Waiting for treatment",
    shows="How many wait for a coach or a group over time, and how long they had waited.",
    of="trial",
    why_not=why_no_waiting,
    paint=_paint,
    say=_say,
    tell=_tell,
)
