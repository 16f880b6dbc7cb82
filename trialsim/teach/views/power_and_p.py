"""Power and the dance of p values: the same trial many times over."""

from __future__ import annotations

import numpy as np

from trialsim.design.parts import Design
from trialsim.experiments.performance import mean_with_error
from trialsim.report.layout import number
from trialsim.teach import panels
from trialsim.teach.questions import Answer, Question
from trialsim.teach.views import drawing as draw
from trialsim.teach.views.samples import Designs, Given, Result, Sample, changed, number_of, share, view

EFFECT = "arms.online.effects.pain.by_visit.m3"
SIZES = (50, 100, 150, 200, 300, 400, 600)
BINS = 20
TIP = "Share of trials with p below 0.05."
UNKNOWN: Given = (float("nan"), float("nan"))


def on_screen(question: Question) -> Design:
    """The design with its knobs turned."""
    n, effect = int(number_of(question, "n")), number_of(question, "effect")
    return changed(question.design, {"sample_size": n, EFFECT: effect})


def one(question: Question) -> Designs:
    """The trial."""
    return {"trial": on_screen(question)}


def sizes(question: Question) -> Designs:
    """The trial, and the same of other sizes."""
    trial = on_screen(question)
    return {"trial": trial} | {f"{n}": changed(trial, {"sample_size": n}) for n in SIZES}


# --- what significance does -------------------------------------------------------------------------------------------


def significant(result: Result) -> np.ndarray:
    """Which replicates are significant, (R,)."""
    return result.column("significant") == 1


def exaggeration(result: Result) -> Given:
    """How much larger than the true effect the significant estimates are, on average, and its error.

    Type M error (Gelman and Carlin 2014, doi:10.1177/1745691614551642). NaN where nothing is significant or true.
    """
    truth, found = result["truth"][0], np.abs(result.column("estimate")[significant(result)])
    if not len(found) or abs(truth) < 1e-9:
        return UNKNOWN
    mean, mcse, _ = mean_with_error(found)
    return mean / abs(truth), mcse / abs(truth)


def wrong_sign(result: Result) -> Given:
    """Share of the significant estimates that have the wrong sign (type S error); NaN where there are none."""
    truth, found = result["truth"][0], result.column("estimate")[significant(result)]
    return share(found * truth < 0) if len(found) and abs(truth) >= 1e-9 else UNKNOWN


# --- the dance --------------------------------------------------------------------------------------------------------


def dance(question: Question, samples: dict[str, Sample]) -> Answer:
    """The first 100 trials as intervals, and what is true of all of them."""
    result = samples["trial"].result("change")
    truth, n = result["truth"][0], draw.n_of(result)
    counts = [
        panels.Share("significant (p < 0.05)", result["power"][0], n, result["power"][1]),
        panels.Share("intervals that hold the truth", result["coverage"][0], n, result["coverage"][1]),
    ]
    rows = intervals(result, truth)
    ends = [x for row in rows for x in (row.low, row.high)]
    picture = panels.intervals(
        "The same trial again and again: difference in change of pain",
        x=draw.axis("difference, points", ends),
        rows=rows,
        counts=counts,
        truth=(truth, draw.TRUTH),
        note=f"Each line is one trial's 95 % confidence interval: {len(rows)} of {n} trials. Shares are of all {n}.",
    )
    return Answer([picture, _in_numbers(result)], [_said(result), *draw.failures([result])])


def intervals(result: Result, truth: float) -> list[panels.Interval]:
    """The first replicates, at most 100."""
    e, kept = result.estimates, np.flatnonzero(result.good)[: panels.MOST_ROWS]
    return [
        panels.Interval(
            int(e.replicate[r]),
            float(e.estimate[r, 0]),
            float(e.ci_low[r, 0]),
            float(e.ci_high[r, 0]),
            float(e.p_value[r, 0]),
            bool(e.significant[r, 0] == 1),
            bool(e.ci_low[r, 0] <= truth <= e.ci_high[r, 0]),
        )
        for r in kept
    ]


def _in_numbers(result: Result) -> panels.Panel:
    works = abs(result["truth"][0]) >= 1e-9
    items = [
        draw.figure("power", "power" if works else "false positives", result["power"], share=True, tip=TIP),
        draw.figure("mean", "mean of all estimates", result["mean estimate"], unit="points"),
        draw.figure("significant", "mean of the significant ones", significant_mean(result), unit="points"),
        draw.figure("exaggeration", "how much these exaggerate", exaggeration(result), unit="× the truth"),
        draw.figure("sign", "significant with the wrong sign", wrong_sign(result), share=True),
    ]
    return panels.numbers("All of these trials", items=items, note="± is simulation error.")


def significant_mean(result: Result) -> Given:
    """Mean of the estimates that are significant."""
    return mean_with_error(result.column("estimate")[significant(result)])[:2]


def _said(result: Result) -> str:
    found = exaggeration(result)
    among = f" Those with p below 0.05 are {draw.pair(*found)} times the true effect on average."
    said = (
        f"{draw.percent_pair(*result['power'])} of trials have p below 0.05. The mean of all estimates is "
        f"{draw.pair(*result['mean estimate'])}, the true effect {draw.pair(*result['truth'])}."
    )
    return said if np.isnan(found[0]) else said + among


# --- p values ---------------------------------------------------------------------------------------------------------


def p_values(question: Question, samples: dict[str, Sample]) -> Answer:
    """How p values are spread over 0 to 1."""
    result = samples["trial"].result("change")
    p = result.column("p_value")
    cell = np.minimum((p * BINS).astype(int), BINS - 1)
    bars = [
        draw.bar(f"p{k}", f"{k / BINS:.2f}", share(cell == k), colour=draw.RED if k == 0 else draw.BLUE)
        for k in range(BINS)
    ]
    picture = panels.bars(
        "How often p falls where",
        y=draw.upto("share of trials", max(one.high for one in bars)),
        bars=bars,
        lines=[panels.Mark(1 / BINS, "1 in 20: what chance alone gives everywhere", "y")],
        note=f"Each bar: p from the number below it to 0.05 more; the first is p < 0.05. {draw.OF_SHARES}",
    )
    low, mid, high = (number(float(x), 3) for x in np.quantile(p, [0.1, 0.5, 0.9]))
    said = f"Half of the p values are below {mid}; one in ten is below {low}, and one in ten above {high}."
    return Answer([picture], [_said(result), said, *draw.failures([result])])


# --- sizes ------------------------------------------------------------------------------------------------------------


def curves(question: Question, samples: dict[str, Sample]) -> Answer:
    """Power, the width of intervals and exaggeration by the number of participants."""
    results = [samples[f"{n}"].result("change") for n in SIZES]
    x, here = panels.Axis("participants, both arms", 0, max(SIZES)), number_of(question, "n")
    marks = [panels.Mark(here, "the slider", "x")]
    note = f"{samples['trial'].n} trials of each size; 95 % bands of simulation error."
    power = panels.curve(
        "Power",
        x=x,
        y=panels.Axis("share of trials with p < 0.05", 0, 1, percent=True),
        series=[draw.line("power", "power", draw.BLUE, SIZES, [one["power"] for one in results], share=True)],
        lines=marks,
        note=note,
    )
    widths = [mean_with_error(one.column("ci_high") - one.column("ci_low"))[:2] for one in results]
    width = panels.curve(
        "Width of the 95 % confidence interval",
        x=x,
        y=draw.axis("points", [w for w, _ in widths]),
        series=[draw.line("width", "mean width", draw.GREEN, SIZES, widths)],
        lines=marks,
        note=note,
    )
    told = [one for one in (_exaggerated(results, x, marks, note),) if one is not None]
    return Answer([power, width, *told], [_over_sizes(results, widths), *draw.failures(results)])


def _exaggerated(results: list[Result], x: panels.Axis, marks: list[panels.Mark], note: str) -> panels.Panel | None:
    """By how much significant results exaggerate, at sizes that have at least two; None without effect."""
    found = [(n, exaggeration(one)) for n, one in zip(SIZES, results, strict=True)]
    known = [(n, given) for n, given in found if np.isfinite(given[1])]
    if not known:
        return None
    series = draw.line("exaggeration", "significant estimates", draw.RED, [n for n, _ in known], [g for _, g in known])
    return panels.curve(
        "How much significant estimates exaggerate",
        x=x,
        y=draw.axis("times the true effect", [*series.high, 1.0]),
        series=[series],
        lines=[*marks, panels.Mark(1.0, "no exaggeration", "y")],
        note=note,
    )


def _over_sizes(results: list[Result], widths: list[Given]) -> str:
    few, many = SIZES.index(100), SIZES.index(400)
    powers = [draw.percent_pair(*results[k]["power"]) for k in (few, many)]
    points = [draw.pair(*widths[k]) for k in (few, many)]
    return (
        f"From 100 to 400 participants the mean width of the interval goes from {points[0]} to {points[1]} points, and "
        f"power from {powers[0]} to {powers[1]}."
    )


VIEWS = {
    "dance": view("The dance", one, dance),
    "p_values": view("Where p values fall", one, p_values),
    "sizes": view("What more participants do", sizes, curves, most=250),
}
