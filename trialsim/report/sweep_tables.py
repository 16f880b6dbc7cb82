"""Text, JSON and CSV of a sweep's summary and of the best of its design points."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from trialsim.analysis.estimates import COMPARISONS, MEANS, RATIOS, Label
from trialsim.experiments.performance import Performance
from trialsim.report.columns import Column, axis_columns, digits_of, fitting, text_of
from trialsim.report.layout import WIDTH, heading, listed, number, paragraph, plural, with_error
from trialsim.sweeps.best import Best, Judged, best
from trialsim.sweeps.questions import COUNTED, Quantity
from trialsim.sweeps.reading import Results
from trialsim.sweeps.summary import TRIAL, Key, Row, Summary, summarise

NEAREST = 5
"""Design points that are shown where none satisfies the constraints."""
MOST = 30
"""Design points that are shown at most."""
_SHORT = {
    "participants randomized": "n",
    "months to enrol": "months to enrol",
    "months to the last visit": "months",
    "coach hours": "coach hours",
    "total cost": "cost",
}
_MONTHS, _COST, _N = COUNTED["duration_months"], COUNTED["cost"], COUNTED["n"]
_ORDER = ("success", "power", "bias", "coverage", "mean estimate", "truth", "empirical SE", "model SE", "MSE")
_CHANCES = ("power", "coverage", "success", "failed fits")


# --- summary ----------------------------------------------------------------------------------------------------------


def summary_text(
    results: Results,
    *,
    by: Sequence[str] = (),
    skip_failed: bool = False,
    analyses: Sequence[str] = (),
    visits: Sequence[str] = (),
    statistics: Sequence[str] = (),
) -> str:
    """One table: a row per design point, or per combination of `by`, and as many statistics as a terminal has room for.

    Without choices: success of the decisions (without any: power of the first analysis), duration, cost, bias and
    coverage of the first analysis at its first visit.
    """
    choices = {"analyses": analyses, "visits": visits, "statistics": statistics}
    found = summarise(results, by=by, skip_failed=skip_failed, **choices)
    keys = _chosen_keys(found, statistics) if any(choices.values()) else _main_keys(found)
    return "\n\n".join([heading(f"Sweep {results.name}", "="), *summary_pieces(found, keys=keys)]) + "\n"


def summary_pieces(found: Summary, *, keys: Sequence[Key] | None = None, width: int = WIDTH) -> list[str]:
    """What the rows are, the table, and what is said of it, in `width` characters; without `keys` what matters most."""
    keys = _main_keys(found) if keys is None else keys
    labels = list(dict.fromkeys(label for label, _ in keys if label.analysis != TRIAL))
    columns = [_statistic(found.rows, key, labels) for key in keys]
    many = not found.of_points
    varied = [axis for axis in found.by if many or len({str(row.values[axis]) for row in found.rows}) > 1]
    axes = axis_columns([row.values for row in found.rows], varied)
    lead, axes_left = fitting(_places(found), axes, width=width - 30)
    columns_there = [column for column in columns if column is not None]
    shown, left = fitting([*lead, _replicates(found)], columns_there, width=width)
    left = axes_left + left
    return [paragraph(_about(found)), text_of(shown), paragraph(_legend(shown, labels, left))]


def summary_json(results: Results, **choices: Any) -> dict[str, Any]:
    """All that `summarise` finds (its keywords), as data."""
    found = summarise(results, **choices)
    rows = [
        {
            "values": row.values,
            "points": list(row.points),
            "n_replicates": row.n_replicates,
            "statistics": [_statistic_json(key, cell) for key, cell in row.cells.items()],
        }
        for row in found.rows
    ]
    return {"sweep": results.name, "by": list(found.by), "rows": rows, "points_without_results": list(found.without)}


def summary_csv(results: Results, **choices: Any) -> str:
    """The same as lines of comma-separated values, one per row and statistic."""
    return summarise(results, **choices).frame().to_csv(index=False)


def _statistic_json(key: Key, cell: Performance) -> dict[str, Any]:
    label, statistic = key
    about = {name: getattr(label, name) for name in ("analysis", "contrast", "visit", "measure", "estimand")}
    return about | {
        "statistic": statistic,
        "value": cell.value,
        "mcse": cell.mcse,
        "n_replicates": cell.n_replicates,
    }


def _keys(found: Summary) -> list[Key]:
    return list(dict.fromkeys(key for row in found.rows for key in row.cells))


def _chosen_keys(found: Summary, statistics: Sequence[str]) -> list[Key]:
    """In the order of `statistics`, or what matters most first; comparisons of arms before means of one."""
    order = {name: place for place, name in enumerate(statistics or _ORDER)}
    return sorted(_keys(found), key=lambda key: (order.get(key[1], len(order)), key[0].measure in MEANS))


def _main_keys(found: Summary) -> list[Key]:
    """What matters most, most important first."""
    keys = _keys(found)
    success = [key for key in keys if key[1] == "success"]
    first = next((label for label, _ in keys if label.measure in COMPARISONS), None)
    compared = [key for key in keys if first is not None and _family(key[0]) == _family(first)]
    trial = {key[0].measure: key for key in keys if key[0].analysis == TRIAL}
    power = success or [key for key in compared if key[1] == "power"]
    checked = [key for name in ("bias", "coverage") for key in compared if key[1] == name]
    return [*power, *(trial[name] for name in (_MONTHS, _COST)), *checked, trial[_N]]


def _family(label: Label) -> tuple[str, str, str]:
    return label.analysis, label.visit, label.measure


def _statistic(rows: Sequence[Row], key: Key, labels: list[Label]) -> Column | None:
    """A column, or None where there is nothing in it but zeros."""
    label, statistic = key
    cells = [row.cells.get(key) for row in rows]
    known = [cell for cell in cells if cell is not None and not math.isnan(cell.value)]
    if not known or (label.analysis == TRIAL and not any(cell.value for cell in known)):
        return None
    digits = 3 if statistic in _CHANCES or "power" in statistic else digits_of([(one.value, one.mcse) for one in known])
    texts = ["-" if cell is None else with_error(cell.value, cell.mcse, digits) for cell in cells]
    if label.analysis == TRIAL:
        return Column(_SHORT[label.measure], texts)
    mark = f" {_letter(labels.index(label))}" if len(labels) > 1 else ""
    return Column(f"{statistic}{mark}", texts, _words(label))


def _letter(place: int) -> str:
    """a ... z, then a1, b1 ..."""
    again, letter = divmod(place, 26)
    return chr(ord("a") + letter) + (str(again) if again else "")


def _words(label: Label) -> str:
    if label.analysis == "decision":
        return f"decision {label.measure}"
    visit = f" at {label.visit}" if label.visit else ""
    what = f"decision {label.measure}, {label.analysis}" if label.estimand == "decision" else label.analysis
    measure = "" if label.estimand == "decision" else f", {label.measure}"
    return f"{label.contrast}{visit} ({what}{measure})"


def _places(found: Summary) -> list[Column]:
    if found.of_points:
        return [Column("point", [str(row.points[0]) for row in found.rows])] if len(found.rows) > 1 else []
    return [Column("points", [f"{len(row.points):,}" for row in found.rows])]


def _replicates(found: Summary) -> Column:
    return Column("replicates", [f"{row.n_replicates:,}" for row in found.rows])


def _about(found: Summary) -> str:
    what = "design point" if found.of_points else f"combination of {listed(found.by)}"
    text = f"A row per {what}. Values are ± Monte Carlo standard error."
    if not found.of_points:
        luck = (
            "points share their luck, so errors come from averages of replicates"
            if found.shared_luck
            else "points have luck of their own, so their errors are independent"
        )
        text += f" Design points in a row are averaged with equal weight; {luck}."
    if found.without:
        text += f" {plural(len(found.without), 'design point')} without finished replicates left out."
    return text


def _legend(shown: Sequence[Column], labels: Sequence[Label], left: Sequence[Column]) -> str:
    said = _in_full(shown)
    heads = " ".join(column.head for column in shown).split()
    if len(labels) == 1:
        said.append(f"{_words(labels[0])}.")
    else:
        letters = {_letter(place): _words(label) for place, label in enumerate(labels)}
        said += [f"{letter}: {words}." for letter, words in letters.items() if letter in heads]
    if "bias" in heads or "coverage" in heads:
        said.append(
            "Bias and coverage are against the true values of the arms, averaged over replicates; bias is paired."
        )
    ratios = dict.fromkeys(label.measure for label in labels if label.measure in RATIOS)
    if ratios and set(heads) & {"bias", "SE", "MSE"}:
        said.append(
            f"For {listed([f'{measure}s' for measure in ratios])}, bias and standard errors are those of the logarithm."
        )
    if left:
        names = listed([column.head for column in left[:6]] + (["more"] if len(left) > 6 else []))
        said.append(f"No room for {names}: choose with --statistic, --analysis, --visit, or see --json.")
    return " ".join(said)


# --- best -------------------------------------------------------------------------------------------------------------


def best_text(results: Results, **asked: Any) -> str:
    """Which design points satisfy constraints (keywords of `best`), which is the best, and how sure that is."""
    parts = [heading(f"Best of sweep {results.name}", "="), *best_pieces(best(results, **asked), results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def best_pieces(found: Best, results: Results, *, width: int = WIDTH) -> list[str]:
    """The answer, the design points that matter, and how sure it is, in tables of `width` characters."""
    shown = _shown(found)
    parts = [paragraph(best_answer(found, results)), paragraph(_shown_words(found))]
    parts += _judged_table(found, shown[:MOST], width)
    if len(shown) > MOST:
        parts.append(f"{plural(len(shown) - MOST, 'more design')}: see --json.")
    return [*parts, paragraph(_how_sure(found, results))]


def best_json(results: Results, **asked: Any) -> dict[str, Any]:
    """The same as data, of all design points."""
    found = best(results, **asked)
    return {
        "sweep": results.name,
        "choices": [one.text for one in found.choices],
        "constraints": [one.text for one in found.constraints],
        "objective": {"sense": found.objective[0], "quantity": found.objective[1].name} if found.objective else None,
        "power_is": found.powers,
        "n_admissible": len(found.admissible),
        "best": found.chosen.point if found.chosen else None,
        "probability_best": found.chance_best if found.chosen else None,
        "common_random_numbers": found.shared_luck,
        "points": [_judged_json(found, one) for one in found.points],
        "points_without_results": list(found.without),
    }


def _judged_json(found: Best, one: Judged) -> dict[str, Any]:
    return {
        "point": one.point,
        "values": one.values,
        "quantities": {
            quantity.name: {"value": cell.value, "mcse": cell.mcse}
            for quantity, cell in zip(found.quantities, one.found, strict=True)
        },
        "probability_holds": dict(zip([c.text for c in found.constraints], one.holds, strict=True)),
        "probability_all_hold": one.all_hold,
        "admissible": one.admissible,
        "on_front": one.on_front,
    }


def best_answer(found: Best, results: Results) -> str:
    """How many design points satisfy what was asked, which is the best, and how sure that is."""
    n, every = len(found.admissible), plural(len(found.points), "design")
    asked = listed([one.text for one in found.constraints])
    if found.choices:
        every += f" with {listed([one.text for one in found.choices])}"
    if not found.constraints:
        text = f"{every}, no constraint."
    elif n == 0:
        text = f"None of {every} satisfies {asked}."
    else:
        text = f"{n:,} of {every} {'satisfies' if n == 1 else 'satisfy'} {asked}."
    if found.without:
        text += f" {plural(len(found.without), 'more design point')} without finished replicates."
    return f"{text} {_chosen(found, results)}".strip()


def _chosen(found: Best, results: Results) -> str:
    if found.chosen is None or found.objective is None:
        return ""
    sense, quantity = found.objective
    one = found.chosen
    word = {("min", "cost"): "Cheapest", ("min", "duration_months"): "Shortest", ("min", "n"): "Smallest"}.get(
        (sense, quantity.name), f"{'Least' if sense == 'min' else 'Most'} {quantity.name}"
    )
    said = [f"{q.name} {_cell(found, place, one)}" for place, q in _not_axes(found)]
    text = f"{word}: point {one.point} ({results.labels[one.point]}): {', '.join(said)}."
    sure = f"that no other is better: {_chance(found.chance_best)}"
    if found.constraints:
        sure = f"that it truly satisfies all: {_chance(one.all_hold)}; that it is the best that does"
        sure += f": {_chance(found.chance_best)}"
    return f"{text} Probability {sure}."


def _shown(found: Best) -> list[Judged]:
    """Admissible points and those on the front, best first; the nearest where none is admissible."""
    if _none(found):
        return sorted(found.points, key=lambda one: (-one.all_hold, _shortfall(found, one)))[:NEAREST]
    admissible = [one for one in found.points if one.admissible and found.constraints]
    others = [one for one in found.points if one.on_front and not (one.admissible and found.constraints)]
    return sorted([*admissible, *others], key=_order(found)) or list(found.points[:NEAREST])


def _shortfall(found: Best, one: Judged) -> float:
    """How far the estimates are from the constraint that they break most, in parts of its limit."""
    values = [one.found[found.quantities.index(limit.quantity)].value for limit in found.constraints]
    missed = [
        abs(value - limit.limit) / max(abs(limit.limit), 1e-9)
        for value, limit in zip(values, found.constraints, strict=True)
        if not limit.holds(value)
    ]
    return max([math.inf if math.isnan(miss) else miss for miss in missed], default=0.0)


def _none(found: Best) -> bool:
    return bool(found.constraints) and not found.admissible


def _order(found: Best) -> Callable[[Judged], tuple[bool, float, bool]]:
    def key(one: Judged) -> tuple[bool, float, bool]:
        if found.objective is None:
            return not one.admissible, float(one.point), False
        sense, quantity = found.objective
        value = one.found[found.quantities.index(quantity)].value
        worth = math.inf if math.isnan(value) else (value if sense == "min" else -value)
        return not one.admissible, worth, not one.on_front

    return key


def _shown_words(found: Best) -> str:
    front = f"the Pareto front over {listed([quantity.name for _, quantity in found.front])}"
    means = f"front: on {front}, where no other is as good in all of them and better in one."
    if not found.constraints:
        return f"Designs on {front}, where no other is as good in all of them and better in one:"
    who = "The nearest" if _none(found) else "Designs that satisfy all, and the front"
    return f"{who}. ok: the estimates satisfy all. P(ok): probability that the true values do. {means}"


def _judged_table(found: Best, shown: Sequence[Judged], width: int) -> list[str]:
    """A row per design point; what the axes set in a table of its own where one has no room for all."""
    varied = [axis for axis in shown[0].values if len({str(one.values[axis]) for one in found.points}) > 1]
    lead = [Column("point", [str(one.point) for one in shown])]
    judged = list(lead)
    if found.constraints:
        judged.append(Column("ok", ["yes" if one.admissible else "no" for one in shown]))
        judged.append(Column("P(ok)", [_chance(one.all_hold) for one in shown]))
        judged.append(Column("front", ["yes" if one.on_front else "" for one in shown]))
    cells = [Column(_heads(q), [_cell(found, place, one) for one in shown]) for place, q in _not_axes(found)]
    columns, left = fitting(judged, cells, width=width)
    axes, out = fitting(columns, axis_columns([one.values for one in shown], varied), width=width)
    tables = [text_of(axes)]
    if out:
        axes, out = fitting(lead, axis_columns([one.values for one in shown], varied), width=width)
        tables = [text_of(columns), text_of(axes)]
    return [*tables, *_notes(axes, [*left, *out])]


def _notes(axes: Sequence[Column], left: Sequence[Column]) -> list[str]:
    """What short names of axes stand for, and what the tables have no room for."""
    said = _in_full(axes)
    if left:
        said.append(f"No room for {listed([column.head for column in left])}: see --json.")
    return [paragraph(" ".join(said))] if said else []


def _in_full(columns: Sequence[Column]) -> list[str]:
    """Whole paths of axes that are shown by a short name."""
    return [f"{column.head}: {column.about}." for column in columns if column.about.endswith(f".{column.head}")]


def _heads(quantity: Quantity) -> str:
    return "months" if quantity.name == "duration_months" else quantity.name


def _not_axes(found: Best) -> list[tuple[int, Quantity]]:
    """Quantities that are neither axes nor 0 throughout, with their places."""
    return [
        (place, quantity)
        for place, quantity in enumerate(found.quantities)
        if quantity.kind != "axis" and any(one.found[place].value for one in found.points)
    ]


def _cell(found: Best, place: int, one: Judged) -> str:
    cell = one.found[place]
    if cell.kind == "exact":
        return number(cell.value)
    known = [other.found[place] for other in found.points if not math.isnan(other.found[place].value)]
    return with_error(
        cell.value, cell.mcse, 3 if cell.kind == "chance" else digits_of([(one.value, one.mcse) for one in known])
    )


def _chance(p: float) -> str:
    return "-" if math.isnan(p) else "> 0.99" if p > 0.995 else "< 0.01" if p < 0.005 else number(p, 2)


def _how_sure(found: Best, results: Results) -> str:
    luck = "luck of their own, and their errors are independent"
    if found.shared_luck:
        luck = "luck in common (common random numbers), and their errors are taken together, replicate by replicate"
    said = [f"{name}: {words}." for name, words in found.powers.items()]
    if any(quantity.name == "cost" for _, quantity in _not_axes(found)):
        said.append(f"Cost in {results.design().costs.currency}.")
    said.append(
        "Values are ± Monte Carlo standard error. Probabilities are those of the true values given this error alone:"
        " power is Beta(hits + 1/2, misses + 1/2), means are Student's t, joined by a normal copula; design points have"
        f" {luck}. They say nothing about whether the designs' assumptions hold."
    )
    return " ".join(said)
