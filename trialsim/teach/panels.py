"""What the page draws, as plain data: one function for each kind of panel, which also writes it as a table.

Numbers are JSON numbers or null. Every panel says in `note` what its band or error is; its table is what a screen
reader reads and what a class can copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trialsim.report.layout import number, p_text, percent, with_error

Panel = dict[str, Any]
MOST_ROWS = 100
"""Intervals, or numbers of a sample, that one panel draws at most."""


def clean(data: Any) -> Any:
    """Data as JSON has it: null for what is not a finite number, lists for tuples, Python's numbers for NumPy's."""
    if isinstance(data, dict):
        return {str(key): clean(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [clean(value) for value in data]
    if hasattr(data, "tolist"):  # an array, or a number of NumPy
        return clean(data.tolist())
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _panel(kind: str, title: str, note: str, head: Sequence[str], body: list[list[str]], **parts: Any) -> Panel:
    table = {"head": list(head), "rows": body}
    panel: Panel = clean({"kind": kind, "title": title, "note": note, **parts, "table": table})
    return panel


@dataclass(frozen=True)
class Axis:
    """A scale and its ends. Of shares (0 to 1) `percent` says that people read percentages."""

    label: str
    low: float
    high: float
    percent: bool = False

    def text(self, x: float) -> str:
        """A value as people read it."""
        return percent(x) if self.percent else number(x, _digits(x))


def _digits(x: float) -> int:
    """Digits behind the point that leave about three figures."""
    return 0 if not math.isfinite(x) or abs(x) >= 100 or float(x).is_integer() else 1 if abs(x) >= 10 else 2


@dataclass(frozen=True)
class Mark:
    """A line across a chart with a word beside it; `axis` is the one on which `at` lies."""

    at: float
    label: str
    axis: str = "x"


# --- curve ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Series:
    """One line with its band; `colour` 0 to 7."""

    key: str
    label: str
    colour: int
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    dashed: bool = False


def curve(title: str, *, x: Axis, y: Axis, series: Sequence[Series], lines: Sequence[Mark] = (), note: str) -> Panel:
    """Lines with bands; the table has a row for each point of each line."""
    rows = []
    for one in series:
        for k, (at, value) in enumerate(zip(one.x, one.y, strict=True)):
            band = f"{y.text(one.low[k])} to {y.text(one.high[k])}" if len(one.low) else ""
            rows.append([one.label, x.text(at), y.text(value), band])
    return _panel(
        "curve", title, note, ["", x.label, y.label, "band"], rows,
        x=asdict(x), y=asdict(y), lines=[asdict(line) for line in lines], series=[asdict(one) for one in series],
    )  # fmt: skip


# --- intervals --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """One replicate's estimate with its interval; `covers` says whether the truth is inside."""

    id: int
    estimate: float
    low: float
    high: float
    p: float
    significant: bool
    covers: bool | None = None


@dataclass(frozen=True)
class Share:
    """How many of how many, with its Monte Carlo error as a share."""

    label: str
    value: float
    of: int
    mcse: float


def intervals(
    title: str,
    *,
    x: Axis,
    rows: Sequence[Interval],
    counts: Sequence[Share] = (),
    truth: tuple[float, str] | None = None,
    nothing: tuple[float, str] = (0.0, "no effect"),
    note: str,
) -> Panel:
    """At most 100 intervals one above the other, the true value and no effect marked."""
    rows = list(rows)[:MOST_ROWS]
    body = [
        [str(one.id), x.text(one.estimate), f"{x.text(one.low)} to {x.text(one.high)}", p_text(one.p),
         "yes" if one.significant else "no", "" if one.covers is None else "yes" if one.covers else "no"]
        for one in rows
    ]  # fmt: skip
    said = {"value": truth[0], "label": truth[1]} if truth is not None else None
    return _panel(
        "intervals", title, note, ["trial", x.label, "interval", "p", "significant", "covers the truth"], body,
        x=asdict(x), truth=said, nothing={"value": nothing[0], "label": nothing[1]},
        rows=[asdict(one) for one in rows], counts=[asdict(one) for one in counts],
    )  # fmt: skip


# --- estimates --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    """A number about something, ready to read."""

    label: str
    value: float
    mcse: float
    text: str


@dataclass(frozen=True)
class Estimated:
    """A way of estimating: mean over replicates with its error, middle 95 % of replicates, and what it should find."""

    key: str
    label: str
    colour: int
    mean: float
    mcse: float
    low: float
    high: float
    truth: float = math.nan
    truth_label: str = ""
    sample: Sequence[float] = ()
    facts: Sequence[Fact] = ()


def estimates(title: str, *, x: Axis, groups: Sequence[Estimated], nothing: float | None = None, note: str) -> Panel:
    """Ways of estimating side by side, with the true value of each."""
    body = [
        [one.label, with_error(one.mean, one.mcse, 2), f"{x.text(one.low)} to {x.text(one.high)}",
         x.text(one.truth), "; ".join(f"{fact.label}: {fact.text}" for fact in one.facts)]
        for one in groups
    ]  # fmt: skip
    drawn = [asdict(one) | {"sample": list(one.sample)[:MOST_ROWS]} for one in groups]
    return _panel(
        "estimates", title, note, ["", f"mean {x.label}", "middle 95 % of trials", "truth", ""], body,
        x=asdict(x), groups=drawn, nothing=nothing,
    )  # fmt: skip


# --- bars -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """One bar with its 95 % Monte Carlo band; bars of one `group` stand together."""

    key: str
    label: str
    value: float
    low: float
    high: float
    mcse: float
    colour: int = 0
    group: str = ""


@dataclass(frozen=True)
class PublishedBar:
    """A published value beside the bar of the same key."""

    key: str
    value: float
    source: str
    low: float = math.nan
    high: float = math.nan


def bars(
    title: str,
    *,
    y: Axis,
    bars: Sequence[Bar],
    lines: Sequence[Mark] = (),
    published: Sequence[PublishedBar] = (),
    note: str,
) -> Panel:
    """Bars with bands, published values beside where there are any."""
    by_key = {one.key: one for one in published}
    body = []
    for bar in bars:
        beside = by_key.get(bar.key)
        row = [bar.group, bar.label, y.text(bar.value), f"{y.text(bar.low)} to {y.text(bar.high)}"]
        body.append([*row, "" if beside is None else f"{y.text(beside.value)} ({beside.source})"])
    return _panel(
        "bars", title, note, ["", "", y.label, "band", "published"], body,
        y=asdict(y), bars=[asdict(bar) for bar in bars], lines=[{"at": one.at, "label": one.label} for one in lines],
        published=[asdict(one) for one in published],
    )  # fmt: skip


# --- numbers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    """One number that stands alone: what it is, its value with its Monte Carlo error, its unit, and words on it."""

    key: str
    label: str
    text: str
    value: float
    mcse: float
    unit: str = ""
    tip: str = ""


def numbers(title: str, *, items: Sequence[Figure], note: str) -> Panel:
    """Numbers in a row."""
    body = [[one.label, one.text, one.unit] for one in items]
    return _panel("numbers", title, note, ["", "value", "unit"], body, items=[asdict(one) for one in items])


# --- published --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """A published value (or range) and the simulated one; `sort` is fitted, predicted or benchmark."""

    label: str
    published: float
    simulated: float
    mcse: float
    sort: str
    source: str
    low: float = math.nan
    high: float = math.nan
    inside: bool | None = None


def published(title: str, *, rows: Sequence[Compared], note: str) -> Panel:
    """Published against simulated."""
    body = [
        [one.label, number(one.published, _digits(one.published)),
         with_error(one.simulated, one.mcse, max(1, _digits(one.simulated))),
         "" if one.inside is None else "inside" if one.inside else "outside", one.sort, one.source]
        for one in rows
    ]  # fmt: skip
    head = ["", "published", "simulated", "range", "sort", "source"]
    return _panel("published", title, note, head, body, rows=[asdict(one) for one in rows])


# --- waterfall --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fall:
    """A step of a sum; a `total` stands on the ground."""

    label: str
    value: float
    mcse: float
    total: bool = False


def waterfall(title: str, *, y: Axis, steps: Sequence[Fall], note: str) -> Panel:
    """What a sum is made of."""
    body = [[one.label, with_error(one.value, one.mcse, 2), "total" if one.total else "part"] for one in steps]
    return _panel("waterfall", title, note, ["", y.label, ""], body, y=asdict(y), steps=[asdict(one) for one in steps])
