"""Title, timeline, recruitment and funnel in words."""

from __future__ import annotations

from collections.abc import Sequence

from trialsim.design.parts import Criterion, Design, Site, Step
from trialsim.report.describe.phrases import entered, entry, share, takes, wave, when
from trialsim.report.layout import (
    bullets,
    date_text,
    days_as_months,
    heading,
    listed,
    number,
    paragraph,
    percent,
    plural,
    table,
)


def title(design: Design) -> list[str]:
    """What the trial is called, what it is for and where its numbers come from."""
    blocks = [heading(design.title.strip() or design.name, "#")]
    blocks += [paragraph(text) for text in design.description.split("\n\n") if text.strip()]
    if design.source.strip():
        blocks.append(paragraph(f"Source: {design.source.strip()}"))
    said = f"This is the design '{design.name}' in words."
    return [
        *blocks,
        paragraph(f"{said} All but the last section is stated in its file; the last is computed from it."),
    ]


def timeline(design: Design) -> list[str]:
    """Start, end of enrolment, end of follow-up."""
    last_day = design.max_enrolment_days - 1
    name, visit = list(design.visits.items())[-1]
    end = last_day + visit.day + visit.closes
    return [
        heading("Timeline"),
        paragraph(
            f"Study day 0 is {date_text(design.start_date)}. Enrolment closes with the {entry(design)} of"
            f" {plural(design.sample_size, 'participant')}, or at the end of {when(design, last_day)},"
            f" {days_as_months(last_day + 1)} after the start, whichever is first. The last visit, {name}, is"
            f" due {plural(visit.day, 'day')} after {entry(design)} and its window closes"
            f" {_later(visit.closes)}, so follow-up ends on {when(design, end)} at the latest."
        ),
    ]


def _later(days: int) -> str:
    return f"{plural(days, 'day')} later" if days else "on that day"


# --- recruitment --------------------------------------------------------------------------------------------


def recruitment(design: Design) -> list[str]:
    """Sites, rates, changes, pauses and how rates vary."""
    sites = design.recruitment.sites
    rate = sum(site.rate_per_month for site in sites.values())
    several = f"When all are fully open, the {len(sites)} sites contact"
    who = "When fully open, the one site contacts" if len(sites) == 1 else several
    ends = any(site.pool is not None for site in sites.values())
    pool = "; when a site's pool is empty, it contacts nobody" if ends else ""
    intro = f"{who} {number(rate)} people a month of 30.4375 days, at random times (a Poisson process){pool}."
    blocks = [heading("Recruitment"), paragraph(intro), _sites_table(design)]
    events = [*_rate_changes(design), *_pauses(design)]
    if events:
        blocks.append(bullets(events))
    return [*blocks, paragraph(_variation(design))]


def _sites_table(design: Design) -> str:
    alike: dict[Site, list[str]] = {}
    for name, site in design.recruitment.sites.items():
        alike.setdefault(site, []).append(name)
    rows = [[_together(names), *_site_cells(design, site)] for site, names in alike.items()]
    header = ["site", "opens", "people a month, each", "full rate after", "pool"]
    return table(header, rows, "llrll")


def _together(names: Sequence[str]) -> str:
    return listed(names) if len(names) < 4 else f"{names[0]} ... {names[-1]} ({len(names)} sites)"


def _site_cells(design: Design, site: Site) -> list[str]:
    months = f"{number(site.ramp_months)} {'month' if site.ramp_months == 1 else 'months'}"
    ramp = months if site.ramp_months else "at once"
    pool = "no limit" if site.pool is None else number(site.pool)
    return [when(design, site.opens), number(site.rate_per_month), ramp, pool]


def _rate_changes(design: Design) -> list[str]:
    return [
        f"From {when(design, change.starts)} on, the rate {_at(change.sites)} is multiplied by {number(change.factor)}."
        for change in design.recruitment.rate_changes
    ]


def _pauses(design: Design) -> list[str]:
    return [
        f"Nobody is contacted {_at(pause.sites, 'any site')} from {when(design, pause.starts)} to"
        f" {when(design, design.day_of(pause.ends) - 1)}."
        for pause in design.recruitment.pauses
    ]


def _at(sites: Sequence[str], everywhere: str = "every site") -> str:
    return f"at {listed(sites) if sites else everywhere}"


def _variation(design: Design) -> str:
    recruitment = design.recruitment
    phrases = []
    if recruitment.site_cv:
        phrases.append(f"from replicate to replicate (coefficient of variation {number(recruitment.site_cv)})")
    if recruitment.month_cv:
        phrases.append(f"from month to month (coefficient of variation {number(recruitment.month_cv)})")
    if not phrases:
        return f"{_season(design)}Rates are known exactly: only the times of contact are random."
    varies = f"Each site's rate varies at random around these values {listed(phrases)}, with a gamma distribution."
    return f"{_season(design)}{varies}"


def _season(design: Design) -> str:
    season = design.recruitment.season
    return f"All rates rise and fall {wave(season, percent(season.amplitude, None))}. " if season else ""


# --- funnel -------------------------------------------------------------------------------------------------


def funnel(design: Design) -> list[str]:
    """Steps from contact to entering the trial."""
    intro = (
        f"From contact to {entry(design)} people pass these steps; passing the last is being {entered(design)}. The"
        " chance is that of people who have passed the steps before and meet the step's criteria."
    )
    rows = [[name, _passing(step), takes(step.delay)] for name, step in design.funnel.items()]
    blocks = [
        heading("Funnel"),
        paragraph(intro),
        table(["step", "chance of passing", "time it takes"], rows, "lrl"),
    ]
    for name, step in design.funnel.items():
        if step.criteria:
            blocks.append(_criteria(name, step))
        if step.losses:
            blocks.append(paragraph(f"Those not passing '{name}' by chance: {_reasons(step)}."))
    return blocks


def _passing(step: Step) -> str:
    return "criteria only" if step.criteria and step.prob == 1 else share(step.prob)


def _reasons(step: Step) -> str:
    total = sum(step.losses.values())
    return listed([f"{reason} {number(100 * weight / total, 1)}%" for reason, weight in step.losses.items()])


def _criteria(name: str, step: Step) -> str:
    several = "criteria are checked in this order" if len(step.criteria) > 1 else "one criterion is checked"
    items = [f"{reason}: {_excluded(criterion)}." for reason, criterion in step.criteria.items()]
    return bullets(items, lead=f"At '{name}' {several}:")


def _excluded(criterion: Criterion) -> str:
    if criterion.measure is None:
        return f"excludes {share(criterion.excluded_prob or 0.0)} of people at random"
    limits = []
    if criterion.at_least is not None:
        limits.append(f"below {number(criterion.at_least)}")
    if criterion.at_most is not None:
        limits.append(f"above {number(criterion.at_most)}")
    spread = f"with an error of its own (SD {number(criterion.error_sd)})"
    error = spread if criterion.error_sd else "without error"
    return f"excludes when {criterion.measure}, measured at screening {error}, is {listed(limits, 'or')}"
