"""How many attend at least so many sessions, by arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trialsim.experiments.performance import mean_with_error
from trialsim.experiments.targets import Target
from trialsim.report.figures.frame import Frame, Key
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.marks import band, few_ticks, percent_axis, published, published_key
from trialsim.report.figures.words import Z, about, arm_label, of_trials, plus_minus, sentences, sources
from trialsim.report.layout import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material
    from trialsim.report.figures.style import Look


@dataclass(frozen=True)
class _Arm:
    number: int
    name: str
    share: list[tuple[float, float]]
    """Percentage and Monte Carlo error for 1, 2, ... sessions."""
    targets: dict[int, Target]
    """Published values by number of sessions."""


def _arms(material: Material) -> list[_Arm]:
    found = []
    for number, name in enumerate(material.world.arms):
        paths = {k: f"treatment/{name}/at_least_{k}" for k in range(1, material.world.session_counts[number] + 1)}
        if not paths or paths[1] not in material.measures:
            continue
        share = [mean_with_error(material.measures[path])[:2] for path in paths.values()]
        published = {k: material.targets[path] for k, path in paths.items() if path in material.targets}
        if started := material.targets.get(f"treatment/{name}/started"):
            published.setdefault(1, started)
        found.append(_Arm(number, name, share, published))
    return found


def _targets(arms: list[_Arm]) -> list[Target]:
    return [target for arm in arms for target in arm.targets.values()]


def _why_not(material: Material) -> str:
    return "" if any(material.world.session_counts) else "no arm has sessions"


def _note(material: Material) -> str:
    if not material.many:
        return "Of all in the arm, attended or not."
    return f"Lines: mean of {of_trials(material.n_replicates)}. Bands: 95 % Monte Carlo interval of the mean."


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    arms = _arms(material)
    keys = [
        Key(arm_label(material.design, arm.name), look.colour(arm.number), look.marker(arm.number), "-") for arm in arms
    ]
    frame = Frame(look, title=KIND.title, note=_note(material), keys=[*keys, *published_key(look, _targets(arms))])
    ax = frame.panel()
    most = max(len(arm.share) for arm in arms)
    for arm in arms:
        x = list(range(1, len(arm.share) + 1))
        value = [share for share, _ in arm.share]
        colour = look.colour(arm.number)
        ax.plot(x, value, color=colour, marker=look.marker(arm.number), zorder=3, clip_on=False)
        if material.many:
            ends = [(max(0.0, v - Z * e), min(100.0, v + Z * e)) for v, e in arm.share]
            band(ax, x, [low for low, _ in ends], [high for _, high in ends], colour, alpha=0.25)
        for k, target in arm.targets.items():
            side = 1 if k < most else -1
            published(ax, look, k + side * 0.018 * (most + 1) * (1 + 0.6 * arm.number), target, colour)
    ax.set_ylim(0, 100)
    percent_axis(ax.yaxis)
    few_ticks(ax.xaxis, 10 if look.projected else 12, whole=True)
    pad = 0.04 * max(1, most - 1) + 0.1
    ax.set_xlim(1 - pad, most + pad)
    ax.set_xlabel("Sessions attended, at least")
    ax.set_ylabel("Participants of the arm")
    return frame.figure


def _say(material: Material, asked: Asked) -> str:
    arms = _arms(material)
    told = listed([arm_label(material.design, arm.name) for arm in arms])
    return sentences(
        [
            f"Share of all participants of an arm who attended at least so many sessions ({told}).",
            "" if not material.many else "Lines are means over replicates, bands their 95 % Monte Carlo intervals.",
            about(material),
            sources(_targets(arms)),
        ]
    )


def _tell(material: Material, asked: Asked) -> str:
    parts = []
    for arm in _arms(material):
        first, last = arm.share[0], arm.share[-1]
        parts.append(
            f"{arm_label(material.design, arm.name)}: at least one session {plus_minus(*first)} %, "
            f"all {len(arm.share)} sessions {plus_minus(*last)} %"
        )
    return f"Lines that fall with the number of sessions. {'; '.join(parts)}."


KIND = Kind(
    name="attendance",
    title="Attendance of sessions",
    shows="Share of each arm who attended at least so many sessions, with published values beside.",
    of="trial",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
)
