"""The trial's calendar: sites, enrolment, visits and changes, with dates and how sure they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trialsim.experiments.performance import mean_with_error
from trialsim.report.describe.phrases import entered
from trialsim.report.figures.frame import Key
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import date_axis
from trialsim.report.figures.rows import Row, RowPlot
from trialsim.report.figures.words import about, of_trials, sentences, visit_label
from trialsim.report.layout import MONTHS, date_text, listed, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look

Floats = NDArray[np.float64]

MOST_SITES = 4
"""With more sites than this, those alike share a row."""


@dataclass(frozen=True)
class _When:
    """What stands in a row: a day with its spread over trials, a bar, or a day that is fixed; gaps in a bar."""

    label: str
    days: Floats | None = None  # (R,)
    bar: tuple[float, float] | None = None
    day: float | None = None
    gaps: tuple[tuple[int, int], ...] = ()
    number: int = 0
    """Of its colour."""


Parts = list[tuple[str, list[_When]]]


def _mean(days: Floats) -> float:
    return mean_with_error(days)[0]


def _parts(material: Material) -> Parts:
    return [
        ("Sites", _sites(material)),
        ("Enrolment", _enrolment(material)),
        ("Follow-up", _visits(material)),
        *([("Changes", changes)] if (changes := _changes(material)) else []),
    ]


def _sites(material: Material) -> list[_When]:
    """A row for each site; of many, one for those that open on the same day and pause at the same times."""
    design = material.design
    end = _mean(material.measures["calendar/closing_day"])
    alike: dict[tuple[float, tuple[tuple[int, int], ...]], list[str]] = {}
    for name, site in design.recruitment.sites.items():
        opens = float(design.day_of(site.opens))
        if opens <= end or not alike:
            alike.setdefault((opens, _gaps(material, name)), []).append(name.replace("_", " "))
    n = sum(map(len, alike.values()))
    found = []
    for (opens, gaps), names in alike.items():
        labels = names if n <= MOST_SITES else [f"{len(names)} sites" if len(names) > 2 else listed(names)]
        found += [_When(label, bar=(opens, max(end, opens)), gaps=gaps) for label in labels]
    return found


def _gaps(material: Material, site: str) -> tuple[tuple[int, int], ...]:
    """Pauses of a site."""
    design = material.design
    pauses = [pause for pause in design.recruitment.pauses if not pause.sites or site in pause.sites]
    return tuple((design.day_of(pause.starts), design.day_of(pause.ends)) for pause in pauses)


def _enrolment(material: Material) -> list[_When]:
    word = entered(material.design)
    names = {
        "first_in_day": f"First participant {word}",
        "last_in_day": f"Last participant {word}",
        "closing_day": "Enrolment closes",
    }
    return [_When(text, days=material.measures[f"calendar/{name}"]) for name, text in names.items()]


def _visits(material: Material) -> list[_When]:
    """Windows of the visits from the first participant's to the last's, and the last visit of all."""
    first = _mean(material.measures["calendar/first_in_day"])
    last = _mean(material.measures["calendar/last_in_day"])
    found = [
        _When(
            f"Questionnaires, {visit_label(material.design, name)}",
            bar=(first + visit.day + visit.opens, last + visit.day + visit.closes),
            number=2,
        )
        for name, visit in material.design.visits.items()
    ]
    return [*found, _When("Last visit", days=material.measures["calendar/last_visit_day"])]


def _changes(material: Material) -> list[_When]:
    design = material.design
    found = []
    for change in design.recruitment.rate_changes:
        where = f" ({listed([site.replace('_', ' ') for site in change.sites])})" if change.sites else ""
        text = f"Contact rates × {number(change.factor)}{where}"
        found.append(_When(text, day=float(design.day_of(change.starts)), number=1))
    for step in design.changes:
        found.append(_When(step.label or "Change of protocol", day=float(design.day_of(step.starts)), number=1))
    return sorted(found, key=lambda one: one.day or 0.0)


def _why_not(material: Material) -> str:
    return "" if np.nansum(material.measures["randomized/all"]) else "nobody is enrolled"


def _short(material: Material, day: float) -> str:
    date = material.design.date_of(round(day))
    return f"{date.day} {MONTHS[date.month - 1][:3]} {date.year}"


def _value(material: Material, when: _When) -> str:
    if when.days is not None:
        mean, error, n = mean_with_error(when.days)
        if n == 0:
            return "-"
        return _short(material, mean) + ("" if math.isnan(error) else f" ± {number(error, 1)} d")
    if when.bar is not None:
        return f"{_short(material, when.bar[0])} to {_short(material, when.bar[1])}"
    return _short(material, when.day or 0.0)


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    parts = _parts(material)
    rows: list[Row] = []
    marks: list[_When | None] = []
    for heading, whens in parts:
        rows.append(Row(heading, heading=True))
        marks.append(None)
        rows += [Row(when.label, _value(material, when)) for when in whens]
        marks += whens
    plot = RowPlot(look, rows, title=KIND.title, note=_note(material), keys=_keys(material, look), share=0.3)
    for mark, y in zip(marks, plot.y, strict=False):
        if mark is not None:
            _mark(plot, look, mark, y)
    first, last = _span(material, parts)
    date_axis(plot.ax, material.design, first, last, look=look, width=plot.wide)
    return plot.frame.figure


def _span(material: Material, parts: Parts) -> tuple[int, int]:
    days: list[float] = [0.0]
    for _, whens in parts:
        for when in whens:
            days += [when.day] if when.day is not None else list(when.bar or ())
            if when.days is not None and not np.isnan(when.days).all():
                days += [float(np.nanmin(when.days)), float(np.nanmax(when.days))]
    known = [day for day in days if not math.isnan(day)]
    low, high = min(known), max(known)
    return math.floor(low - 0.01 * (high - low)), math.ceil(high + 0.02 * (high - low)) + 1


def _mark(plot: RowPlot, look: Look, when: _When, y: float) -> None:
    ax, tall = plot.ax, 0.5 * plot.thick
    colour = look.colour(when.number)
    if when.bar is not None and not any(map(math.isnan, when.bar)):
        start, end = when.bar
        ax.broken_barh(_stretches(start, end, when.gaps), (y - tall / 2, tall), facecolor=colour, alpha=0.55, lw=0)
        paused = [(low, high - low) for low, high in when.gaps if start <= low < end]
        how: Any = {"facecolor": look.paper, "edgecolor": colour, "hatch": "////"}
        ax.broken_barh(paused, (y - tall / 2, tall), **how)
    if when.day is not None:
        ax.plot([when.day], [y], color=colour, marker="^", linestyle="", zorder=3)
    if when.days is not None and not np.isnan(when.days).all():
        known = when.days[~np.isnan(when.days)]
        if len(known) > 1:
            low, quarter, three, high = np.quantile(known, [0.025, 0.25, 0.75, 0.975])
            ax.plot([low, high], [y, y], color=colour, linewidth=look.line, zorder=2)
            ax.plot([quarter, three], [y, y], color=colour, linewidth=look.line * 3.2, solid_capstyle="butt", zorder=2)
        ax.plot([known.mean()], [y], color=colour, marker="o", markersize=look.dot * 0.75, linestyle="", zorder=3)


def _stretches(start: float, end: float, gaps: tuple[tuple[int, int], ...]) -> list[tuple[float, float]]:
    """(start, length) of a bar without its gaps."""
    found, at = [], start
    for low, high in sorted(gaps):
        if low >= end or high <= at:
            continue
        if low > at:
            found.append((at, low - at))
        at = max(at, high)
    return [*found, (at, end - at)] if at < end else found


def _keys(material: Material, look: Look) -> list[Key]:
    keys = [Key("open, or window of a visit", look.colour(0), patch=True, alpha=0.55)]
    if material.design.recruitment.pauses:
        keys.append(Key("paused", look.colour(0), patch=True, hatch="////", face=look.paper))
    keys.append(Key("mean day; 50 and 95 % of trials" if material.many else "day", look.colour(0), "o", "-"))
    if _changes(material):
        keys.append(Key("change", look.colour(1), "^"))
    return keys


def _note(material: Material) -> str:
    if not material.many:
        return "One trial."
    return f"Bars end at mean days of {of_trials(material.n_replicates)}; d: days, ± Monte Carlo standard error."


def _dates(material: Material) -> list[str]:
    found = []
    for when in [*_enrolment(material), _visits(material)[-1]]:
        assert when.days is not None
        mean, error, n = mean_with_error(when.days)
        if n == 0:
            continue
        text = f"{when.label}: {date_text(material.design.date_of(round(mean)))}"
        if not math.isnan(error):
            known = when.days[~np.isnan(when.days)]
            ends = [date_text(material.design.date_of(round(float(np.quantile(known, p))))) for p in (0.025, 0.975)]
            text += f" (MCSE {number(error, 1)} days; 95 % of trials {ends[0]} to {ends[1]})"
        found.append(text)
    return found


def _say(material: Material, asked: Asked) -> str:
    bands = "Dots are mean days, thick lines hold 50 %, thin lines 95 % of trials." if material.many else ""
    return sentences(
        [
            "When sites are open, people are enrolled and visits fall due.",
            bands,
            "Windows of visits run from the first participant's to the last's.",
            "Enrolment closes with the last participant who is needed, or when its time is over.",
            about(material),
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    return f"A calendar in rows. {'; '.join(_dates(material))}."


KIND = Kind(
    name="calendar",
    title="Calendar",
    shows="Sites, first and last participant, windows of visits, last visit and changes, with dates.",
    of="trial",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
)
