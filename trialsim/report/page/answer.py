"""The answer first: will the trial work, how long does it take, what does it cost, and whom does it need."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trialsim.analysis.estimates import COMPARISONS
from trialsim.design.decisions import hypotheses_of
from trialsim.design.delivery import Group, Individual
from trialsim.experiments.performance import Performance
from trialsim.report.describe.phrases import entered, is_randomized
from trialsim.report.describe.plan import claim
from trialsim.report.layout import caption, date_text, listed, number, plural, table, with_error
from trialsim.report.page.numbers import (
    date_of_mean,
    date_of_quantile,
    mean_text,
    quantile_text,
)
from trialsim.report.page.parts import Answer
from trialsim.report.page.run import Run
from trialsim.world.formulas import MONTH_DAYS

LADDER = ((0.9, "Very likely to work"), (0.8, "Likely to work"), (0.6, "More likely to work than not"),
          (0.4, "About as likely to fail as to work"), (0.0, "Unlikely to work as it stands"))  # fmt: skip
"""What is said of a chance of success from each value on. 80 and 90 % are what trials are usually planned for."""


def answer(run: Run) -> Answer:
    """Success, time, size, staff and cost in a paragraph each."""
    verdict, chance = success(run)
    told = [("Chance", chance), ("Time", _time(run)), ("People", _size(run))]
    told += [*(("Staff", text) for text in _staff(run)), ("Cost", _cost(run)), ("How sure", _caution(run))]
    return Answer(verdict, tuple((about, text) for about, text in told if text))


def in_words(p: float) -> str:
    """'Likely to work', for a chance of success."""
    return next(words for limit, words in LADDER if p >= limit)


# --- success ----------------------------------------------------------------------------------------------------------


def success(run: Run) -> tuple[str, str]:
    """Verdict and the chances that it rests on."""
    design = run.design
    if not run.many:
        return "One simulated trial, not a chance.", (
            "This is the story of one replicate: it shows what a trial of this design can look like. Chances, and how"
            " exactly they are known, need many (--replicates)."
        )
    if len(design.arms) == 1:
        return "There is one arm, so nothing is compared.", ""
    if not is_randomized(design) and design.allocation.kind == "cohorts":
        return "Nobody is randomized, so differences between the arms are not effects.", _found_and_true(run)
    decided = [row for rows in run.decided.values() for row in rows if row.statistic == "success"]
    if decided:
        label = design.decisions[decided[0].label.measure].label or decided[0].label.measure
        return _verdict(decided[0], label if len(decided) > 1 else ""), " ".join(_decided(run, row) for row in decided)
    tested = first_tested(run)
    if tested is None:
        return "Whether it works is not asked: no analysis is planned or none could be summarised.", ""
    return _verdict(tested), (
        f"No rule of success is stated. The chance that {_pair(tested.label.contrast)} are declared different at"
        f" {_visit(run, tested.label.visit)} ({tested.label.analysis}) is {chance_text(tested)}."
    )


def _verdict(row: Performance, of: str = "") -> str:
    """'Likely to work: the chance is 84.5 ± 1.1%.'; `of` is the first decision where there are several."""
    return f"{in_words(row.value)}: the chance{f' of the first decision ({of})' if of else ''} is {chance_text(row)}."


def chance_text(row: Performance) -> str:
    """'84.5 ± 1.1%', or '100%' with what the other side could be."""
    return f"{with_error(100 * row.value, 100 * row.mcse, 1)}%"


def _decided(run: Run, row: Performance) -> str:
    """What success is, and the chances of the hypotheses behind it."""
    decision = run.design.decisions[row.label.measure]
    rule = decision.success or " or ".join(claim(one) for one in hypotheses_of(run.design, decision))
    label = decision.label or row.label.measure
    parts = [
        f"{_pair(one.label.contrast)} at {_visit(run, one.label.visit)} {chance_text(one)}"
        for one in run.decided[row.label.measure]
        if one.statistic == "marginal power"
    ]
    each = f" By hypothesis: {listed(parts)}." if len(parts) > 1 else ""
    return f"{label}: success is that {rule}; its chance is {chance_text(row)} (± Monte Carlo standard error).{each}"


def first_tested(run: Run) -> Performance | None:
    """Power of the first comparison of the first analysis that has any."""
    rows = (row for rows in run.rows.values() for row in rows)
    return next((row for row in rows if row.statistic == "power" and row.label.measure in COMPARISONS), None)


def _found_and_true(run: Run) -> str:
    """For cohorts: what is found between arms, and what randomizing the same people would have found."""
    rows = [row for rows in run.rows.values() for row in rows if row.label.measure in COMPARISONS]
    found = next((row for row in rows if row.statistic == "mean estimate"), None)
    true = next((row for row in rows if row.statistic == "truth" and found and row.label == found.label), None)
    if found is None or true is None:
        return ""
    label = found.label
    return (
        f"The {label.measure} of {_pair(label.contrast)} at {_visit(run, label.visit)} ({label.analysis}) is"
        f" {with_error(found.value, found.mcse, 2)} on average as observed; comparing the same people under both arms"
        f" would give {with_error(true.value, true.mcse, 2)}. The difference between the two is confounding."
    )


def _pair(contrast: str) -> str:
    """'coach against usual'."""
    return contrast.replace(" - ", " against ")


def _visit(run: Run, name: str) -> str:
    visit = run.design.visits.get(name)
    return (visit.label if visit else "") or name or "all visits"


# --- time, size, staff, cost ------------------------------------------------------------------------------------------


def _time(run: Run) -> str:
    design = run.design
    months, last = run.values("calendar/enrolment_months"), run.values("calendar/last_visit_day")
    if not run.values("randomized/all").any():
        return f"Nobody is {entered(design)} in any replicate."
    return (
        f"Enrolment opens on {date_text(design.start_date)} and takes {mean_text(months, 1)} months"
        f"{_nine_in_ten(months, 1)}; the last visit is on {date_of_mean(design, last)},"
        f" {mean_text((last + 1) / MONTH_DAYS, 1)} months after the start."
    )


def _nine_in_ten(values: np.ndarray, digits: int) -> str:
    low, high = (quantile_text(values, prob, digits) for prob in (0.05, 0.95))
    return "" if "-" in (low, high) else f" (in nine of ten replicates between {low} and {high})"


def _size(run: Run) -> str:
    design, n = run.design, run.values("randomized/all")
    share, mcse = run.reached
    wanted = f"{design.sample_size:,} participants"
    if not run.many:
        reached = f"{number(float(n[0]))} of {wanted} wanted are {entered(design)}"
    elif share == 1:
        reached = f"Every one of {run.n:,} replicates reaches the {wanted} wanted"
    elif share == 0:
        reached = f"No replicate reaches the {wanted} wanted: {mean_text(n)} are {entered(design)} on average"
    else:
        reached = f"{with_error(100 * share, 100 * mcse, 1)}% of replicates reach the {wanted} wanted"
    contacted = mean_text(run.values("funnel/contacted"), 0)
    each = mean_text(run.values("funnel/contacted_per_randomized"), 1)
    return f"{reached}; {contacted} people are contacted, {each} for each participant."


def _staff(run: Run) -> Iterator[str]:
    for name, arm in run.design.arms.items():
        if isinstance(arm.delivery, Individual):
            yield _coaches(run, name)
        elif isinstance(arm.delivery, Group):
            yield _groups(run, name, arm.delivery)


def _coaches(run: Run, arm: str) -> str:
    def said(measure: str, digits: int | None = None) -> str:
        return mean_text(run.values(f"coaches/{arm}/{measure}"), digits)

    n = plural(len(run.design.coaches(arm)), "coach")
    return (
        f"{arm}: {n} give {said('hours', 0)} hours in {said('sessions', 0)} sessions and have"
        f" {said('places_used', 1)}% of their places taken; {_waits(run, f'coaches/{arm}', 'a coach')}."
    )


def _waits(run: Run, path: str, what: str) -> str:
    """How long participants wait."""
    longest = run.values(f"{path}/longest_wait_days")
    if not np.nansum(longest):
        return f"nobody waits for {what} in any replicate"
    mean = mean_text(run.values(f"{path}/mean_wait_days"), 1)
    return f"participants wait {mean} days for {what}, the longest {mean_text(longest, 0)} days"


def _groups(run: Run, arm: str, delivery: Group) -> str:
    def said(measure: str, digits: int | None = None) -> str:
        return mean_text(run.values(f"groups/{arm}/{measure}"), digits)

    sites = len(run.design.recruitment.sites) if delivery.by_site else 1
    where = " at each site" if sites > 1 else ""
    return (
        f"{arm}: {plural(delivery.facilitators, 'facilitator')}{where} lead {said('n_groups', 0)} groups of"
        f" {said('mean_size', 1)} participants ({said('hours', 0)} hours of sessions);"
        f" {_waits(run, f'groups/{arm}', 'a group')}."
    )


def _cost(run: Run) -> str:
    total, n = run.values("cost/total"), run.values("randomized/all")
    if not np.nansum(total):
        return "No costs are stated in the design."
    each = np.divide(total, n, out=np.full(len(total), np.nan), where=n > 0)
    currency = run.design.costs.currency
    return f"It costs {currency} {mean_text(total, 0)}, {currency} {mean_text(each, 0)} for each participant."


def _caution(run: Run) -> str:
    error = (
        f" What follows ± is the Monte Carlo standard error of {run.n:,} replicates: how exactly the design's"
        " consequences are computed, not how sure its assumptions are."
        if run.many
        else ""
    )
    return f"All of this is simulated: it holds if the trial's world is as the design says.{error}"


# --- key numbers ------------------------------------------------------------------------------------------------------


def key_numbers(run: Run) -> list[str]:
    """The same as a table: mean, and what nine of ten replicates lie between."""
    rows = [*_chances(run), *_counted(run)]
    if not run.many:
        return [caption("Key numbers of this replicate"), table(["", "value"], [row[:2] for row in rows], "lr")]
    head = ["", "mean", "5% of replicates below", "5% above"]
    return [
        caption("Key numbers, each ± its Monte Carlo standard error"),
        table(head, rows, "lrrr"),
    ]


def _chances(run: Run) -> Iterator[list[str]]:
    for name, rows in run.decided.items():
        label = run.design.decisions[name].label or name
        for row in rows:
            if row.statistic in ("success", "marginal power"):
                of = f"power, {_pair(row.label.contrast)} at {_visit(run, row.label.visit)} ({row.label.analysis})"
                yield [f"chance of success: {label}" if row.statistic == "success" else of, chance_text(row), "", ""]


def _counted(run: Run) -> Iterator[list[str]]:
    design = run.design
    yield _row(run, f"participants {entered(design)}", run.values("randomized/all"), 0)
    yield _row(run, "people contacted", run.values("funnel/contacted"), 0)
    yield _row(run, "months of enrolment", run.values("calendar/enrolment_months"), 1)
    last = run.values("calendar/last_visit_day")
    ends = [date_of_quantile(design, last, prob) for prob in (0.05, 0.95)] if run.many else ["", ""]
    yield ["date of the last visit", date_of_mean(design, last), *ends]
    for what, pattern in (
        ("hours of sessions with coaches", "coaches/{}/hours"),
        ("hours of groups", "groups/{}/hours"),
    ):
        hours = run.total(pattern)
        if hours.any():
            yield _row(run, what, hours, 0)
    if np.nansum(run.values("cost/total")):
        yield _row(run, f"cost [{design.costs.currency}]", run.values("cost/total"), 0)


def _row(run: Run, what: str, values: np.ndarray, digits: int) -> list[str]:
    ends = [quantile_text(values, prob, digits) for prob in (0.05, 0.95)] if run.many else ["", ""]
    return [what, mean_text(values, digits), *ends]
