"""The estimate while data come in: the design's own analysis on what there is at the end of each of some days."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from trialsim.analysis.estimates import NNT, RATIOS, Estimates
from trialsim.analysis.plan import analyse_block, estimate
from trialsim.design.analysis_checks import FILLED_IN, endpoint_of, has_one_result, measures_of, pairs_of, visits_of
from trialsim.design.decisions import hypotheses_of
from trialsim.design.outcomes import Score
from trialsim.design.parts import Design
from trialsim.report.replay.cut import first_visits, observed_by
from trialsim.report.replay.story import Story
from trialsim.world.histories import NONE
from trialsim.world.observation import ObservedData

LOOKS, FEWER_LOOKS = 48, 16
"""Days on which the analysis is made; fewer where it imputes or is a user's function, which take long."""
CONTRASTS = 4
"""So many contrasts at most."""


@dataclass(frozen=True)
class Headline:
    """What a trial is mainly about: one contrast of one analysis at one visit."""

    analysis: str
    contrast: str
    visit: str
    measure: str


def headlines(design: Design) -> list[Headline]:
    """The first contrasts of the primary analysis: the first decision's hypotheses, or else the first analysis's pairs.

    Empty for a design without analyses or with one arm.
    """
    for decision in design.decisions.values():
        asked = [(h.analysis, h.contrast, h.visit) for h in hypotheses_of(design, decision)]
        return _with_measures(design, asked)
    for name, analysis in design.analyses.items():
        visits = visits_of(design, analysis)
        visit = visits[-1] if has_one_result(analysis) else visits[0]
        return _with_measures(design, [(name, f"{a} - {b}", visit) for a, b in pairs_of(design, analysis)])
    return []


def _with_measures(design: Design, asked: list[tuple[str, str, str]]) -> list[Headline]:
    found = []
    for name, contrast, visit in asked[:CONTRASTS]:
        analysis: Any = design.analyses[name]
        pairs = [f"{a} - {b}" for a, b in pairs_of(design, analysis)]
        if contrast not in pairs:  # a hypothesis may have its arms the other way round
            contrast = " - ".join(reversed(contrast.split(" - ")))
        found.append(Headline(name, contrast, visit, measures_of(analysis)[0]))
    return found


def estimates_data(story: Story, *, looks: int | None = None) -> dict[str, Any]:
    """Days of the looks, and for each headline the series of estimates and limits; see `replay_data`."""
    wanted = headlines(story.design)
    if not wanted or not story.n_participants:
        return {"days": [], "contrasts": [], "note": ""}
    names = list(dict.fromkeys(headline.analysis for headline in wanted))
    days = look_days(story, looks or _looks(story.design, names))
    about = {name: [headline for headline in wanted if headline.analysis == name] for name in names}
    found = [{name: _at(story, name, day, about[name]) for name in names} for day in days]
    truths = analyse_block(story.trial.block)
    level = f"{100 * (1 - _analysis(story, wanted[0]).alpha):g} %"
    note = (
        f"Interval: {level} confidence interval of the design's own analysis on the data that there are on the day."
        f" It is made on {len(days)} days; a visit that too few have answered yet is left out of a model of several."
        " Looking often is not a test: an interval that once excludes 'no effect' on the way proves nothing."
    )
    contrasts = [
        _series(story, headline, [of_day[headline.analysis] for of_day in found], truths) for headline in wanted
    ]
    return {"days": days, "contrasts": contrasts, "note": note}


def _analysis(story: Story, headline: Headline) -> Any:
    return story.design.analyses[headline.analysis]


def _looks(design: Design, names: list[str]) -> int:
    analyses: list[Any] = [design.analyses[name] for name in names]
    slow = any(
        a.kind == "user" or (a.missing.kind in FILLED_IN and a.missing.kind != "pattern_mixture") for a in analyses
    )
    return FEWER_LOOKS if slow else LOOKS


def look_days(story: Story, n: int) -> list[int]:
    """Days evenly apart from the first answer (or look into records) on; the last is the story's last day."""
    observed = story.asked("observed_day")
    first = [int(observed[observed != NONE].min())] if (observed != NONE).any() else []
    first += [int(story.asked("due_day")[story.from_records].min())] if story.from_records.any() else []
    start = min([*first, story.last_day])
    return np.unique(np.linspace(max(start, 0), story.last_day, n).round().astype(int)).tolist()


def _at(story: Story, name: str, day: int, wanted: list[Headline]) -> Estimates:
    """One analysis on what is known at the end of a day.

    A model of several visits fails while hardly anybody has reached the last one. Before the story's last day it is
    then fitted without that visit, and so on, as far as the headlines allow.
    """
    analysis = story.design.analyses[name]
    data = observed_by(story, day, counts_sessions=endpoint_of(analysis) == "sessions")
    whole = _estimate(story, story.design, name, data)
    if day == story.last_day or _has_all(whole, wanted):
        return whole
    for n in _fewer_visits(story.design, analysis, wanted):
        visits = dict(list(story.design.visits.items())[:n])
        found = _estimate(story, story.design.model_copy(update={"visits": visits}), name, first_visits(data, n))
        if _has_all(found, wanted):
            return found
    return whole


def _estimate(story: Story, design: Design, name: str, data: ObservedData) -> Estimates:
    block = story.trial.block
    return estimate(design, name, data, np.array([block.first], dtype=np.int32), block.draws)


def _has_all(found: Estimates, wanted: list[Headline]) -> bool:
    places = [found.place(**vars(headline)) for headline in wanted]
    return all(place is not None and found.converged[0, place] for place in places)


def _fewer_visits(design: Design, analysis: Any, wanted: list[Headline]) -> range:
    """Numbers of visits to try: all but the last, all but the last two ... down to the headlines' own."""
    if has_one_result(analysis) or analysis.kind == "user":
        return range(0)
    visits = list(design.visits)
    fewest = 1 + max(visits.index(headline.visit) for headline in wanted)
    return range(len(visits) - 1, fewest - 1, -1)


def _series(story: Story, headline: Headline, found: list[Estimates], truths: Estimates) -> dict[str, Any]:
    where = vars(headline)
    places = [estimates.place(**where) for estimates in found]
    at_end = truths.place(**where)
    assert at_end is not None
    return {
        **where,
        "arms": [story.world.arms.index(arm) for arm in headline.contrast.split(" - ")],
        "kind": _analysis(story, headline).kind,
        "level": 1 - _analysis(story, headline).alpha,
        "scale": "log" if headline.measure in RATIOS else "linear",
        "nothing": 1.0 if headline.measure in RATIOS else None if headline.measure == NNT else 0.0,
        "better": _better(story, headline),
        "truth": _finite(truths.truth[0, at_end]),
        "estimate": [_cell(e, "estimate", place) for e, place in zip(found, places, strict=True)],
        "low": [_cell(e, "ci_low", place) for e, place in zip(found, places, strict=True)],
        "high": [_cell(e, "ci_high", place) for e, place in zip(found, places, strict=True)],
        "n_used": [0 if place is None else int(e.n_used[0, place]) for e, place in zip(found, places, strict=True)],
    }


def _cell(estimates: Estimates, name: str, place: int | None) -> float | None:
    """A number of an estimate; None where the fit failed or something is missing."""
    if place is None or not estimates.converged[0, place]:
        return None
    return _finite(getattr(estimates, name)[0, place])


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _better(story: Story, headline: Headline) -> str | None:
    """Whether low or high values of a contrast favour its first arm, where that can be said."""
    analysis = _analysis(story, headline)
    outcome = story.design.outcomes[analysis.outcome]
    if not isinstance(outcome, Score):
        return None
    if endpoint_of(analysis) in ("change", "value"):
        return outcome.better
    return "higher" if endpoint_of(analysis) == "response" else None
