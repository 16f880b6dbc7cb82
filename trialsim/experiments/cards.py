"""What a notebook shows of an experiment: size, duration and cost, and how its analyses and decisions do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trialsim.analysis.estimates import COMPARISONS
from trialsim.design.cards import card, facts_table, grid, note, plain, with_error
from trialsim.errors import ResultsError
from trialsim.experiments.decisions import decide, power_rows
from trialsim.experiments.performance import Performance, by_analysis, mean_with_error, trial_values

if TYPE_CHECKING:
    from trialsim.experiments.runner import Experiment

_SHOWN = ("power", "mean estimate", "truth", "bias", "coverage")


def experiment_card(experiment: Experiment) -> str:
    """Counts with Monte Carlo errors, chances of decisions, performance of each comparison."""
    n = len(experiment.replicates)
    kind = f"{n:,} simulated replicate{'' if n == 1 else 's'}, seed {experiment.seed}, {experiment.engine} engine"
    parts = [facts_table(_counted(experiment))]
    if experiment.estimates is not None and experiment.estimates.labels and n > 1:
        parts += [*_decisions(experiment), *_analyses(experiment)]
    elif experiment.estimates is not None and experiment.estimates.labels:
        parts.append(experiment.estimates._repr_html_())
    if n > 1:
        parts.append(note("Values are means over replicates ± Monte Carlo standard error."))
    return card(kind, experiment.design.title.strip() or experiment.design.name, parts)


def _counted(experiment: Experiment) -> list[tuple[str, str]]:
    n = len(experiment.replicates)
    said = []
    for what, values in trial_values(experiment.measures).items():
        mean, error, known = mean_with_error(values)
        if known and (mean or what != "total cost"):
            said.append((what, with_error(mean, error) if n > 1 else plain(mean)))
    failed = len(experiment.failures)
    return [*said, ("failed replicates", f"{failed:,}")] if failed else said


def _decisions(experiment: Experiment) -> list[str]:
    assert experiment.estimates is not None
    rows, refused = list[list[str]](), list[str]()
    for name in experiment.design.decisions:
        try:
            found = power_rows(decide(experiment.design, name, experiment.estimates))
        except ResultsError as error:
            refused.append(note(str(error)))
            continue
        rows += [[name, row.label.contrast, row.label.visit, row.statistic, _cell(row)] for row in found]
    shown = grid("Decisions", ["decision", "hypothesis", "visit", "", "chance"], rows) if rows else ""
    return [shown, *refused]


def _analyses(experiment: Experiment) -> list[str]:
    assert experiment.estimates is not None
    rows, refused = list[list[str]](), list[str]()
    for name, found, why in by_analysis(experiment.estimates):
        if why:
            refused.append(note(f"{name}: {why}"))
        of_label: dict[tuple[str, str, str], dict[str, Performance]] = {}
        for row in found:
            if row.label.measure in COMPARISONS:
                key = (row.label.contrast, row.label.visit, row.label.measure)
                of_label.setdefault(key, {})[row.statistic] = row
        rows += [[name, *key, *(_cell(cells.get(s)) for s in _SHOWN)] for key, cells in of_label.items()]
    head = ["analysis", "contrast", "visit", "measure", *_SHOWN]
    return [grid("Performance of the analyses", head, rows) if rows else "", *refused]


def _cell(row: Performance | None) -> str:
    return "-" if row is None else with_error(row.value, row.mcse)
