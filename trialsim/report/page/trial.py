"""The report of one design: what its replicates say, section by section."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trialsim.design.reader import digest, library, read_design, resolved_yaml
from trialsim.errors import ResultsError, TrialsimError
from trialsim.experiments.performance import Performance
from trialsim.experiments.superpopulation import ENOUGH
from trialsim.experiments.targets import Finding, Targets, find, targets_of
from trialsim.report import analysis_words as words
from trialsim.report.comparison import comparison_pieces
from trialsim.report.describe import implies, stated
from trialsim.report.describe.assessment import answers
from trialsim.report.describe.phrases import confounded, entered
from trialsim.report.layout import bullets, caption, heading, listed, paragraph, plural, table, with_error
from trialsim.report.page.ademp import SOURCE as OF_ADEMP
from trialsim.report.page.ademp import ademp
from trialsim.report.page.answer import answer, key_numbers
from trialsim.report.page.numbers import mean_text
from trialsim.report.page.overview import overview
from trialsim.report.page.parts import Content, Listing, Page, Section, section
from trialsim.report.page.pictures import Pictures
from trialsim.report.page.run import Run
from trialsim.report.page.stress import SOURCE as OF_STRESS
from trialsim.report.page.stress import stress
from trialsim.report.page.study import Study
from trialsim.report.pieces import Heading, Paragraph, Table
from trialsim.world.formulas import MONTH_DAYS

if TYPE_CHECKING:
    from trialsim.report.figures.material import Material

OF_IMPLIED = 64
"""Replicates for the last section of the design in words."""


def trial_page(material: Material) -> Page:
    """All sections of a report of one design."""
    run = Run(material)
    pictures = Pictures(material)
    title = run.design.title.strip() or run.design.name
    sections = _sections(run, pictures)
    return Page(title, "Simulated trial", tuple(_about(run)), tuple(sections), notice=_notice(run))


def _notice(run: Run) -> str:
    texts = [confounded(run.design)]
    if run.material.n_failed:
        texts.append(f"{plural(run.material.n_failed, 'replicate')} failed and are not in this report.")
    return " ".join(text for text in texts if text)


def _about(run: Run) -> Iterator[tuple[str, str]]:
    first, last = int(run.material.replicates[0]), int(run.material.replicates[-1])
    yield "design", f"{run.design.name} (digest {run.digest})"
    yield "replicates", f"{run.n:,} (number {first:,}{f' to {last:,}' if last > first else ''})"
    yield "seed", str(run.material.seed)
    yield "software", f"trialsim {run.versions.get('trialsim', '')}, {run.engine} engine"
    if run.folder:
        point = f", design point {run.material.point}" if "plan" in run.manifest else ""
        written = f", written {run.manifest['written']}" if "written" in run.manifest else ""
        yield "results", f"{run.folder}{point}{written}"


def _sections(run: Run, pictures: Pictures) -> Iterator[Section]:
    summary = run.summary
    flow = "Participants, as simulated" if confounded(run.design) else "Participants (CONSORT 2025)"
    yield section("answer", "The answer", answer(run), key_numbers(run))
    yield section("design", "The design", list(overview(run.design)))
    yield section(
        "flow", flow, list(pictures("consort")), part(summary.arms(), "By arm"), part(summary.funnel(), "Enrolment"),
        part(summary.clusters()),
    )  # fmt: skip
    yield section(
        "enrolment", "Enrolment and calendar", list(pictures("enrolment", "calendar")), part(summary.calendar(), "")
    )
    yield section(
        "staff", "Staff, waiting and cost", list(pictures("staff", "waiting")), part(summary.staff()),
        part(summary.groups()), part(summary.cost()),
    )  # fmt: skip
    yield section("attendance", "Attendance", list(pictures("attendance")), part(summary.attendance(), ""))
    yield section(
        "outcomes", "Outcomes", _by_outcome(run, pictures), part(summary.outcomes(), "As observed"),
    )  # fmt: skip
    yield section(
        "missing", "Missing data", list(pictures("missing")), part(answers(run.world), "What the design assumes")
    )
    yield section("estimates", "Estimates and their truth", list(pictures("forest")), _analyses(run))
    yield section(
        "errors", "Power and type I error", list(pictures("power", "errors")), part(summary.decisions()), _nulls(run)
    )
    yield section("published", "Published values", _published(run))
    study = study_of(run)
    yield section("ademp", "The simulation study (ADEMP)", _ademp_intro(), ademp(study), OF_ADEMP)
    yield section("stress", "Reporting checklist (STRESS-DES)", stress(study), OF_STRESS)
    yield section("reproduce", "Reproduce this", list(reproduce(run)))
    yield section("annex", "Annex: the design in words", _in_words(run))


def part(pieces: Sequence[str], title: str | None = None) -> list[str]:
    """Pieces as a part of a section: their headings one level up; `title` in place of their first (empty: none)."""
    raised = [heading(piece.words) if isinstance(piece, Heading) else piece for piece in pieces]
    if title is not None and raised and isinstance(raised[0], Heading):
        raised = [heading(title), *raised[1:]] if title else raised[1:]
    return raised


def _by_outcome(run: Run, pictures: Pictures) -> list[Content]:
    """Course and responders of each outcome."""
    return [one for name in run.design.outcomes for one in pictures("trajectories", "responders", outcome=name)]


def _analyses(run: Run) -> list[str]:
    """Tables of every analysis; its words stand in the design's section."""
    known = {words.about(run.design, one) for one in run.design.analyses.values()}
    pieces = [without(piece, "failed, %", like="0.0 ± ") for piece in part(run.analysis_pieces())]
    said = [piece for piece in pieces if not (isinstance(piece, Paragraph) and piece.words in known)]
    whole = run.many and not run.material.refused and not any(row.value for row in _failed(run))
    return [paragraph("No fit failed in any replicate."), *said] if whole and said else said


def _failed(run: Run) -> list[Performance]:
    return [row for rows in run.rows.values() for row in rows if row.statistic == "failed fits"]


def without(piece: str, column: str, *, like: str = "") -> str:
    """A table without a column, if it has it and all of its cells begin with `like`; anything else as it is."""
    if not isinstance(piece, Table) or column not in piece.header:
        return piece
    place = piece.header.index(column)
    if not all(row[place].startswith(like) for row in piece.rows):
        return piece
    kept = [k for k in range(len(piece.header)) if k != place]
    rows = [[row[k] for k in kept] for row in piece.rows]
    return table([piece.header[k] for k in kept], rows, "".join(piece.align[k] for k in kept))


def _ademp_intro() -> str:
    return paragraph("Aims, data-generating mechanisms, estimands, methods and performance measures of this report.")


# --- type I error -----------------------------------------------------------------------------------------------------


def _nulls(run: Run) -> list[str]:
    """Family-wise error under every partial null."""
    if not run.many or not run.design.decisions or not run.decided or confounded(run.design):
        return []
    try:
        nulls = run.material.nulls
    except ResultsError as error:
        return [paragraph(f"The family-wise error is not known: {error}")]
    rows = []
    for parts, name, found in nulls:
        equal = ", ".join(" = ".join(arms) for arms in parts if len(arms) > 1)
        decision = run.design.decisions[name]
        level = f"{100 * decision.alpha:g}%"
        cells = ["no hypothesis about them", "", ""] if found is None else _error_cells(found, decision.alpha)
        rows.append([equal, decision.label or name, *cells[:1], level, *cells[1:]])
    head = ["equal arms", "decision", "error, %", "level", "replicates", ""]
    text = (
        "Chance that any true null hypothesis is rejected, in either direction, in worlds in which the arms named are"
        " equal and all else is as designed; ± Monte Carlo standard error."
    )
    return [heading("Family-wise error under every partial null"), paragraph(text), table(head, rows, "llrrrl")]


def _error_cells(found: tuple[float, float, int], alpha: float) -> list[str]:
    value, mcse, n = found
    over = "above the level (3 Monte Carlo errors or more)" if value - alpha > 3 * mcse else ""
    return [with_error(100 * value, 100 * mcse, 1), f"{n:,}", over]


# --- published values -------------------------------------------------------------------------------------------------


def _published(run: Run) -> list[str]:
    """Published values beside the simulated ones; said plainly where there are none."""
    targets = _targets(run)
    if targets is None:
        return [
            paragraph(
                f"trialsim holds no published values for a design named '{run.design.name}': every number of this"
                " report is simulated from what the design assumes."
            )
        ]
    if not run.many:
        said = "One replicate is not held against published values: they have ranges for means over many replicates."
        return [paragraph(said)]
    findings, left = _findings(run, targets)
    pieces = [paragraph(_how_published(run))]
    if findings:
        pieces += [without(one, "kind") for one in part(comparison_pieces(run.design, targets, findings)[1:])]
    if left:
        pieces += [bullets(left, lead="Published values that these replicates cannot be held against:")]
    return pieces


def _targets(run: Run) -> Targets | None:
    try:
        return targets_of(run.design.name)
    except TrialsimError:
        return None


def _how_published(run: Run) -> str:
    known = library().get(run.design.name)
    same = known is not None and digest(read_design(known)) == run.digest
    changed = "" if same else (
        " The design of this report is NOT the library's of that name (something was changed): the published trial is"
        " another one."
    )  # fmt: skip
    return (
        "Published values are those of the library's file of targets for this design, each with its source; 'seed' and"
        " 'seen' say where it was read, 'derived' that it was computed from what was read. Simulated values are those"
        f" of this report's replicates.{changed}"
    )


def _findings(run: Run, targets: Targets) -> tuple[list[Finding], list[str]]:
    findings: list[Finding] = []
    left: list[str] = []
    for target in targets.targets:
        if target.design is not None:
            left.append(f"{target.label}: needs the library's design {target.design}")
        elif (target.replicates or 0) > run.n:
            left.append(f"{target.label}: needs {target.replicates:,} replicates")
        else:
            try:
                findings.append(find(run.experiment, target))
            except TrialsimError as error:
                left.append(f"{target.label}: {error}")
    return findings, left


# --- statements -------------------------------------------------------------------------------------------------------


def study_of(run: Run) -> Study:
    """This report as a simulation study."""
    design, rows = run.design, [row for rows in run.rows.values() for row in rows]
    rows += [row for decided in run.decided.values() for row in decided]
    return Study(
        design=design,
        world=run.world,
        aims=_aims(run),
        scenarios=_scenarios(run),
        truth=_truth(run),
        replicates=_replicates(run),
        n_replicates=run.n,
        performance=tuple(rows),
        engine=run.engine,
        versions=run.versions,
        written=_written(run),
        luck=f"Seed {run.material.seed}. Null worlds share it (common random numbers).",
        published=_where_published(run),
        counted=_counted(run),
    )


def _aims(run: Run) -> tuple[str, ...]:
    design = run.design
    what = [d.label or name for name, d in design.decisions.items()]
    success = f"the chance of success ({listed(what)}), " if what else ""
    of_analyses = (
        f"bias, precision and error of {plural(len(design.analyses), 'planned analysis', 'planned analyses')}, "
    )
    analyses = of_analyses if design.analyses else ""
    return (
        f"To find {success}{analyses}and how long the trial takes, whom it needs and what it costs.",
        "One design is looked at, as it is stated; nothing is compared or optimised.",
    )


def _null_worlds(run: Run) -> list[str]:
    if not run.many or not run.design.decisions or confounded(run.design):
        return []
    return [", ".join(" = ".join(arms) for arms in parts if len(arms) > 1) for parts, _ in run.material.null_worlds()]


def _scenarios(run: Run) -> tuple[str, ...]:
    worlds = _null_worlds(run)
    if not worlds:
        return ()
    return (
        f"For the type I error, {plural(len(worlds), 'null world')} besides, in which arms are equal:"
        f" {'; '.join(worlds)}; {run.material.n_nulls:,} replicates of each. Equal arms have no effect if one of them"
        " has none, else the effects and delivery of the first.",
    )


def _truth(run: Run) -> str:
    base = (
        "True values are means of potential outcomes: of the same simulated people under every arm, with the same luck."
    )
    if run.material.results is not None and not run.material.results.tables:
        return base
    n = float(np.nansum(run.values("randomized/all")))
    own = n >= ENOUGH or not run.many or "performance" not in _tables(run)
    if own:
        return f"{base} They are averaged over the replicates' own {n:,.0f} participants."
    return f"{base} They come from a simulation of their own, of at least {ENOUGH:,} participants."


def _tables(run: Run) -> tuple[str, ...]:
    """Tables of a results folder; a run just made has what `trialsim run` would have written."""
    return ("performance",) if run.material.results is None else run.material.results.tables


def _replicates(run: Run) -> str:
    failed = run.material.n_failed
    n_failed = f"{plural(failed, 'replicate')} failed" if failed else "none failed"
    return f"{plural(run.n, 'replicate')} of seed {run.material.seed}; {n_failed}."


def _written(run: Run) -> str:
    if not run.manifest:
        return f"{platform.system()} on {platform.machine()}; one core is enough."
    seconds = run.manifest.get("seconds")
    took = f"{seconds:,.0f} s of computing; " if isinstance(seconds, int | float) else ""
    return f"{took}results written {run.manifest.get('written', 'at an unknown time')}; the computer was not recorded."


def _where_published(run: Run) -> tuple[str, ...]:
    targets = _targets(run)
    if targets is None:
        return ("No published values are held against it.",)
    held = [target for target in targets.targets if target.held]
    fitted, shown = sum(target.kind == "fitted" for target in held), len(targets.targets) - len(held)
    others = f" {plural(shown, 'more value')} are shown beside them and not held." if shown else ""
    return (
        f"{plural(len(held), 'published value')} with their sources stand under 'Published values': numbers of the"
        f" design were fitted to {fitted:,}, and {len(held) - fitted:,} were not used to choose any.{others}",
    )


def _counted(run: Run) -> tuple[str, ...]:
    if not run.values("randomized/all").any():
        return ()
    contacted, n = mean_text(run.values("funnel/contacted"), 0), mean_text(run.values("randomized/all"))
    months = mean_text((run.values("calendar/last_visit_day") + 1) / MONTH_DAYS, 1)
    return (f"A replicate has {contacted} people contacted, {n} {entered(run.design)}, and lasts {months} months.",)


# --- reproduction and annex -------------------------------------------------------------------------------------------


def reproduce(run: Run) -> Iterator[Content]:
    """Commands, versions, digests, and the complete design."""
    name, n, seed = run.design.name, run.n, run.material.seed
    first = int(run.material.replicates[0])
    starts = f" --first {first}" if first else ""
    yield paragraph(
        f"Save the design below as {name}.yaml. The first command repeats every replicate of this report and keeps its"
        " tables; the second makes this report again."
    )
    engine = f" --engine {run.engine}" if run.n == 1 or run.engine == "process" else ""
    commands = [f"trialsim run {name}.yaml --seed {seed} --replicates {n}{starts}{engine} --out {name}-results"]
    commands.append(f"trialsim report {name}-results --out report.html")
    yield Listing("\n".join(commands))
    stored = run.manifest.get("command")
    if stored:
        yield from (paragraph("The results were made by this command:"), Listing(str(stored)))
    yield from (caption("What they were made with"), table(["", "value"], list(_versions(run)), "ll"))
    yield Listing(resolved_yaml(run.design), f"The complete design, {name}.yaml (digest {run.digest})")


def _versions(run: Run) -> Iterator[list[str]]:
    yield ["design digest", run.digest]
    yield ["seed", str(run.material.seed)]
    yield ["engine", run.engine]
    yield from ([name, version] for name, version in run.versions.items())
    key = run.manifest.get("key", {})
    if "block" in key:
        yield ["replicates that share a generator", str(key["block"])]


def _in_words(run: Run) -> list[str]:
    """The design as `trialsim describe` has it, without its title."""
    told = stated(run.world)
    start = next(place for place, piece in enumerate(told) if isinstance(piece, Heading) and piece.level == 2)
    said = "All but the last part is stated in the design's file; the last is computed from it."
    return [paragraph(said), *told[start:], *implies(run.world, n_replicates=OF_IMPLIED, seed=run.material.seed)]
