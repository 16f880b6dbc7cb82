"""Missing data: which visits are answered together, by arm, and how many answer each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trialsim.experiments.performance import mean_with_error
from trialsim.experiments.targets import Target
from trialsim.report.figures.frame import Frame, Key
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import few_ticks, halo, percent_axis, published, published_key
from trialsim.report.figures.style import shortened, text_width, wrapped
from trialsim.report.figures.words import (
    Z,
    about,
    arm_label,
    arm_name,
    of_trials,
    plus_minus,
    sentences,
    sources,
    visit_label,
)
from trialsim.report.layout import listed, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look

Floats = NDArray[np.float64]
MOST = 8
"""Patterns that are shown; the others are taken together."""
TALLEST = 1.0
"""Room for names of visits that stand upright [inches]."""


@dataclass(frozen=True)
class _Pattern:
    """Which visits are answered (None: all patterns that are not shown), and the share of each arm [%] with error."""

    answered: tuple[bool, ...] | None
    share: list[tuple[float, float]]


def _patterns(material: Material) -> tuple[list[_Pattern], int]:
    """The most common patterns, then all others together; and how many there are."""
    series, visits = material.series, len(material.world.visits)
    replicate, arm, code, n = series.patterns.T
    codes, place = np.unique(code, return_inverse=True)
    row = np.searchsorted(series.replicates, replicate)
    counts = np.zeros((len(codes), len(series), len(material.world.arms)))
    np.add.at(counts, (place, row, arm), n)
    total = counts.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, 100 * counts / total, np.nan)
    order = np.argsort(-counts.sum(axis=(1, 2)), kind="stable")
    shown = order[: MOST if len(order) > MOST + 1 else len(order)]
    found = [_Pattern(_bits(int(codes[k]), visits), _shares(share[k])) for k in shown]
    rest = [k for k in order if k not in shown]
    if rest:
        found.append(_Pattern(None, _shares(share[rest].sum(axis=0))))
    return found, len(codes)


def _bits(code: int, n: int) -> tuple[bool, ...]:
    return tuple(bool(code >> k & 1) for k in range(n))


def _shares(share: Floats) -> list[tuple[float, float]]:
    return [mean_with_error(column)[:2] for column in share.T]


def _answered(material: Material) -> list[list[tuple[float, float, Target | None]]]:
    """By arm and visit: share who answered [%], its error, and the published value."""
    return [
        [
            (*mean_with_error(material.measures[path])[:2], material.targets.get(path))
            for path in (f"observed/{arm}/{visit}" for visit in material.world.visits)
        ]
        for arm in material.world.arms
    ]


def _why_not(material: Material) -> str:
    return "" if np.nansum(material.measures["randomized/all"]) else "nobody is enrolled"


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    patterns, _ = _patterns(material)
    answered = _answered(material)
    targets = [target for arm in answered for _, _, target in arm if target is not None]
    arms = material.world.arms
    keys = [
        Key(arm_label(material.design, arm), look.colour(k), look.marker(k), patch=True, hatch=look.hatch(k))
        for k, arm in enumerate(arms)
    ]
    bars = max(0.30, 0.085 * len(arms) + 0.06)
    frame = Frame(
        look,
        title=KIND.title,
        note=_note(material),
        keys=[*keys, *published_key(look, targets)],
        body=max(2.9, bars * len(patterns) + 1.2),
    )
    words = [word for visit in material.world.visits for word in visit_label(material.design, visit).split()]
    each = max(text_width(word, look.small) for word in words) + 0.15
    wanted = min(max(each * (len(material.world.visits) + 0.4), 0.16 * frame.wide), 0.32 * frame.wide)
    matrix = 0.82 * wanted / (frame.wide - wanted)
    grid: Any = frame.figure.add_gridspec(1, 3, width_ratios=[matrix, 0.42, 0.4])
    left, middle, right = (frame.figure.add_subplot(grid[0, k]) for k in range(3))
    _matrix(left, look, material, patterns, frame.wide * matrix / (matrix + 0.82))
    _bars(middle, look, patterns, len(arms), many=len(material.series) > 1)
    _by_visit(right, look, material, answered, frame.wide * 0.4 / (matrix + 0.82) - 0.5)
    return frame.figure


def _matrix(ax: Axes, look: Look, material: Material, patterns: list[_Pattern], width: float) -> None:
    """A square for each visit: full if it is answered."""
    visits = material.world.visits
    n = len(visits)
    size = look.dot * (1.5 if n <= 6 else 1.0)
    for y, pattern in enumerate(patterns):
        if pattern.answered is None:
            ax.text((n - 1) / 2, y, "others", ha="center", va="center", fontsize=look.small)
            continue
        for x, full in enumerate(pattern.answered):
            how: Any = {"markerfacecolor": look.ink if full else look.paper, "markeredgewidth": look.line * 0.6}
            ax.plot([x], [y], marker="s", color=look.ink if full else look.muted, markersize=size, **how)
    ax.set_xlim(-0.7, n - 0.3)
    ax.set_ylim(len(patterns) - 0.4, -0.6)
    names = [visit_label(material.design, visit) for visit in visits]
    step = width / (n + 0.4)
    lines = [wrapped(name, step - 0.08, look.small) for name in names]
    upright = _upright(names, step - 0.08, look)
    texts = [shortened(name, TALLEST, look.small)[0] for name in names]
    texts = texts if upright else ["\n".join(part) for part in lines]
    ax.set_xticks(range(n), texts, rotation=90 if upright else 0)
    ax.set_yticks([])
    ax.tick_params(length=0)
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.set_title("Answered", fontsize=look.base)


def _upright(names: list[str], room: float, look: Look) -> bool:
    """Whether names have no room side by side without breaking words."""
    return any(text_width(word, look.small) > room for name in names for word in name.split())


def _bars(ax: Axes, look: Look, patterns: list[_Pattern], n_arms: int, *, many: bool) -> None:
    thick = 0.8 / n_arms
    for y, pattern in enumerate(patterns):
        for arm, (share, error) in enumerate(pattern.share):
            at = y + (arm - (n_arms - 1) / 2) * thick
            how: Any = {"hatch": look.hatch(arm), "edgecolor": look.paper, "linewidth": 0.0}
            ax.barh(at, share, height=thick * 0.9, color=look.colour(arm), zorder=2, **how)
            if many and not math.isnan(error):
                halo(ax, look, [share - Z * error, share + Z * error], [at, at], look.ink, look.line * 0.7)
    ax.set_ylim(len(patterns) - 0.4, -0.6)
    ax.set_xlim(left=0)
    few_ticks(ax.xaxis, 4)
    ax.set_xlabel("% of the arm")
    ax.set_yticks([])
    ax.grid(visible=True, axis="x")
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
    ax.set_title("Patterns", fontsize=look.base)


def _by_visit(
    ax: Axes, look: Look, material: Material, answered: list[list[tuple[float, float, Target | None]]], width: float
) -> None:
    n_arms, visits = len(answered), material.world.visits
    gap = min(0.16, 0.6 / n_arms)
    for arm, row in enumerate(answered):
        x = np.arange(len(row)) + (arm - (n_arms - 1) / 2) * gap
        colour = look.colour(arm)
        ax.plot(x, [share for share, _, _ in row], color=colour, marker=look.marker(arm), zorder=3)
        for at, (share, error, target) in zip(x, row, strict=True):
            if not math.isnan(error):
                ax.plot([at, at], [share - Z * error, share + Z * error], color=colour, zorder=2)
            if target is not None:
                published(ax, look, float(at + 0.35 * gap), target, colour)
    step = width / max(1, len(visits))
    names = [wrapped(visit_label(material.design, visit), step - 0.05, look.small) for visit in visits]
    upright = _upright([visit_label(material.design, visit) for visit in visits], step - 0.05, look)
    labels = [visit_label(material.design, visit) for visit in visits]
    texts = labels if upright else ["\n".join(lines) for lines in names]
    texts = [shortened(text, TALLEST, look.small)[0] for text in texts] if upright else texts
    ax.set_xticks(range(len(visits)), texts, rotation=90 if upright else 0)
    ax.set_xlim(-0.5, len(visits) - 0.5)
    percent_axis(ax.yaxis)
    ax.set_ylim(0, 100)
    ax.set_title("Answered, by visit", fontsize=look.base)


def _note(material: Material) -> str:
    squares = "A full square is a visit that is answered, a hollow one a visit that is not."
    if not material.many:
        return f"{squares} One trial."
    return f"{squares} Means of trials; lines at their ends: 95 % Monte Carlo interval."


def _say(material: Material, asked: Asked) -> str:
    patterns, n_patterns = _patterns(material)
    targets = [target for arm in _answered(material) for _, _, target in arm if target is not None]
    n = len(material.series)
    others = f"The {n_patterns - len(patterns) + 1} least common patterns are taken together." if (
        patterns[-1].answered is None
    ) else ""  # fmt: skip
    records = [o.label or name for name, o in material.design.outcomes.items() if o.source == "record"]
    from_records = f"{listed(records)}: known from health records, answered or not." if records else ""
    rests = about(material) if n == material.n_replicates else f"{about(material)} Patterns: {about(material, n)}"
    return sentences(
        [
            f"Which visits participants answer, by arm: {plural(n_patterns, 'pattern')}, the most common first; and "
            "the share of all in the arm who answer each visit.",
            others,
            f"Lines at the ends are 95 % Monte Carlo intervals over {of_trials(n)}." if n > 1 else "",
            from_records,
            rests,
            sources(targets),
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    visits = material.world.visits
    first = _patterns(material)[0][0]
    assert first.answered is not None  # the most common one is shown
    told = [visit_label(material.design, v) for v, full in zip(visits, first.answered, strict=True) if full]
    shares = ", ".join(
        f"{arm_name(arm)} {plus_minus(*share)} %" for arm, share in zip(material.world.arms, first.share, strict=True)
    )
    by_visit = "; ".join(
        f"{arm_name(arm)} {', '.join(plus_minus(share, error) for share, error, _ in row)} %"
        for arm, row in zip(material.world.arms, _answered(material), strict=True)
    )
    return (
        f"Bars by pattern of answered visits. Most common: {listed(told) or 'none'} answered ({shares}). "
        f"Answered at {listed([visit_label(material.design, visit) for visit in visits])}: {by_visit}."
    )


KIND = Kind(
    name="missing",
    title="Missing data",
    shows="Which visits are answered together, by arm, and the share who answer each visit.",
    of="trial",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
)
