"""What the design implies, in tables: enrolment, participants, treatment, answers and the true effects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from trialsim.design.parts import BinaryCovariate, Design
from trialsim.report.describe.phrases import confounded, entered, is_randomized
from trialsim.report.describe.sums import Sums, mean, ratio, simulated_sums, spread, spread_between
from trialsim.report.layout import bullets, caption, heading, listed, paragraph, plural, table
from trialsim.world.formulas import MONTH_DAYS, Floats
from trialsim.world.world import World

MOST_PAIRS = 10
"""With more pairs of arms than this, arms are compared with the reference only."""


def implied(world: World, *, n_replicates: int, seed: int) -> list[str]:
    """The section computed by simulation."""
    sums = simulated_sums(world, n_replicates, seed)
    blocks = [
        heading("What this design implies"),
        paragraph(_computed(n_replicates, seed)),
        *_enrolment(world, sums),
    ]
    if not sums["n"].sum():
        return [
            *blocks,
            paragraph(f"Nobody is {entered(world.design)} in any replicate, so there is nothing to say of effects."),
        ]
    sections = (_baseline, _treatment, _answers, _effects)
    return [*blocks, *(block for section in sections for block in section(world, sums))]


def _computed(n_replicates: int, seed: int) -> str:
    error = "what follows ± is the Monte Carlo standard error"
    if n_replicates == 1:
        error += ", unknown (?) with one replicate"
    return f"Computed by simulating {plural(n_replicates, 'replicate')} of this trial (seed {seed}); {error}."


# --- enrolment ----------------------------------------------------------------------------------------------


def _enrolment(world: World, sums: Sums) -> list[str]:
    design, months = world.design, (sums["closing_day"] + 1) / MONTH_DAYS
    last = list(design.visits.values())[-1]
    end = mean(months + (last.day + last.closes) / MONTH_DAYS)
    text = (
        f"Enrolment closes after {mean(months).text(1)} months on average (SD between replicates"
        f" {spread_between(months).text(1)}) and the last visit's last window {end.text(1)} months after the"
        f" start. {_size(design, sums)}"
    )
    return [heading("Enrolment", "-"), paragraph(text), *_funnel(world, sums)]


def _size(design: Design, sums: Sums) -> str:
    reached, of = int((sums["n"] == design.sample_size).sum()), len(sums["n"])
    wanted = f"the sample size of {design.sample_size:,}"
    if reached == of:
        return f"Every replicate reaches {wanted}."
    size = f"{mean(sums['n']).text(1)} participants are {entered(design)} on average"
    if not reached:
        return f"No replicate reaches {wanted}: {size}."
    share = mean((sums["n"] == design.sample_size).astype(float))
    return f"{share.text(1, 100)}% of replicates ({reached} of {of}) reach {wanted}; {size}."


def _funnel(world: World, sums: Sums) -> list[str]:
    """Mean counts until enrolment closes; the denominator is the people who passed the step before."""
    contacted = sums["funnel/contacted/passed"]
    rows = [["contacted", "", mean(contacted).text(0), ""]]
    before = contacted
    for step in world.steps:
        counts = {name: values for name, values in _of_step(sums, step) if name == "passed" or values.any()}
        rows += [[step, reason, mean(n).text(0), ratio(n, before).text(1, 100)] for reason, n in counts.items()]
        before = counts["passed"]
    note = "People until enrolment closes ('in process': on their way at that moment):"
    return [paragraph(note), table(["step", "result", "people", "% of those before"], rows, "llrr")]


def _of_step(sums: Sums, step: str) -> Iterator[tuple[str, Floats]]:
    start = f"funnel/{step}/"
    return ((name.removeprefix(start), values) for name, values in sums.items() if name.startswith(start))


# --- participants, treatment, answers -----------------------------------------------------------------------


def _baseline(world: World, sums: Sums) -> list[str]:
    rows = []
    for name, outcome in world.design.outcomes.items():
        if outcome.has_baseline:
            rows.append([f"{name} at baseline", *_mean_and_sd(sums, f"baseline/{name}")])
    for name, covariate in world.design.covariates.items():
        if isinstance(covariate, BinaryCovariate):
            rows.append([f"{name} (%)", ratio(sums[f"covariate/{name}"], sums["n"]).text(1, 100), ""])
        else:
            rows.append([name, *_mean_and_sd(sums, f"covariate/{name}")])
    return [heading(f"Participants {entered(world.design)}", "-"), table(["", "mean", "SD"], rows, "lrr")]


def _mean_and_sd(sums: Sums, name: str) -> list[str]:
    return [
        ratio(sums[name], sums["n"]).text(2),
        spread(sums[name], sums[f"{name}/squares"], sums["n"]).text(2),
    ]


def _treatment(world: World, sums: Sums) -> list[str]:
    """Start, completion, sessions and waiting in the arms that have sessions."""
    arms = [a for a in range(len(world.arms)) if world.has_sessions(a)]
    if not arms:
        return []
    header = ["arm", "start %", "complete %", "sessions", "planned"]
    rows = [_sessions(world, sums, a) for a in arms]
    notes = f"Of all {_in_arm(world.design)}: who attends a session, who completes treatment, mean sessions."
    if any(_waits(world, a) for a in arms):
        what = "group" if any(_delivered(world, a) == "group" for a in arms) else "coach"
        what = "coach or group" if what == "group" and any(_delivered(world, a) == "individual" for a in arms) else what
        header += [f"get a {what} %", "days waited"]
        rows = [[*row, *_waiting(world, sums, a)] for row, a in zip(rows, arms, strict=True)]
        notes += f" Days waited: from asking for a {what} to being assigned one, of those who are."
    return [heading("Treatment", "-"), paragraph(notes), table(header, rows, "l" + "r" * (len(header) - 1))]


def _sessions(world: World, sums: Sums, arm: int) -> list[str]:
    members = sums["members"][arm]
    shares = [ratio(sums[name][arm], members).text(1, 100) for name in ("starters", "completers")]
    return [
        world.arms[arm],
        *shares,
        ratio(sums["sessions"][arm], members).text(2),
        str(world.session_counts[arm]),
    ]


def _in_arm(design: Design) -> str:
    return "randomized to the arm" if is_randomized(design) else "in the arm"


def _delivered(world: World, arm: int) -> str:
    return world.design.arms[world.arms[arm]].delivery.kind


def _waits(world: World, arm: int) -> bool:
    """Whether people wait for staff or a group."""
    return _delivered(world, arm) in ("individual", "group")


def _waiting(world: World, sums: Sums, arm: int) -> list[str]:
    if not _waits(world, arm):
        return ["-", "-"]
    offered = sums["offered"][arm]
    return [ratio(offered, sums["members"][arm]).text(1, 100), ratio(sums["waited"][arm], offered).text(1)]


def _answers(world: World, sums: Sums) -> list[str]:
    rows = []
    for a, arm in enumerate(world.arms):
        members = sums["members"][a]
        rows.append([arm, *(ratio(answered[a], members).text(1, 100) for answered in sums["answered"])])
    header = ["arm", *(f"{visit} %" for visit in world.visits)]
    return [
        heading("Answers", "-"),
        paragraph(f"Of all {_in_arm(world.design)}, whether still in the study or not."),
        table(header, rows, "l" + "r" * len(world.visits)),
    ]


# --- true effects -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Column:
    """What is said of an outcome: its sums, digits, factor, and how arms are compared by it."""

    title: str
    sums: str
    digits: int = 2
    factor: float = 1.0
    differs: str = ""
    """Heading of the difference between two arms; empty: not compared so."""
    ratio: str = ""
    """Heading of the ratio."""


_POINTS = "in % points"
_COLUMNS = {
    "score": (
        _Column("mean change", "change", differs="difference in change"),
        _Column("responders %", "responders", 1, 100, differs="in responders, % points", ratio="risk ratio"),
    ),
    "binary": (_Column("yes %", "responders", 1, 100, differs=f"difference {_POINTS}", ratio="risk ratio"),),
    "ordinal": (
        _Column("mean level", "value", differs="difference in level"),
        _Column("responders %", "responders", 1, 100, differs="in responders, % points", ratio="risk ratio"),
    ),
    "count": (
        _Column("mean number", "value", differs="difference in number", ratio="ratio of means"),
        _Column("none %", "responders", 1, 100),
    ),
    "event": (_Column("had it %", "responders", 1, 100, differs=f"difference {_POINTS}", ratio="risk ratio"),),
    "dose": (
        _Column("mean dose", "value", 1, differs="difference in dose"),
        _Column("users %", "users", 1, 100, differs="in users, % points", ratio="risk ratio"),
    ),
}
_SAID = {
    "score": "mean change from baseline [points] and responders",
    "binary": "who has yes",
    "ordinal": "mean level (from 0) and responders",
    "count": "number since the visit before, and who has none",
    "event": "who has had it by the visit",
    "dose": "mean dose of everybody, and who uses it",
}


def _effects(world: World, sums: Sums) -> list[str]:
    blocks = [heading("True outcomes and effects", "-"), bullets(_assumptions(world))]
    for name, outcome in world.design.outcomes.items():
        columns = _COLUMNS[outcome.kind]
        blocks += [caption(f"{name}: {_SAID[outcome.kind]}"), _by_visit(world, sums, name, columns)]
        if len(world.arms) > 1:
            blocks += [caption(f"{name}: differences between arms"), _differences(world, sums, name, columns)]
    return blocks


def _assumptions(world: World) -> list[str]:
    notes = [
        "True values are means over the simulated participants of their potential outcomes: the value that"
        " each would have at each visit in each arm, with the same luck in all, as if alive and in the study,"
        " answered or not.",
        "They include measurement error and the limits of the scale, and the treatment that people would take"
        " in fact (treatment policy).",
    ]
    if any(world.has_sessions(arm) for arm in range(len(world.arms))):
        notes.append("Somebody who leaves the study attends no more sessions; effects of sessions attended stay.")
    if any(world.coached(arm) for arm in range(len(world.arms))):
        notes.append(
            "Under a coached arm, participants of other arms are taken to wait as long as the next in line"
            " would have, without making anybody else wait."
        )
    warning = confounded(world.design)
    if warning:
        notes.append(f"They compare the same people under every arm. The cohorts as observed do not: {_lower(warning)}")
    return [*notes, dependence(world.design)]


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def dependence(design: Design) -> str:
    """What makes participants' outcomes alike."""
    outcomes, shared = design.outcomes.values(), []
    kinds = {arm.delivery.kind for arm in design.arms.values()}
    if any(outcome.site_sd for outcome in outcomes):
        shared.append("their site's level")
    if any(outcome.cluster_sd or outcome.cluster_change_sd for outcome in outcomes):
        shared.append("their cluster's level")
    if kinds & {"individual", "group"} and any(outcome.coach_sd for outcome in outcomes):
        shared.append("their coach's level")
    if "group" in kinds and any(outcome.group_sd for outcome in outcomes):
        shared.append("their group's level")
    if "individual" in kinds:
        shared.append("the coaches' places")
    if "group" in kinds:
        shared.append("the groups' places")
    if not shared:
        return "Participants' outcomes are independent of each other."
    return f"Participants' outcomes are independent of each other, apart from sharing {listed(shared)}."


def _by_visit(world: World, sums: Sums, name: str, columns: Sequence[_Column]) -> str:
    rows = [
        [visit, arm, *(ratio(sums[f"{c.sums}/{name}"][a, v], sums["n"]).text(c.digits, c.factor) for c in columns)]
        for v, visit in enumerate(world.visits)
        for a, arm in enumerate(world.arms)
    ]
    return table(["visit", "arm", *(column.title for column in columns)], rows, "ll" + "r" * len(columns))


def _differences(world: World, sums: Sums, name: str, columns: Sequence[_Column]) -> str:
    rows = [
        [visit, f"{world.arms[a]} - {world.arms[b]}", *_compared(sums, name, columns, (a, v), (b, v))]
        for v, visit in enumerate(world.visits)
        for a, b in pairs(world.design, name)
    ]
    header = [title for column in columns for title in (column.differs, column.ratio) if title]
    return table(["visit", "arms", *header], rows, "ll" + "r" * len(header))


def _compared(
    sums: Sums, name: str, columns: Sequence[_Column], first: tuple[int, int], second: tuple[int, int]
) -> Iterator[str]:
    """Differences and ratios of two arms, each at its (arm, visit)."""
    for column in columns:
        values = sums[f"{column.sums}/{name}"]
        if column.differs:
            yield ratio(values[first] - values[second], sums["n"]).text(column.digits, column.factor)
        if column.ratio:
            yield ratio(values[first], values[second]).text(2)


def pairs(design: Design, outcome: str) -> list[tuple[int, int]]:
    """Arms to compare: those that analyses of the outcome compare, and every arm with the reference arm."""
    names = list(design.arms)
    reference = names.index(reference_arm(design))
    against = [(arm, reference) for arm in range(len(names)) if arm != reference]
    declared = [c for a in design.analyses.values() if a.outcome == outcome for c in a.contrasts]
    asked = [(names.index(first), names.index(second)) for first, second in declared]
    every = any(a.outcome == outcome and not a.contrasts for a in design.analyses.values())
    if every and len(names) * (len(names) - 1) / 2 <= MOST_PAIRS:
        asked += combinations([arm for arm in range(len(names)) if arm != reference], 2)
    return list(dict.fromkeys([*against, *asked]))


def reference_arm(design: Design) -> str:
    """The arm to compare with: second in the first planned contrast, else an untreated one, else the last."""
    declared = [contrast for analysis in design.analyses.values() for contrast in analysis.contrasts]
    untreated = [name for name, arm in design.arms.items() if arm.delivery.kind == "none"]
    if declared:
        return declared[0][1]
    return untreated[0] if untreated else list(design.arms)[-1]
