"""Enrolment over time against the target, with bands, by site; and when enrolment closes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trialsim.experiments.performance import mean_with_error
from trialsim.report.describe.phrases import entered
from trialsim.report.figures.frame import Frame, Key
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import band, date_axis, few_ticks, quantiles
from trialsim.report.figures.series import site_groups
from trialsim.report.figures.style import shortened
from trialsim.report.figures.words import about, of_trials, sentences
from trialsim.report.layout import date_text, number, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look

Floats = NDArray[np.float64]

POINTS = 160
"""Days that are drawn, at most: more are not seen."""


@dataclass(frozen=True)
class _Facts:
    days: NDArray[np.int64]
    """Study days that are drawn; at the end of each so many are randomized."""
    total: Floats  # (R, days)
    by_site: Floats  # (R, sites, days)
    sites: list[str]
    last: int
    """The last day of the axis."""


def _facts(material: Material, most_sites: int) -> _Facts:
    enrolled = material.series.enrolled
    names = _site_names(material)
    if len(names) > most_sites:
        enrolled, names = _merged(enrolled, names, most_sites)
    cumulative = enrolled.cumsum(axis=2)
    last = enrolled.shape[2] - 1
    days = np.unique(np.linspace(0, last, min(POINTS, last + 1)).round().astype(np.int64))
    chosen = cumulative[:, :, days].astype(float)
    return _Facts(days, chosen.sum(axis=1), chosen, names, max(last, 1))


def _site_names(material: Material) -> list[str]:
    sites = material.world.sites
    groups = site_groups(material.world)
    return [sites[group[0]].replace("_", " ") if len(group) == 1 else f"{len(group)} others" for group in groups]


def _merged(enrolled: NDArray[np.int64], names: list[str], most: int) -> tuple[NDArray[np.int64], list[str]]:
    """The largest sites, and all others together."""
    order = np.argsort(-enrolled.sum(axis=(0, 2)), kind="stable")
    own = sorted(order[: most - 1].tolist())
    rest = [k for k in range(len(names)) if k not in own]
    merged = np.concatenate([enrolled[:, own], enrolled[:, rest].sum(axis=1, keepdims=True)], axis=1)
    n_others = sum(int(names[k].split()[0]) if names[k].endswith(" others") else 1 for k in rest)
    return merged, [*(names[k] for k in own), f"{n_others} others"]


def _why_not(material: Material) -> str:
    return "" if np.nansum(material.measures["randomized/all"]) else "nobody is enrolled"


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    facts = _facts(material, 9 if look.projected else 12)
    n_sites = len(facts.sites) if len(facts.sites) > 1 else 0
    many = len(material.series) > 1
    rows = 0 if look.projected else math.ceil(n_sites / 4)
    frame = Frame(look, title=KIND.title, note=_note(material), keys=_keys(look, many), body=3.0 + 1.15 * rows)
    whole, closing, sites = _panels(frame, look, n_sites, many)
    _curve(whole, look, facts.days, facts.total, look.colour(0))
    target = material.design.sample_size
    whole.axhline(target, color=look.ink, linewidth=look.line * 0.6, linestyle=(0, (4, 2)))
    highest = max(float(facts.total.max()), float(target))
    whole.set_ylim(0, highest * 1.12)
    whole.annotate(
        f"target {target:,}", (0, target), xytext=(4, 2), textcoords="offset points", fontsize=look.small, va="bottom"
    )
    few_ticks(whole.yaxis, 5, whole=True)
    whole.set_ylabel(f"Participants {entered(material.design)}")
    wide = frame.wide * (0.5 if look.projected and n_sites else 0.86)
    date_axis(whole, material.design, 0, facts.last, look=look, width=wide)
    if closing is not None:
        _closing(closing, look, material, facts.last)
        whole.tick_params(labelbottom=False)
        date_axis(closing, material.design, 0, facts.last, look=look, width=wide)
    _small_panels(sites, look, material, facts)
    return frame.figure


def _panels(frame: Frame, look: Look, n_sites: int, many: bool) -> tuple[Axes, Axes | None, list[Axes]]:
    """The panel of all sites, that of closing dates, and those of sites."""
    if look.projected:
        columns = _columns(look, n_sites)
        across = frame.figure.add_gridspec(1, 3 if n_sites else 1, width_ratios=[2.1, *([0.9, 0.9] if n_sites else [])])
        left = across[0, 0].subgridspec(2 if many else 1, 1, height_ratios=[3, 0.8] if many else [1], hspace=0.05)
        whole = frame.figure.add_subplot(left[0, 0])
        closing = frame.figure.add_subplot(left[1, 0]) if many else None
        right = across[0, 1:].subgridspec(math.ceil(n_sites / columns), columns) if n_sites else None
        sites = [frame.figure.add_subplot(right[k // columns, k % columns]) for k in range(n_sites)] if right else []
        return whole, closing, sites
    rows = math.ceil(n_sites / 4)
    heights = [2.3, *([0.7] if many else []), *([1.15] * rows)]
    grid: Any = frame.figure.add_gridspec(len(heights), 4, height_ratios=heights)
    whole = frame.figure.add_subplot(grid[0, :])
    closing = frame.figure.add_subplot(grid[1, :]) if many else None
    first = 2 if many else 1
    sites = [frame.figure.add_subplot(grid[first + k // 4, k % 4]) for k in range(n_sites)]
    return whole, closing, sites


def _columns(look: Look, n_sites: int) -> int:
    return (2 if n_sites <= 4 else 3) if look.projected else 4


def _curve(ax: Axes, look: Look, days: Any, values: Floats, colour: str) -> None:
    if len(values) > 1:
        low, quarter, three, high = quantiles(values, 0.025, 0.25, 0.75, 0.975)
        band(ax, days, low, high, colour, alpha=0.18)
        band(ax, days, quarter, three, colour, alpha=0.32)
    ax.plot(days, values.mean(axis=0), color=colour, zorder=3)


def _closing(ax: Axes, look: Look, material: Material, last: int) -> None:
    """Histogram of closing days."""
    days = material.measures["calendar/closing_day"]
    n_bins = int(np.clip(1.5 * math.sqrt(len(days)), 1, 40))
    low, high = float(days.min()), float(days.max())
    edges = np.linspace(low - 0.5, high + 0.5, n_bins + 1)
    shares = np.histogram(days, bins=edges)[0] / len(days) * 100
    ax.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=look.colour(0), linewidth=0)
    ax.set_ylim(0, max(shares) * 1.15)
    few_ticks(ax.yaxis, 2)
    ax.set_ylabel("% of trials", fontsize=look.small)
    ax.set_title("Enrolment closes", fontsize=look.small, fontweight="normal", pad=2)


def _small_panels(panels: list[Axes], look: Look, material: Material, facts: _Facts) -> None:
    highest = facts.by_site.max() if panels else 0
    columns = _columns(look, len(panels))
    room = look.width / (3.5 * columns if look.projected else 5.4)
    for k, (ax, name) in enumerate(zip(panels, facts.sites, strict=False)):
        _curve(ax, look, facts.days, facts.by_site[:, k], look.colour(0))
        ax.set_ylim(0, highest * 1.05)
        ax.set_title("\n".join(shortened(name, room, look.small, lines=2, bold=True)), fontsize=look.small, pad=3)
        few_ticks(ax.yaxis, 3, whole=True)
        if k % columns:
            ax.tick_params(labelleft=False)
        date_axis(ax, material.design, 0, facts.last, look=look, width=room)
        if k + columns < len(panels):
            ax.tick_params(labelbottom=False)


def _keys(look: Look, many: bool) -> list[Key]:
    colour = look.colour(0)
    if not many:
        return [Key("this trial", colour, line="-"), Key("target", look.ink, line=(0, (4, 2)))]
    return [
        Key("mean", colour, line="-"),
        Key("50 % of trials", colour, patch=True, alpha=0.45),
        Key("95 % of trials", colour, patch=True, alpha=0.18),
        Key("target", look.ink, line=(0, (4, 2))),
    ]


def _note(material: Material) -> str:
    n = len(material.series)
    return f"Bands: what {of_trials(n)} show at each date." if n > 1 else ""


def _reached(material: Material) -> str:
    n = material.measures["randomized/all"]
    reached = int((n >= material.design.sample_size).sum())
    if len(n) == 1:
        return f"{number(float(n[0]))} of {material.design.sample_size:,} participants were {entered(material.design)}."
    text = f"{reached:,} of {of_trials(len(n))} reach the target of {material.design.sample_size:,}"
    return f"{text}; {number(float(n.mean()), 1)} are {entered(material.design)} on average."


def _closes(material: Material) -> str:
    days = material.measures["calendar/closing_day"]
    mean, error, n = mean_with_error(days)
    date = date_text(material.design.date_of(round(mean)))
    if n == 1:
        return f"Enrolment closes on {date}."
    low, high = (date_text(material.design.date_of(round(float(np.quantile(days, p))))) for p in (0.025, 0.975))
    if low == high:
        return f"Enrolment closes on {date} in nearly all trials."
    return (
        f"Enrolment closes on {date} on average (MCSE {number(error, 1)} days), from {low} to {high} in 95 % of trials."
    )


def _say(material: Material, asked: Asked) -> str:
    n = len(material.series)
    sites = f", and by site ({plural(len(material.world.sites), 'site')})" if len(material.world.sites) > 1 else ""
    bands = (
        "The line is the mean; the darker band holds 50 %, the lighter 95 % of trials at each date." if n > 1 else ""
    )
    closing = "" if n == 1 else f"The bars show when enrolment closes, over {of_trials(material.n_replicates)}."
    what = f"Participants {entered(material.design)} over time against the target{sites}."
    return sentences([what, bands, closing, _reached(material), _closes(material), about(material, n)])


def _tell(material: Material, asked: Asked) -> str:
    facts = _facts(material, 12)
    ends = facts.by_site[:, :, -1].mean(axis=0)
    by_site = "; ".join(f"{name} {number(float(end), 0)}" for name, end in zip(facts.sites, ends, strict=True))
    sites = f"By site in the end: {by_site}." if len(facts.sites) > 1 else ""
    return sentences(["A rising curve of participants by date.", _reached(material), _closes(material), sites])


KIND = Kind(
    name="enrolment",
    title="Enrolment",
    shows="Participants over time against the target, with bands over trials, by site, and when enrolment closes.",
    of="trial",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
)
