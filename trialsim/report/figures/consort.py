"""Flow diagram of participants (CONSORT 2025): boxes from contact to analysis, any number of arms."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trialsim.report.describe.phrases import is_randomized
from trialsim.report.figures.flow import ArmFlow, Count, Flow, Passage, flow_of
from trialsim.report.figures.frame import MARGIN, Frame
from trialsim.report.figures.kinds import Asked, Kind
from trialsim.report.figures.style import Look, line_height, text_width, tied, wrapped
from trialsim.report.figures.words import about, of_trials, sentences

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trialsim.report.figures.material import Material

_PAD = 0.055
"""Inside boxes, left and right of the text [inches]."""
_GUTTER = 0.26
"""At the left, for the names of the sections [inches]."""
_STRIP = 0.18
"""Width of a section's name [inches]."""
_SMALLEST = 7.0
"""Type on a projector's picture is not smaller; then the picture grows [points]."""


@dataclass(frozen=True)
class _Type:
    """Size of the type. `slide`: reasons stand in a row, and enrolment stands left of the arms."""

    points: float
    slide: bool

    @property
    def step(self) -> float:
        """From line to line [inches]."""
        return line_height(self.points)

    @property
    def gap(self) -> float:
        """Between boxes, where arrows run [inches]."""
        return (0.8 if self.slide else 1.15) * self.step

    @property
    def inside(self) -> float:
        """Above and below the text of a box [inches]."""
        return 0.22 * self.step


@dataclass(frozen=True)
class _Line:
    """A line of text: bold or not, indented or not."""

    text: str
    bold: bool = False
    indent: bool = False


@dataclass
class _Box:
    """Lines of text in a box `width` inches wide; what they are broken into is worked out once."""

    lines: list[_Line]
    width: float
    type: _Type
    tinted: bool = False
    wrapped: list[tuple[str, bool, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for line in self.lines:
            indent = 0.9 * self.type.points / 72 if line.indent else 0.0
            room = self.width - 2 * _PAD - indent - 0.02
            parts = wrapped(line.text, room, self.type.points, bold=line.bold)
            self.wrapped += [(part, line.bold, indent) for part in parts]

    @property
    def height(self) -> float:
        """Of the box [inches]."""
        return len(self.wrapped) * self.type.step + 2 * self.type.inside


def _told(text: str, count: Count) -> str:
    """'declined (n = 124)' of one trial, 'declined: 116.8 ± 1.0' of many; the number stays on one line."""
    return f"{text} {tied(f'(n = {count.text})')}" if math.isnan(count.mcse) else f"{text}: {tied(count.text)}"


def _reasons(kind: _Type, reasons: list[tuple[str, Count]]) -> list[_Line]:
    """Why, one below the other or in a row."""
    if kind.slide:
        return [_Line("; ".join(f"{reason}: {tied(count.text)}" for reason, count in reasons), indent=True)]
    return [_Line(_told(reason, count), indent=True) for reason, count in reasons]


def lost_at(step: str) -> str:
    """'not screened', 'not eligible', 'lost at baseline'."""
    return f"not {step}" if step.endswith(("ed", "ble")) else f"lost at {step}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- the boxes --------------------------------------------------------------------------------------------------------


@dataclass
class _Plan:
    """All boxes of a diagram for one size of type, and the height that they need.

    On a page the arms stand below enrolment; on a slide to the right of it.
    """

    flow: Flow
    randomized: bool
    width: float
    type: _Type

    def __post_init__(self) -> None:
        room = self.width - _GUTTER
        n_arms = len(self.flow.arms)
        self.between = 0.1 if n_arms < 5 else 0.07
        if self.type.slide:
            self.main = room * (0.3 if n_arms < 5 else 0.24)
            self.side, self.side_left = self.main - 0.22, _GUTTER + 0.22
            self.arms_left = _GUTTER + self.main + 0.24 + _GUTTER
        else:
            self.main, self.side = room * 0.40, room * 0.54
            self.side_left, self.arms_left = _GUTTER + room * 0.46, _GUTTER
        self.column = (self.width - self.arms_left - self.between * (n_arms - 1)) / n_arms
        self._make_boxes()

    def _make_boxes(self) -> None:
        flow, kind, arms = self.flow, self.type, self.flow.arms
        texts = [_told("Contacted", flow.contacted), *(_told(_capital(s.name), s.passed) for s in flow.steps[:-1])]
        self.chain = [_Box([_Line(text)], self.main, kind) for text in texts]
        self.sides = [_Box(self._lost(step), self.side, kind) for step in flow.steps]
        self.entry = _Box([_Line(self._entry(), bold=True)], self.main, kind)
        self.allocation = [_Box(self._allocated(arm), self.column, kind) for arm in arms]
        adherence = [self._adherence(arm) for arm in arms]
        self.adherence = [_Box(lines, self.column, kind, tinted=True) if lines else None for lines in adherence]
        self.followed = [_Box(self._followed(arm), self.column, kind) for arm in arms]
        self.analysed = [_Box(self._analysed(arm), self.column, kind) for arm in arms if arm.analysed]

    def _entry(self) -> str:
        flow = self.flow
        if flow.clusters is not None:
            return f"Randomized: {tied(flow.clusters.text)} clusters; {tied(flow.randomized.text)} participants"
        return _told("Randomized" if self.randomized else "Enrolled", flow.randomized)

    def _lost(self, step: Passage) -> list[_Line]:
        return [_Line(_told(_capital(lost_at(step.name)), step.all_lost)), *_reasons(self.type, step.lost)]

    def _allocated(self, arm: ArmFlow) -> list[_Line]:
        clusters = f" in {tied(arm.clusters.text)} clusters" if arm.clusters is not None else ""
        word = "Allocated" if self.randomized or self.flow.clusters is not None else "In the cohort"
        lines = [_Line(arm.label, bold=True), _Line(_told(f"{word}{clusters}", arm.n))]
        if not arm.treated:
            return [*lines, _Line("No sessions planned")]
        lines.append(_Line(_told("Received at least one session", arm.started)))
        return [*lines, _Line(_told("Did not receive any", arm.unstarted)), *_reasons(self.type, arm.not_started)]

    def _adherence(self, arm: ArmFlow) -> list[_Line]:
        return [_Line("Sessions attended"), *_reasons(self.type, arm.classes)] if arm.classes else []

    def _followed(self, arm: ArmFlow) -> list[_Line]:
        lines = []
        for visit, answered, why in arm.visits:
            lines += [_Line(_told(f"Answered at {visit}", answered)), *_reasons(self.type, why)]
        return lines

    def _analysed(self, arm: ArmFlow) -> list[_Line]:
        lines = []
        for visit, used, unused in arm.analysed:
            at = f"Analysed at {visit}" if visit else "Analysed"
            if self.type.slide:
                lines.append(_Line(f"{_told(at, used)}; {tied(f'not: {unused.text}')}"))
            else:
                lines += [_Line(_told(at, used)), _Line(_told("not analysed", unused), indent=True)]
        return lines

    # --- heights ---

    def reach(self, side: _Box) -> float:
        """From the box above what is lost to the box below it [inches]."""
        return side.height + (1.0 if self.type.slide else 0.8) * self.type.gap

    @property
    def enrolment(self) -> float:
        """Height of contact to randomization."""
        return sum(box.height for box in self.chain) + sum(map(self.reach, self.sides)) + self.entry.height

    @property
    def arms(self) -> float:
        """Height of all that is by arm, with the gaps between."""
        tall = max(box.height for box in self.allocation) + max(box.height for box in self.followed)
        tall += max([box.height for box in self.adherence if box], default=0.0)
        tall += max([box.height for box in self.analysed], default=0.0)
        return tall + (1 + bool(self.analysed)) * 1.5 * self.type.gap

    @property
    def height(self) -> float:
        """Of everything."""
        if self.type.slide:
            return max(self.enrolment, self.arms + 1.5 * self.type.gap)
        return self.enrolment + self.arms + 1.5 * self.type.gap


def _plan(material: Material, look: Look, flow: Flow, room: float) -> _Plan:
    """On a page as tall as it must be; on a projector's picture with type as large as there is room for."""
    width = look.width - 2 * MARGIN
    randomized = is_randomized(material.design)
    points = look.small if look.projected else 8.0 if len(flow.arms) < 5 else 7.5
    plan = _Plan(flow, randomized, width, _Type(points, look.projected))
    while look.projected and plan.height > room and points > _SMALLEST:
        points -= 0.25
        plan = _Plan(flow, randomized, width, _Type(points, look.projected))
    return plan


# --- drawing ----------------------------------------------------------------------------------------------------------


def _paint(material: Material, look: Look, asked: Asked) -> Figure:
    flow = flow_of(material, asked)
    note = _note(material, flow, asked)
    title = KIND.title if is_randomized(material.design) or flow.clusters is not None else "Flow of participants"
    frame = Frame(look, title=title, note=note)
    plan = _plan(material, look, flow, frame.body)
    if plan.height > frame.body or not look.projected:
        frame = Frame(look, title=title, note=note, tall=plan.height)
    ax = frame.placed(0, 0, frame.wide, frame.body)
    ax.set_xlim(0, frame.wide)
    ax.set_ylim(0, frame.body)
    ax.set_axis_off()
    _Drawing(ax, look, plan).draw(frame.body)
    return frame.figure


@dataclass
class _Drawing:
    """Draws from the top down."""

    ax: Axes
    look: Look
    plan: _Plan

    def draw(self, top: float) -> None:
        """Everything."""
        plan, gap = self.plan, 1.5 * self.plan.type.gap
        slide = plan.type.slide
        end = self._enrolment(top, (top - plan.enrolment) / len(plan.sides) if slide else 0.0)
        lefts = [plan.arms_left + k * (plan.column + plan.between) for k in range(len(plan.allocation))]
        middles = [left + plan.column / 2 for left in lefts]
        if slide:
            across = _GUTTER + plan.main + 0.1
            bus = top - 0.1 * plan.type.gap
            self._line([_GUTTER + plan.main, across, across], [end + plan.entry.height / 2] * 2 + [bus])
            self._line([across, middles[-1]], [bus, bus])
            self._arms(lefts, top, bus, (top - plan.arms - gap) / 3)
        else:
            root, bus = _GUTTER + plan.main / 2, end - 0.45 * gap
            self._line([root, root], [end, bus])
            self._line([min(root, middles[0]), max(root, middles[-1])], [bus, bus])
            self._arms(lefts, end, bus, 0.0)

    def _enrolment(self, top: float, spare: float) -> float:
        """From contact to randomization; where it ends."""
        plan, y = self.plan, top
        middle = _GUTTER + (0.11 if plan.type.slide else plan.main / 2)
        for box, side in zip(plan.chain, plan.sides, strict=True):
            self._box(box, _GUTTER, y)
            y -= box.height
            gap = plan.reach(side) + spare
            self._arrow(middle, y, middle, y - gap)
            self._arrow(middle, y - gap / 2, plan.side_left, y - gap / 2)
            self._box(side, plan.side_left, y - gap / 2 + side.height / 2)
            y -= gap
        self._box(plan.entry, _GUTTER, y)
        y -= plan.entry.height
        self._section("Enrolment", 0.0, top, y)
        return y

    def _arms(self, lefts: list[float], y: float, bus: float, spare: float) -> None:
        """All that is by arm, below the line that spreads over the arms."""
        plan, gap = self.plan, 1.5 * self.plan.type.gap
        above = bus
        nothing: list[_Box | None] = [None] * len(lefts)
        rows = [("Allocation", plan.allocation, plan.adherence), ("Follow-up", plan.followed, nothing)]
        rows += [("Analysis", plan.analysed, nothing)] if plan.analysed else []
        for place, (name, boxes, below) in enumerate(rows):
            top = y - gap - (spare if place else 0.0)
            for left in lefts:
                self._arrow(left + plan.column / 2, above, left + plan.column / 2, top)
            tall = max(box.height for box in boxes)
            extra = max([box.height for box in below if box], default=0.0)
            for left, box, under in zip(lefts, boxes, below, strict=True):
                self._box(box, left, top, height=tall)
                if under is not None:
                    self._box(under, left, top - tall, height=extra)
                elif extra:
                    self._line([left + plan.column / 2] * 2, [top - tall, top - tall - extra])
            y = above = top - tall - extra
            self._section(name, plan.arms_left - _GUTTER, top, y)

    # --- pieces ---

    def _box(self, box: _Box, left: float, top: float, *, height: float = 0.0) -> None:
        from matplotlib.patches import Rectangle

        tall = max(height, box.height)
        face = self.look.fill if box.tinted else self.look.paper
        how: Any = {"facecolor": face, "edgecolor": self.look.muted, "linewidth": self._thin, "clip_on": False}
        self.ax.add_patch(Rectangle((left, top - tall), box.width, tall, **how))
        y = top - box.type.inside
        for text, bold, indent in box.wrapped:
            at: Any = {"va": "center_baseline", "fontweight": "bold" if bold else "normal"}
            self.ax.text(left + _PAD + indent, y - 0.5 * box.type.step, text, fontsize=box.type.points, **at)
            y -= box.type.step

    def _section(self, name: str, left: float, top: float, bottom: float) -> None:
        """The name of a section at the left, along its height."""
        from matplotlib.patches import Rectangle

        colour = self.look.colour(0)
        self.ax.add_patch(Rectangle((left, bottom), _STRIP, top - bottom, facecolor=colour, linewidth=0))
        points = min(self.plan.type.points, 0.66 * 72 * _STRIP)
        if text_width(name, points, bold=True) > top - bottom - 0.04:
            points *= (top - bottom - 0.04) / text_width(name, points, bold=True)
        how: Any = {"rotation": 90, "ha": "center", "va": "center", "fontweight": "bold", "fontsize": points}
        self.ax.text(left + _STRIP / 2, (top + bottom) / 2, name, color=self.look.paper, **how)

    def _line(self, x: list[float], y: list[float]) -> None:
        how: Any = {"solid_capstyle": "projecting", "clip_on": False, "zorder": 0.5}
        self.ax.plot(x, y, color=self.look.muted, linewidth=self._thin, **how)

    def _arrow(self, x: float, y: float, to_x: float, to_y: float) -> None:
        how = {"arrowstyle": "-|>,head_width=0.22,head_length=0.42", "shrinkA": 0, "shrinkB": 0}
        how |= {"color": self.look.muted, "linewidth": self._thin}
        self.ax.annotate("", xy=(to_x, to_y), xytext=(x, y), arrowprops=how)

    @property
    def _thin(self) -> float:
        return 1.2 if self.look.projected else 0.8


# --- words ------------------------------------------------------------------------------------------------------------


def _why_not(material: Material) -> str:
    return ""


def _note(material: Material, flow: Flow, asked: Asked) -> str:
    if flow.n_replicates == 1:
        which = int(material.replicates[0]) if asked.replicate is None else asked.replicate
        return f"Replicate {which}: numbers of one simulated trial."
    return f"Mean of {of_trials(flow.n_replicates)} ± Monte Carlo standard error."


def _say(material: Material, asked: Asked) -> str:
    flow = flow_of(material, asked)
    what = "Flow of participants through the trial (after CONSORT 2025)."
    if not is_randomized(material.design) and flow.clusters is None:
        what = "Flow of participants; nobody is randomized: people come to their arms by who they are."
    numbers = (
        f"Numbers of replicate {int(material.replicates[0]) if asked.replicate is None else asked.replicate}."
        if flow.n_replicates == 1
        else "Numbers are means over trials ± Monte Carlo standard error."
    )
    analysis = f"Analysed: in the analysis {flow.analysis}." if flow.analysis and flow.arms[0].analysed else ""
    withdrew = "Withdrew and died: by the visit. Tinted boxes: sessions attended."
    seen = about(material, flow.n_replicates) if asked.replicate is None else about(material)
    return sentences([what, numbers, withdrew, analysis, seen])


def _tell(material: Material, asked: Asked) -> str:
    flow = flow_of(material, asked)
    parts = [f"Flow diagram. Contacted {flow.contacted.text}"]
    parts += [f"{lost_at(step.name)} {step.all_lost.text}" for step in flow.steps]
    parts.append(f"randomized {flow.randomized.text}")
    arms = []
    for arm in flow.arms:
        came = f", came to a session {arm.started.text}" if arm.treated else ""
        visits = ", ".join(f"answered at {visit} {answered.text}" for visit, answered, _ in arm.visits)
        arms.append(f"{arm.label}: allocated {arm.n.text}{came}, {visits}")
    error = " Numbers are means ± Monte Carlo standard error." if flow.n_replicates > 1 else ""
    return f"{'; '.join(parts)}. {'. '.join(arms)}.{error}"


KIND = Kind(
    name="consort",
    title="Flow of participants (CONSORT)",
    shows="Who is contacted, lost and why, randomized, treated, followed up and analysed, arm by arm.",
    of="trial",
    why_not=_why_not,
    paint=_paint,
    say=_say,
    tell=_tell,
    options=("replicate",),
)
