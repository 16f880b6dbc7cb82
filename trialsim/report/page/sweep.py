"""The report of a sweep: what was varied, what came of it, and which design is the best."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from trialsim.design.reader import digest, resolved_yaml
from trialsim.design.yamltree import plain, read_tree
from trialsim.experiments.performance import Performance
from trialsim.report.describe.phrases import confounded
from trialsim.report.layout import caption, heading, listed, number, paragraph, percent, plural, table, with_error
from trialsim.report.page.ademp import SOURCE as OF_ADEMP
from trialsim.report.page.ademp import ademp
from trialsim.report.page.overview import overview
from trialsim.report.page.parts import Answer, Content, Listing, Page, Section, section
from trialsim.report.page.pictures import Pictures
from trialsim.report.page.stress import SOURCE as OF_STRESS
from trialsim.report.page.stress import stress
from trialsim.report.page.study import Study
from trialsim.report.sweep_tables import best_answer, best_pieces, summary_pieces
from trialsim.sweeps.best import Best, best
from trialsim.sweeps.store import TEXT
from trialsim.sweeps.summary import Summary, summarise
from trialsim.world.world import World

if TYPE_CHECKING:
    from trialsim.report.figures.material import Material
    from trialsim.sweeps.reading import Results

ENOUGH_POWER = 0.8
"""What a design must reach to be among those of which the cheapest is chosen."""
WIDE = 125
"""Characters that tables have room for."""
MOST_VALUES = 8
"""Values of an axis that are listed; of more the ends are said."""


class Swept:
    """A sweep and what several sections need of it."""

    def __init__(self, material: Material) -> None:
        self.material, self.results = material, material.sweep
        self.design = material.design

    @cached_property
    def world(self) -> World:
        """Of the first design point."""
        return World(self.design)

    @property
    def folder(self) -> str:
        """Name of the results folder."""
        return Path(self.material.source).name

    @cached_property
    def text(self) -> str:
        """The sweep's file, resolved, as it stands in the folder; empty where there is none."""
        try:
            return (self.results.folder / TEXT).read_text("utf-8")
        except OSError:
            return ""

    @cached_property
    def counts(self) -> list[int]:
        """Finished replicates by design point."""
        return [self.results.n_replicates(point) for point in range(self.results.n_points)]

    @cached_property
    def summary(self) -> Summary:
        """Performance of every design point."""
        return summarise(self.results, skip_failed=self.material.skip_failed)

    @cached_property
    def asked(self) -> tuple[tuple[str, ...], str]:
        """What the best design must satisfy, and what is then least: power, then cost, or time where nothing costs."""
        asks = "estimates" in self.results.tables and not confounded(self.design)
        where = (f"power >= {ENOUGH_POWER:g}",) if asks else ()
        costs = any(
            row.cells[key].value for row in self.summary.rows for key in row.cells if key[0].measure == "total cost"
        )
        return where, "cost" if costs else "duration_months"

    @cached_property
    def best(self) -> Best:
        """The answer to that."""
        where, least = self.asked
        return best(self.results, where=where, minimise=least, skip_failed=self.material.skip_failed)


def sweep_page(material: Material) -> Page:
    """All sections of the report of a sweep."""
    swept = Swept(material)
    title = _title(swept)
    notice = confounded(swept.design)
    return Page(title, "Sweep of simulated trials", tuple(_about(swept)), tuple(_sections(swept)), notice=notice)


def _title(swept: Swept) -> str:
    root = read_tree(swept.text.encode(), source=TEXT).root
    title = plain(root).get("title") if root is not None else None
    return str(title).strip() if title else f"Sweep {swept.results.name}"


def _about(swept: Swept) -> Iterator[tuple[str, str]]:
    results, counts = swept.results, swept.counts
    yield "sweep", results.name
    yield "design points", f"{results.n_points:,}"
    each = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
    yield "replicates of each", each + ("" if results.is_complete is not False else " (not complete)")
    yield "base design", f"{swept.design.name} (first point: digest {digest(swept.design)})"
    yield "software", f"trialsim {results.manifest['versions'].get('trialsim', '')}, vector engine"
    yield "results", swept.folder


def _sections(swept: Swept) -> Iterator[Section]:
    pictures = Pictures(swept.material)
    study = _study(swept)
    yield section("answer", "The answer", _answer(swept))
    yield section("varied", "What was varied", list(_varied(swept)))
    yield section("design", "The base design", _base(swept))
    yield section(
        "performance", "Power and what it depends on", list(pictures("nested_loop", "curve", "heat")),
    )  # fmt: skip
    yield section("best", "The best designs", list(pictures("pareto")), list(_best(swept)))
    yield section("points", "All design points", list(_points(swept)))
    yield section("ademp", "The simulation study (ADEMP)", ademp(study), OF_ADEMP)
    yield section("stress", "Reporting checklist (STRESS-DES)", stress(study), OF_STRESS)
    yield section("reproduce", "Reproduce this", list(_reproduce(swept)))


# --- answer -----------------------------------------------------------------------------------------------------------


def _answer(swept: Swept) -> Answer:
    found, (where, least) = swept.best, swept.asked
    limit = percent(ENOUGH_POWER, None)
    if found.chosen is None:
        verdict = f"None of the {plural(len(found.points), 'design')} reaches a power of {limit}."
        verdict += f" The most is {_most_powerful(swept)[0]}."
    elif where:
        n = len(found.admissible)
        verdict = (
            f"{n:,} of {plural(len(found.points), 'design')} {'reaches' if n == 1 else 'reach'} a power of {limit}."
        )
    else:
        verdict = f"{plural(len(found.points), 'design')} compared."
    texts = [best_answer(found, swept.results)] if found.chosen else [_most_powerful(swept)[1]]
    texts += [f"Power is {words}." for words in found.powers.values()]
    chosen = {"cost": "the cheapest", "duration_months": "the one that is done first"}[least]
    if where:
        texts.append(f"Among designs with enough power {chosen} is chosen; {limit} is a convention, not a law.")
    luck = "with the same luck for every design" if swept.results.shared_luck else "each design with luck of its own"
    texts.append(
        f"All of this is simulated, {luck}: it holds if the designs' assumptions do. What follows ± is the Monte Carlo"
        " standard error."
    )
    return Answer(verdict, tuple(("", text) for text in texts))


def _most_powerful(swept: Swept) -> tuple[str, str]:
    """Where none reaches it: the most power that a design has, and which design that is."""
    found = swept.best
    place = next(k for k, quantity in enumerate(found.quantities) if quantity.kind == "power")
    one = max(found.points, key=lambda point: point.found[place].value)
    cell = one.found[place]
    power = f"{with_error(100 * cell.value, 100 * cell.mcse, 1)}%"
    return power, f"Point {one.point} ({swept.results.labels[one.point]}) has the most power, {power}."


# --- what was varied --------------------------------------------------------------------------------------------------


def _varied(swept: Swept) -> Iterator[str]:
    results = swept.results
    rows = [[axis, _values(results, axis), str(len(_distinct(results, axis)))] for axis in results.axes]
    yield paragraph(
        f"{plural(results.n_points, 'design point')}: all else is as in the base design. Which values were tried is a"
        " choice of the sweep's author; nothing of it was published unless the sweep's file says so."
    )
    yield from (
        caption("Axes of the sweep"),
        table(["what (dotted path in the design)", "values", "different"], rows, "llr"),
    )


def _distinct(results: Results, axis: str) -> list[Any]:
    return list({str(row[axis]): row[axis] for row in results.axis_values}.values())


def _values(results: Results, axis: str) -> str:
    """'1, 2, 3', or of many numbers '0.2 to 0.9'."""
    values = _distinct(results, axis)
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(values) > MOST_VALUES and len(numbers) == len(values):
        return f"{number(min(numbers))} to {number(max(numbers))}"
    shown = ["as in the base" if value is None else str(value) for value in values[:MOST_VALUES]]
    return ", ".join(shown) + (f" ... ({len(values)} in all)" if len(values) > MOST_VALUES else "")


def _base(swept: Swept) -> list[str]:
    said = "The design of point 0, in short; the axes change what the section above names."
    return [paragraph(said), *overview(swept.design)]


# --- results ----------------------------------------------------------------------------------------------------------


def _best(swept: Swept) -> Iterator[Content]:
    where, least = swept.asked
    wanted = " ".join(f"--where {quote(text)}" for text in where)
    command = f"trialsim best {swept.folder} {wanted} --min {least}".replace("  ", " ")
    chosen = "Cheapest" if least == "cost" else "Soonest done"
    enough = f"{chosen} with enough power" if swept.best.chosen else "None has enough power: the nearest"
    yield heading(enough if where else f"{chosen} of all")
    yield from best_pieces(swept.best, swept.results, width=WIDE)
    yield from (paragraph("Ask for something else with this command, changed:"), Listing(command))


def _points(swept: Swept) -> Iterator[str]:
    yield from summary_pieces(swept.summary, width=WIDE)


# --- statements -------------------------------------------------------------------------------------------------------


def _study(swept: Swept) -> Study:
    results, counts = swept.results, swept.counts
    versions = {name: str(version) for name, version in results.manifest.get("versions", {}).items()}
    rows = [cell for row in swept.summary.rows for cell in row.cells.values()]
    return Study(
        design=swept.design,
        world=swept.world,
        aims=_aims(swept),
        scenarios=_scenarios(swept),
        truth="True values are means of potential outcomes over the replicates' own participants: the same simulated"
        " people under every arm, with the same luck.",
        replicates=_replicates(swept),
        n_replicates=min(n for n in counts if n) if any(counts) else 0,
        performance=tuple(row for row in rows if isinstance(row, Performance)),
        engine="vector",
        versions=versions,
        written="",
        luck=_luck(swept),
    )


def _aims(swept: Swept) -> tuple[str, ...]:
    where, least = swept.asked
    what = {"cost": "costs least", "duration_months": "is done first"}[least]
    enough = f" with a power of at least {percent(ENOUGH_POWER, None)}" if where else ""
    return (
        f"To find how {listed(list(swept.results.axes)) or 'the design'} move power, bias, precision, duration,"
        f" staffing and cost, and which design{enough} {what}.",
    )


def _scenarios(swept: Swept) -> tuple[str, ...]:
    results = swept.results
    axes = [f"{axis} ({_values(results, axis)})" for axis in results.axes]
    return (
        f"{plural(results.n_points, 'mechanism')}: the design with every value named in the table of design points,"
        f" made of {listed(axes) or 'no axis'}.",
    )


def _replicates(swept: Swept) -> str:
    results, counts = swept.results, swept.counts
    failed = sum(results.n_failed(point) for point in range(results.n_points))
    each = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
    plan = results.manifest.get("plan", {})
    goal = plan.get("target_mcse")
    why = f" (as many as bring every power's error to {goal:g})" if goal else ""
    state = "" if results.is_complete is not False else " The sweep is not complete."
    n_failed = f"{plural(failed, 'replicate')} failed" if failed else "none failed"
    total = f"{sum(counts):,} in all; {n_failed}.{state}"
    return f"{each} replicates of each of {results.n_points:,} design points{why}, {total}"


def _luck(swept: Swept) -> str:
    seed = swept.results.manifest.get("key", {}).get("seed", "")
    if swept.results.shared_luck:
        return f"Seed {seed} for every design point: they share their luck (common random numbers)."
    return f"Every design point has a seed of its own, made from seed {seed} and its design."


# --- reproduction -----------------------------------------------------------------------------------------------------


def _reproduce(swept: Swept) -> Iterator[Content]:
    results = swept.results
    commands = [str(one.get("command", "")) for one in results.manifest.get("commands", [])]
    yield paragraph("The results were made by:" if commands else "How the results were made is not recorded.")
    if commands:
        yield Listing("\n".join(commands))
    yield paragraph(
        "The sweep's file names its base design. Every design point as it was simulated, complete, is in the results"
        " folder (design_points.parquet, column design) with its digest; the base and the best stand below. One point"
        " alone: save its design and run"
    )
    seed = results.seeds[0]
    yield Listing(f"trialsim run {swept.design.name}.yaml --seed {seed} --replicates {swept.counts[0]}")
    yield from (caption("What they were made with"), table(["", "value"], list(_versions(swept)), "ll"))
    if swept.text:
        yield Listing(swept.text, "The sweep's file")
    yield Listing(resolved_yaml(swept.design), f"The complete design of point 0 (digest {digest(swept.design)})")
    chosen = swept.best.chosen
    if chosen is not None and chosen.point:
        design = results.design(chosen.point)
        yield Listing(
            resolved_yaml(design), f"The complete design of point {chosen.point}, the best (digest {digest(design)})"
        )


def _versions(swept: Swept) -> Iterator[list[str]]:
    manifest = swept.results.manifest
    key = manifest.get("key", {})
    names = {"points": "design points, digest", "seed": "seed", "block": "replicates that share a generator"}
    yield from ([said, str(key[name])] for name, said in names.items() if name in key)
    yield ["common random numbers", "yes" if swept.results.shared_luck else "no"]
    yield from ([name, str(version)] for name, version in manifest.get("versions", {}).items())
