"""What a notebook shows of designs, trials and results: one style of HTML, without scripts, styles or other libraries.

Whatever is put in is text: it is escaped here, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trialsim.design.parts import Design


def card(kind: str, title: str, parts: Iterable[str]) -> str:
    """A title that says what it is of, and what is said below."""
    head = f"<p><strong>{escape(title)}</strong> ({escape(kind)})</p>"
    return f'<div class="trialsim">{head}{"".join(parts)}</div>'


def facts_table(said: Iterable[tuple[str, str]]) -> str:
    """Names and what is said of each, as a table of two columns."""
    rows = "".join(f"<tr>{_row([what, text])}</tr>" for what, text in said)
    return f"<table><tbody>{rows}</tbody></table>"


def grid(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table: the first column names the rows, the others are numbers or words."""
    head = "".join(f'<th scope="col"{_LEFT}>{escape(name)}</th>' if name else "<td></td>" for name in header)
    body = "".join(f"<tr>{_row(cells)}</tr>" for cells in rows)
    named = f'<caption style="{_CAPTION}">{escape(caption)}</caption>'
    return f"<table>{named}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def note(text: str) -> str:
    """A sentence below a table."""
    return f"<p>{escape(text)}</p>"


def _row(cells: Sequence[str]) -> str:
    first, *others = cells
    named = f'<th scope="row"{_LEFT}>{escape(first)}</th>'
    return named + "".join(f"<td{_LEFT}>{escape(cell)}</td>" for cell in others)


_LEFT = ' style="text-align:left"'
_CAPTION = "text-align:left;white-space:nowrap;padding-top:0.8em"


def plain(value: float) -> str:
    """A number of about four digits, never with an exponent: '220,800', '22.11', '0.0133'; '-' where there is none."""
    if not math.isfinite(value):
        return "-"
    digits = 3 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:,.{min(6, max(0, digits))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_error(value: float, mcse: float) -> str:
    """'12.34 ± 0.56': value and Monte Carlo standard error, to two digits of the error; '-' where there is no value."""
    if math.isnan(value):
        return "-"
    if math.isnan(mcse):
        return f"{plain(value)} ± ?"
    digits = 0 if mcse == 0 and float(value).is_integer() else _digits(mcse)
    return f"{value:,.{digits}f} ± {mcse:,.{digits}f}"


def _digits(mcse: float) -> int:
    return min(6, max(0, 1 - math.floor(math.log10(mcse)))) if mcse > 0 else 2


# --- a design -----------------------------------------------------------------------------------------------


def design_card(design: Design) -> str:
    """A design: what it is, its arms, visits, outcomes and analyses."""
    parts = [note(design.description)] if design.description.strip() else []
    parts += [facts_table(_of_design(design)), _arms(design), _visits(design), _outcomes(design)]
    if design.analyses:
        parts.append(_analyses(design))
    return card(f"design {design.name}", design.title.strip() or design.name, parts)


def _of_design(design: Design) -> list[tuple[str, str]]:
    sites, steps = design.recruitment.sites, list(design.funnel)
    rate = sum(site.rate_per_month for site in sites.values())
    said = [
        ("participants", f"{design.sample_size:,}"),
        ("allocation", _allocation(design)),
        ("starts", design.start_date.isoformat()),
        ("enrolment closes", f"after {design.max_enrolment_days:,} days at the latest"),
        ("sites", f"{len(sites):,}, contacting {rate:,.10g} people a month when all are open"),
        ("funnel", ", ".join(["contacted", *steps])),
    ]
    if design.decisions:
        said.append(("decisions", ", ".join(one.label or name for name, one in design.decisions.items())))
    return [*said, ("source", design.source)] if design.source.strip() else said


def _allocation(design: Design) -> str:
    if len(design.arms) == 1:
        return "one arm"
    kind = {"clusters": "clusters are randomized", "cohorts": "cohorts that are NOT randomized"}.get(
        design.allocation.kind, design.allocation.kind.replace("_", " ")
    )
    return f"{kind}, {':'.join(str(design.allocation.ratio[arm]) for arm in design.arms)}"


def _arms(design: Design) -> str:
    rows = [
        [name, arm.label, _delivery(arm.delivery), f"{arm.start_prob:.1%}" if arm.delivery.kind != "none" else "-"]
        for name, arm in design.arms.items()
    ]
    return grid("Arms", ["arm", "meaning", "delivery", "would start"], rows)


def _delivery(delivery: Any) -> str:
    """'8 sessions with one of 12 coaches'."""
    if delivery.kind == "none":
        return "no sessions"
    sessions = f"{len(delivery.modules)} session{'s' if len(delivery.modules) > 1 else ''}"
    if delivery.kind == "self_paced":
        return f"{sessions}, web modules worked through alone"
    if delivery.kind == "group":
        return f"{sessions} in groups of {delivery.size}"
    coaches = delivery.coaches if isinstance(delivery.coaches, int) else len(delivery.coaches)
    return f"{sessions}, one-to-one, {coaches} coach{'es' if coaches > 1 else ''}"


def _visits(design: Design) -> str:
    rows = [
        [name, visit.label, str(visit.day), f"{visit.day + visit.opens} to {visit.day + visit.closes}"]
        for name, visit in design.visits.items()
    ]
    return grid("Visits (days count from entering the trial)", ["visit", "meaning", "due on day", "window"], rows)


def _outcomes(design: Design) -> str:
    rows = [[name, outcome.label, outcome.kind, outcome.source] for name, outcome in design.outcomes.items()]
    return grid("Outcomes", ["outcome", "meaning", "kind", "seen in"], rows)


def _analyses(design: Design) -> str:
    rows = [
        [name, one.kind.replace("_", " "), str(one.outcome), ", ".join(f"{a} - {b}" for a, b in one.contrasts) or "-"]
        for name, one in design.analyses.items()
    ]
    return grid("Analyses", ["analysis", "model", "outcome", "contrasts"], rows)
