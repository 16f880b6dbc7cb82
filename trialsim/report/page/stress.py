"""STRESS-DES (Monks et al. 2019, doi:10.1080/17477778.2018.1442155), all its items, filled in from the design and the
replicates."""

from __future__ import annotations

from collections.abc import Iterator

from trialsim.design.allocation import AtLeast
from trialsim.design.delivery import Group, Individual, SelfPaced
from trialsim.design.parts import Design
from trialsim.report.catalogue import ALLOCATIONS
from trialsim.report.describe.assessment import mechanism
from trialsim.report.describe.enrolment import timeline
from trialsim.report.describe.implied import dependence
from trialsim.report.describe.phrases import entered, entry, mean_delay, share
from trialsim.report.layout import date_text, listed, number, plural
from trialsim.report.page.parts import Item, Reference, Statement
from trialsim.report.page.study import Study, named
from trialsim.report.pieces import Paragraph

SOURCE = Reference(
    "Monks T, Currie CSM, Onggo BS, Robinson S, Kunc M, Taylor SJE. Strengthening the reporting of empirical simulation"
    " studies: introducing the STRESS guidelines. Journal of Simulation 2019;13:55-67",
    "10.1080/17477778.2018.1442155",
)


def stress(study: Study) -> Statement:
    """All six chapters."""
    chapters = (
        ("1. Objectives", _objectives(study)),
        ("2. Logic", _logic(study)),
        ("3. Data", _data(study)),
        ("4. Experimentation", _experimentation(study)),
        ("5. Implementation", _implementation(study)),
        ("6. Code access", _access(study)),
    )
    groups = tuple((name, tuple(Item(what, named(texts)) for what, texts in items)) for name, items in chapters)
    return Statement("STRESS-DES checklist, filled in", groups)


Items = list[tuple[str, list[str]]]


# --- 1 ----------------------------------------------------------------------------------------------------------------


def _objectives(study: Study) -> Items:
    design = study.design
    purpose = f"To say what will happen if this trial is run: {design.title.strip() or design.name}."
    return [
        ("1.1 Purpose of the model", [purpose, _first(design)]),
        ("1.2 Model outputs", _outputs(study)),
        ("1.3 Experimentation aims", list(study.aims)),
    ]


def _first(design: Design) -> str:
    return next((" ".join(text.split()) for text in design.description.split("\n\n") if text.strip()), "")


def _outputs(study: Study) -> list[str]:
    design = study.design
    counted = (
        "people through the funnel, dates, sessions, use of staff and waiting, answers, outcomes as observed, cost"
    )
    texts = [f"Of each replicate, at its end: {counted}{', estimates of the analyses' if design.analyses else ''}."]
    if design.analyses:
        texts.append(
            f"Over replicates: performance of {plural(len(design.analyses), 'analysis', 'analyses')}"
            f" ({listed(list(design.analyses))})"
            + (
                f" and chances of {listed([d.label or n for n, d in design.decisions.items()])}"
                if design.decisions
                else ""
            )
            + ". Equations of each measure and of its error stand in the ADEMP statement."
        )
    return [*texts, "Every mean and share is given with its Monte Carlo standard error."]


# --- 2 ----------------------------------------------------------------------------------------------------------------


def _logic(study: Study) -> Items:
    design = study.design
    return [
        ("2.1 Base model overview diagram", [_diagram(design)]),
        ("2.2 Base model logic", _base_logic(design)),
        ("2.3 Scenario logic", list(study.scenarios) or ["There is one mechanism: the design as stated."]),
        ("2.4 Algorithms", list(_algorithms(design))),
        ("2.5.1 Components: entities", _entities(study)),
        ("2.5.2 Components: activities", list(_activities(design))),
        ("2.5.3 Components: resources", list(_resources(design))),
        ("2.5.4 Components: queues", list(_queues(design))),
        ("2.5.5 Components: entry and exit points", _entry_and_exit(design)),
    ]


def _diagram(design: Design) -> str:
    steps = " → ".join(["contacted", *design.funnel])
    visits = " → ".join(design.visits)
    return (
        f"{steps} ({entered(design)}) → arm ({' | '.join(design.arms)}) → {visits}. The flow diagram has the numbers."
    )


def _base_logic(design: Design) -> list[str]:
    return [
        "Time goes in whole study days. Within a day, for everybody before the next: people are recruited; enter the"
        " trial; leave it; give up waiting; ask for treatment; are given places; are treated; places come free;"
        " questionnaires open, are answered, are reminded of, close.",
        *(piece.words for piece in timeline(design) if isinstance(piece, Paragraph)),
        "The annex states every rule in words.",
    ]


def _algorithms(design: Design) -> Iterator[str]:
    kind = ALLOCATIONS[design.allocation.kind]
    if len(design.arms) > 1:
        ratio = ":".join(str(design.allocation.ratio[arm]) for arm in design.arms)
        strata = [_factor(factor) for factor in design.allocation.strata]
        yield f"Allocation: {kind}, {ratio}{f', by {listed(strata)}' if strata else ''}."
    yield "Arrivals: inversion of a Poisson process's cumulative rate; delays: days plus an exponential, rounded down."
    doses = {arm.dose for arm in design.arms.values() if arm.delivery.kind != "none" and arm.effects}
    curves = {
        "saturating": "grows with sessions attended, (1 - exp(-s/k)) / (1 - exp(-all/k))",
        "components": "grows with the components attended, by their weights",
        "assigned": "is full for everybody in the arm",
    }
    if doses:
        yield f"Effect of treatment: {listed([curves[dose] for dose in sorted(doses)])}."
    yield (
        "Outcomes: potential values of every participant under every arm with the same luck; the arm's own is what is"
        " observed, if the visit is answered."
    )


def _factor(factor: str | AtLeast) -> str:
    return factor if isinstance(factor, str) else f"{factor.outcome} of {number(factor.at_least)} or more"


def _entities(study: Study) -> list[str]:
    design = study.design
    traits = [*design.covariates, *(f"level of {name}" for name in design.outcomes), "motivation"]
    texts = [f"People, who become participants when {entered(design)}; each has {listed(traits)}.", *study.counted]
    if design.clusters is not None:
        texts.append(
            f"{(design.clusters.label.strip() or 'clusters').capitalize()} within sites, which are randomized."
        )
    return texts


def _activities(design: Design) -> Iterator[str]:
    steps = [f"{name} ({number(mean_delay(step.delay), 1)} days on average)" for name, step in design.funnel.items()]
    yield f"Steps from contact to {entry(design)}: {listed(steps)}."
    for name, arm in design.arms.items():
        if isinstance(arm.delivery, SelfPaced):
            days = number(mean_delay(arm.delivery.pace), 1)
            yield f"{name}: {plural(len(arm.delivery.modules), 'web module')}, {days} days apart on average."
        elif isinstance(arm.delivery, Individual | Group):
            minutes = number(arm.delivery.session_minutes)
            where = "in groups" if isinstance(arm.delivery, Group) else "one-to-one"
            yield f"{name}: {plural(len(arm.delivery.modules), 'session')} of {minutes} minutes, {where}."
    visits = [f"{name} on day {visit.day:,}" for name, visit in design.visits.items()]
    yield f"Questionnaires: {listed(visits)} after {entry(design)}."


def _resources(design: Design) -> Iterator[str]:
    any_staff = False
    for name, arm in design.arms.items():
        if isinstance(arm.delivery, Individual):
            coaches = design.coaches(name)
            caseloads = sorted({coach.caseload or 1 for coach in coaches})
            spread = f"{caseloads[0]:,}" if len(caseloads) == 1 else f"{caseloads[0]:,} to {caseloads[-1]:,}"
            yield f"{name}: {plural(len(coaches), 'coach')}, each with {spread} participants at a time at most."
            any_staff = True
        elif isinstance(arm.delivery, Group):
            lists = design.n_lists(name)
            each = f" at each of {lists} sites" if lists > 1 else ""
            most = plural(arm.delivery.at_once, "group")
            yield f"{name}: {plural(arm.delivery.facilitators, 'facilitator')}{each}; {most} at a time at most."
            any_staff = True
    if not any_staff:
        yield "None that can run short: no arm is delivered by staff."
    yield "Sites, screeners and assessors are never too busy."


def _queues(design: Design) -> Iterator[str]:
    found = False
    for name, arm in design.arms.items():
        if isinstance(arm.delivery, Individual | Group):
            what = "a coach" if isinstance(arm.delivery, Individual) else "a place in a group"
            most = plural(arm.delivery.max_wait_days, "day")
            yield f"{name}: those who want to start wait for {what}, first come, first served, {most} at most."
            found = True
    if not found:
        yield "None: nobody waits for treatment."


def _entry_and_exit(design: Design) -> list[str]:
    sites = design.recruitment.sites
    rate = sum(site.rate_per_month for site in sites.values())
    withdraw = [f"{name} {share(arm.withdrawal_prob)}" for name, arm in design.arms.items()]
    return [
        f"Entry: contact at {plural(len(sites), 'site')}, {number(rate)} people a month when all are fully open.",
        f"Exit: at a step of the funnel; by withdrawal ({listed(withdraw)} by the last visit); by death"
        f" ({share(design.observation.death_prob)}); after the last visit.",
    ]


# --- 3 ----------------------------------------------------------------------------------------------------------------


def _data(study: Study) -> Items:
    design = study.design
    source = design.source.strip() or "The design states none: its numbers are to be read as assumed."
    return [
        ("3.1 Data sources", [source, *study.published]),
        ("3.2 Pre-processing", ["None when the model runs: the design's numbers are used as they stand."]),
        (
            "3.3 Input parameters",
            ["All of them are in the annex in words, and under 'Reproduce this' as the complete design file."],
        ),
        ("3.4 Assumptions", _assumptions(design)),
    ]


def _assumptions(design: Design) -> list[str]:
    return [
        dependence(design),
        mechanism(design),
        "Covariates are independent of each other and the same at all sites. Effects add up on the scale of the latent"
        " level and do not depend on baseline. Withdrawal depends on the arm alone, death on nothing. There are no"
        " holidays and no interim looks. What is in a design file is an assumption unless its comment or source says"
        " that it was published; comments are not part of the results.",
    ]


# --- 4 to 6 -----------------------------------------------------------------------------------------------------------


def _experimentation(study: Study) -> Items:
    design = study.design
    return [
        (
            "4.1 Initialisation",
            [
                f"The system is empty on study day 0, {date_text(design.start_date)}: nobody is in the funnel, in"
                " treatment or waiting. There is no warm-up, for the trial itself begins so."
            ],
        ),
        (
            "4.2 Run length",
            [
                "A replicate ends by itself, with the last window of the last visit of the last participant. Enrolment"
                f" ends with participant {design.sample_size:,} or after {plural(design.max_enrolment_days, 'day')}."
            ],
        ),
        (
            "4.3 Estimation approach",
            [study.replicates, "Replicates are independent; errors are Monte Carlo standard errors."],
        ),
    ]


def _implementation(study: Study) -> Items:
    versions = ", ".join(f"{name} {version}" for name, version in study.versions.items())
    return [
        ("5.1 Software or programming language", [f"trialsim, in Python ({versions})."]),
        (
            "5.2 Random sampling",
            [
                "SFC64 generators, each keyed by a BLAKE2b hash of the seed, the kind of decision, the block of"
                " replicates and the name of what it is for; everything by inverse distribution functions, drawn"
                " first and decided later.",
                study.luck,
            ],
        ),
        (
            "5.3 Model execution",
            [
                f"Replicates by the {study.engine} engine. trialsim's two engines (SimPy processes, NumPy arrays) give"
                " exactly equal trials; 'trialsim verify' shows it. Events of a day have the fixed order of item 2.2."
                " Numbers do not depend on the number of worker processes."
            ],
        ),
        (
            "5.4 System specification",
            [study.written or "Any computer that runs Python 3.11 or later; no time was kept."],
        ),
    ]


def _access(study: Study) -> Items:
    version = study.versions.get("trialsim", "")
    return [
        (
            "6.1 Computer model sharing statement",
            [
                f"trialsim {version} is free software (MIT licence). The complete design and the command that repeats"
                " every number stand under 'Reproduce this'."
            ],
        )
    ]
