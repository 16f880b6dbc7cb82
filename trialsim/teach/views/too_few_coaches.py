"""Too few coaches: a line of people waiting, sessions that come late, and an effect that is not there yet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trialsim.block import Block
from trialsim.design.parts import Design
from trialsim.teach import panels
from trialsim.teach.questions import Answer, Question
from trialsim.teach.views import drawing as draw
from trialsim.teach.views.samples import Designs, Floats, Sample, changed, measured, number_of, view

COACHES = (1, 2, 3, 4, 5, 6)
SIZES = (120, 180, 240, 360, 480)
ACCEPTED = 0.5
"""Share of those contacted who are randomized, as in the design."""
VISITS = {"m3": ("3 months", draw.BLUE), "m12": ("12 months", draw.GREEN)}
WAIT, STARTED, MONTHS = "coaches/therapist/mean_wait_days", "treatment/therapist/started", "calendar/enrolment_months"


def on_screen(question: Question, *, coaches: int | None = None, n: int | None = None) -> Design:
    """The design with its knobs turned, or as said instead."""
    return changed(
        question.design,
        {
            "sample_size": n or int(number_of(question, "n")),
            "arms.therapist.delivery.coaches": coaches or int(number_of(question, "coaches")),
            "recruitment.sites.north.rate_per_month": number_of(question, "rate") / ACCEPTED,
        },
    )


def counted(block: Block) -> dict[str, Floats]:
    """Waits, starts, months; and sessions that members of the coached arm have had by each visit."""
    member = block.histories.arm == block.world.arms.index("therapist")
    sessions = block.outcomes.realised_sessions
    by_visit = {
        f"sessions/{visit}": (sessions[v] * member).sum(axis=0) / np.maximum(member.sum(axis=0), 1)
        for v, visit in enumerate(block.world.visits)
    }
    return measured(WAIT, STARTED, MONTHS)(block) | by_visit


# --- one trial --------------------------------------------------------------------------------------------------------


def one(question: Question) -> Designs:
    """The trial."""
    return {"trial": on_screen(question)}


def trial(question: Question, samples: dict[str, Sample]) -> Answer:
    """What waiting does to sessions and to the effect, in the trial on the screen."""
    sample = samples["trial"]
    results = {visit: sample.result("change", visit=visit) for visit in VISITS}
    groups = []
    for visit, (label, colour) in VISITS.items():
        facts = [draw.fact("power", results[visit]["power"], share=True)]
        groups.append(draw.estimated(results[visit], key=visit, label=label, colour=colour, facts=facts))
    picture = panels.estimates(
        "Difference in change of pain, coach minus usual care",
        x=draw.axis_of("difference, points", groups),
        groups=groups,
        nothing=0.0,
        note=f"{sample.n} trials. {draw.OF_ESTIMATES} Below 0: less pain with a coach.",
    )
    items = [
        draw.figure("wait", "mean wait for a coach", sample.mean(WAIT), digits=1, unit="days"),
        draw.figure("m3", "sessions had by 3 months, of 8", sample.mean("sessions/m3"), digits=1),
        draw.figure("m12", "sessions had by 12 months, of 8", sample.mean("sessions/m12"), digits=1),
        draw.figure("started", "ever began", sample.mean(STARTED), digits=1, unit="%"),
        draw.figure("months", "time to enrol everybody", sample.mean(MONTHS), digits=1, unit="months"),
    ]
    waiting = panels.numbers(
        "Waiting", items=items, note="± is simulation error. Sessions: of all who should have a coach."
    )
    return Answer([waiting, picture], [_said(sample), *draw.failures(list(results.values()))])


def _said(sample: Sample) -> str:
    near, far = (sample.result("change", visit=visit) for visit in VISITS)
    return (
        f"The mean wait is {draw.pair(*sample.mean(WAIT), 1)} days, and {draw.pair(*sample.mean('sessions/m3'), 1)} "
        f"of 8 sessions have been had by 3 months. The true difference is {draw.pair(*near['truth'])} at 3 months and "
        f"{draw.pair(*far['truth'])} at 12; power is {draw.percent_pair(*near['power'])} and "
        f"{draw.percent_pair(*far['power'])}."
    )


# --- curves -----------------------------------------------------------------------------------------------------------


def by_coaches(question: Question) -> Designs:
    """The trial, and the same with other numbers of coaches."""
    return {"trial": on_screen(question)} | {f"{k}": on_screen(question, coaches=k) for k in COACHES}


def by_size(question: Question) -> Designs:
    """The trial, and the same of other sizes."""
    return {"trial": on_screen(question)} | {f"{n}": on_screen(question, n=n) for n in SIZES}


def coaches(question: Question, samples: dict[str, Sample]) -> Answer:
    """True effect, power and wait by the number of coaches."""
    x, here = panels.Axis("coaches", 1, max(COACHES)), number_of(question, "coaches")
    return _curves(samples, x=x, points=COACHES, here=here, order=(2, 0, 1))


def sizes(question: Question, samples: dict[str, Sample]) -> Answer:
    """The same by the number of participants."""
    x, here = panels.Axis("participants, both arms", 0, max(SIZES)), number_of(question, "n")
    return _curves(samples, x=x, points=SIZES, here=here, order=(1, 0, 2))


def _curves(
    samples: dict[str, Sample], *, x: panels.Axis, points: Sequence[int], here: float, order: tuple[int, ...]
) -> Answer:
    """Effect, power and wait, in the order wanted."""
    at = [samples[f"{point}"] for point in points]
    truth, power = _lines(at, points, "truth"), _lines(at, points, "power")
    wait = [draw.line("wait", "mean wait", draw.ORANGE, points, [one.mean(WAIT) for one in at])]
    shares = panels.Axis("share of trials with p < 0.05", 0, 1, percent=True)
    drawn: list[tuple[str, panels.Axis, list[panels.Series]]] = [
        ("True effect (only a simulation knows it)", draw.axis("difference, points", _ends_of(truth)), truth),
        ("Power", shares, power),
        ("Mean wait for a coach", draw.axis("days", _ends_of(wait), step=50), wait),
    ]
    marks = [panels.Mark(here, "the slider", "x")]
    note = f"{samples['trial'].n} trials at each point; 95 % bands of simulation error."
    pictures = [
        panels.curve(title, x=x, y=y, series=lines, lines=marks, note=note)
        for title, y, lines in (drawn[k] for k in order)
    ]
    failed = draw.failures([one.result("change", visit=visit) for one in at for visit in VISITS])
    return Answer(pictures, [_told(x.label, points, at), *failed])


def _lines(at: Sequence[Sample], points: Sequence[int], statistic: str) -> list[panels.Series]:
    share = statistic == "power"
    return [
        draw.line(
            visit, label, colour, points, [one.result("change", visit=visit)[statistic] for one in at], share=share
        )
        for visit, (label, colour) in VISITS.items()
    ]


def _ends_of(lines: Sequence[panels.Series]) -> list[float]:
    return [y for line in lines for y in (*line.low, *line.high)]


def _told(what: str, points: Sequence[int], at: Sequence[Sample]) -> str:
    told = [
        f"{point}: a wait of {draw.pair(*one.mean(WAIT), 0)} days and power at 3 months of "
        f"{draw.percent_pair(*one.result('change', visit='m3')['power'])}"
        for point, one in ((points[0], at[0]), (points[-1], at[-1]))
    ]
    return f"{what.capitalize()}, {'; '.join(told)}."


VIEWS = {
    "trial": view("One trial", one, trial, pick=counted),
    "coaches": view("By number of coaches", by_coaches, coaches, pick=counted, most=160),
    "sizes": view("By number of participants", by_size, sizes, pick=counted, most=160),
}
