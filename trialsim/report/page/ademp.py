"""The study as Morris, White and Crowther ask for it (2019, doi:10.1002/sim.8086): aims, data-generating mechanisms,
estimands, methods and performance measures, with the values of the design and of the replicates."""

from __future__ import annotations

import math
from collections.abc import Iterator

from trialsim.experiments.performance import Performance
from trialsim.report import analysis_words as words
from trialsim.report.catalogue import in_short
from trialsim.report.describe.assessment import mechanism
from trialsim.report.describe.plan import procedure
from trialsim.report.layout import listed, number, percent, plural
from trialsim.report.page.parts import Item, Reference, Statement
from trialsim.report.page.study import Study, named

SOURCE = Reference(
    "Morris TP, White IR, Crowther MJ. Using simulation studies to evaluate statistical methods."
    " Statistics in Medicine 2019;38:2074-2102",
    "10.1002/sim.8086",
)

MEASURES = {
    "power": ("share of replicates in which the arms are declared different", "sqrt(p (1 - p) / R)"),
    "marginal power": ("share of replicates that reject it in favour of its first arm", "sqrt(p (1 - p) / R)"),
    "success": ("share of replicates in which the decision's rule holds", "sqrt(p (1 - p) / R)"),
    "bias": ("mean of estimate minus true value", "SD of the differences / sqrt(R)"),
    "coverage": ("share of replicates whose interval holds the true value", "sqrt(p (1 - p) / R)"),
    "empirical SE": ("standard deviation of the estimates", "empirical SE / sqrt(2 (R - 1))"),
    "model SE": ("root of the mean squared standard error", "SD of squared standard errors / (2 model SE sqrt(R))"),
    "relative error of SE": ("model SE / empirical SE - 1", "by the delta method from the two above"),
    "MSE": ("mean squared distance from the true value", "SD of the squared distances / sqrt(R)"),
    "failed fits": ("share of replicates in which the fit failed", "sqrt(p (1 - p) / R)"),
}  # fmt: skip
"""Of each performance measure: what it is, and its Monte Carlo standard error over R replicates."""


def ademp(study: Study) -> Statement:
    """The statement, filled in."""
    items = (
        Item("Aims", study.aims),
        Item("Data-generating mechanisms", named(list(_mechanisms(study)))),
        Item("Estimands", named(list(_estimands(study)))),
        Item("Methods", named(list(_methods(study)))),
        Item("Performance measures", named(list(_performance(study)))),
    )
    return Statement("The simulation study as ADEMP", (("", items),))


def _mechanisms(study: Study) -> Iterator[str]:
    design = study.design
    n_sites = len(design.recruitment.sites)
    yield (
        f"The trial as a whole is simulated, from first contact to last visit, of the design '{design.name}':"
        f" {in_short(design)}; {plural(n_sites, 'site')}, {plural(len(design.funnel), 'step')} from contact to"
        f" entering, {plural(len(design.visits), 'visit')} ({listed(list(design.visits))}), outcomes"
        f" {listed([outcome.label or name for name, outcome in design.outcomes.items()])}."
    )
    yield (
        "All luck is parametric: people arrive by Poisson processes; traits, latent levels, errors and changes are"
        " normal (outcomes joined by a Gaussian copula); starting, stopping, answering and leaving follow probit and"
        " constant-hazard models. Every number of these models is in the design; no data set is resampled."
    )
    yield f"Missing data: {mechanism(design)}"
    yield from study.scenarios
    source = design.source.strip()
    stated = f"The design's source: {source}." if source else "The design states no source: its numbers are assumed."
    yield stated.replace("..", ".")


def _estimands(study: Study) -> Iterator[str]:
    design = study.design
    if not design.analyses:
        yield "None: no analysis is planned. What is computed are counts, dates, costs and answers."
        return
    grouped: dict[str, list[str]] = {}
    for name, analysis in design.analyses.items():
        if analysis.kind == "user":
            grouped.setdefault("What a function of the user's own estimates.", []).append(name)
            continue
        said = words.estimand(design, analysis, words.label(design, analysis))
        grouped.setdefault(said, []).append(name)
    for said, names in grouped.items():
        yield f"{listed(names)}: {said}"
    yield study.truth


def _methods(study: Study) -> Iterator[str]:
    design = study.design
    if not design.analyses:
        yield "None."
    for name, analysis in design.analyses.items():
        yield f"{name}: {words.about(design, analysis)}"
    for name, decision in design.decisions.items():
        rule = decision.success or "any hypothesis is rejected in favour of its first arm"
        yield (
            f"Decision {decision.label or name}: {procedure(decision)}; two-sided level"
            f" {percent(decision.alpha, None)}; success: {rule}."
        )


def _performance(study: Study) -> Iterator[str]:
    n = study.n_replicates
    yield study.replicates
    if n < 2:
        yield "One replicate has no performance: it is one trial."
        return
    yield (
        f"A share p of R = {n:,} replicates has the Monte Carlo standard error sqrt(p (1 - p) / R), which is"
        f" {number(100 * 0.5 / math.sqrt(n), 2)} percentage points at most and"
        f" {number(100 * math.sqrt(0.05 * 0.95 / n), 2)} at 5 or 95%. (Where all or no replicates are hits, the error"
        " one hit away is given, as the formula would be 0.)"
    )
    for statistic, (what, formula) in MEASURES.items():
        achieved = _achieved(study.performance, statistic)
        if achieved:
            yield f"{statistic}: {what}; Monte Carlo standard error {formula}; {achieved}."
    yield (
        "Ratios are taken on the log scale. A fit that fails is a row of the results, never 'not significant'; analyses"
        " in which any failed are not summarised unless that is asked for."
    )


def _achieved(rows: tuple[Performance, ...], statistic: str) -> str:
    """'achieved: at most 0.0123 (coach - usual at m3, responders)'."""
    known = [row for row in rows if row.statistic == statistic and not math.isnan(row.mcse)]
    if not known:
        return ""
    worst = max(known, key=lambda row: row.mcse)
    label = worst.label
    measure = "" if label.estimand == "decision" else f"{label.measure}, "
    where = f"{label.contrast}{f' at {label.visit}' if label.visit else ''}, {measure}{label.analysis}"
    each = f"over {plural(len(known), 'number')}, " if len(known) > 1 else ""
    return (
        f"achieved: {each}at most {number(worst.mcse, 4)} ({where})"
        if len(known) > 1
        else f"achieved: {number(worst.mcse, 4)}"
    )
