"""What tests of reports share: small designs to report on, and an HTML page taken apart without a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from typing import Any

from designs import ONE_VISIT, coached, grouped, online, plain_data, score, usual

from trialsim.design.parts import Design
from trialsim.report.figures import Material

NASTY = """<script>alert('x')</script>"><img src=x onerror=alert(1)>]]> & {{ 7 * 7 }} {% raw %} </style> --> `"""
"""Text that would do harm where it is not escaped, in whatever part of a page."""
SHORT = "<b>&\"'"
"""The same for what may be eight characters long."""

Data = dict[str, Any]


def small_data(**changes: Any) -> Data:
    """Two arms, one outcome, two visits, one analysis and a decision; cheap to report on."""
    visits: Data = {"m3": {"day": 91, "label": "3 months"}, "m6": {"day": 183, "label": "6 months"}}
    effect = {"effects": {"pain": {"by_visit": {"m3": -1.0, "m6": -1.0}}}, "withdrawal_prob": 0.05}
    parts: Data = {
        "name": "small_report",
        "title": "A small trial to report on",
        "description": "Coaching against usual care.\n\nA second paragraph.",
        "source": "made up for tests",
        "sample_size": 40,
        "recruitment": {"sites": {"north": {"rate_per_month": 30.0}, "south": {"rate_per_month": 20.0}}},
        "funnel": {"screened": {"prob": 0.7, "losses": {"declined": 2.0, "unreachable": 1.0}}, "enrolled": {}},
        "visits": visits,
        "outcomes": {"pain": score(label="pain severity", change_sd=1.2)},
        "arms": {"coach": coached(sessions=3, coaches=2, caseload=3, arm=effect), "usual": usual()},
        "analyses": {"main": {"kind": "linear", "outcome": "pain"}},
        "decisions": {"primary": {"analysis": "main", "success": "coach beats usual at m3", "label": "Coaching helps"}},
        "costs": {"coach_hour": 50.0, "assessment": 10.0},
    }
    return plain_data(**(parts | changes))


def small_design(**changes: Any) -> Design:
    """The same, checked."""
    return Design.model_validate(small_data(**changes))


def nasty_design() -> Design:
    """NASTY wherever a design may hold free text, in three arms of different delivery."""
    effect = {"effects": {"pain": {"by_visit": {"m3": -1.0}}}}
    lists = {"kind": "individual", "modules": [NASTY[:79], "two"], "coaches": 2}
    arms: Data = {
        "coach": {"label": NASTY, "delivery": lists, **effect},
        "group": grouped(sessions=2, arm={"label": NASTY, **effect}),
        "web": online(sessions=2, arm={"label": NASTY}),
        "usual": usual(label=NASTY),
    }
    data = small_data(
        name="nasty",
        title=NASTY,
        description=f"{NASTY}\n\n{NASTY}",
        source=NASTY,
        funnel={
            NASTY: {
                "prob": 0.8,
                "losses": {NASTY: 1.0, "other": 1.0},
                "criteria": {f"{NASTY} (criterion)": {"excluded_prob": 0.1}},
            }
        },
        covariates={"age": {"kind": "count", "mean": 2.0, "label": NASTY}},
        visits={"m3": {"day": 91, "label": NASTY[:25]}},
        outcomes={"pain": score(label=NASTY, course={"m3": 0.0})},
        arms={name: {"response_prob": {"m3": 0.8}, **arm} for name, arm in arms.items()},
        allocation={"kind": "simple", "ratio": dict.fromkeys(arms, 1)},
        analyses={"main": {"kind": "linear", "outcome": "pain", "contrasts": [["coach", "usual"]]}},
        decisions={"primary": {"analysis": "main", "success": "coach beats usual at m3", "label": NASTY}},
        changes=[{"starts": 30, "label": NASTY, "ratio": dict.fromkeys(arms, 1)}],
        costs={"coach_hour": 50.0, "currency": SHORT},
    )
    return Design.model_validate(data)


def material_of(design: Design, *, replicates: int = 24, seed: int = 1, **how: Any) -> Material:
    """What `gather` makes of a design's file."""
    return Material(design=design, seed=seed, source=design.name, planned=replicates, **how)


@cache
def small_html() -> str:
    """The report of the small design."""
    from trialsim.report.page import report_html

    return report_html(material_of(small_design()))


@cache
def nasty_html() -> str:
    """The report of the nasty design."""
    from trialsim.report.page import report_html

    return report_html(material_of(nasty_design(), replicates=8))


# --- a page taken apart -----------------------------------------------------------------------------------------------


@dataclass
class Tag:
    """An element: its name, attributes and what it is within."""

    name: str
    attributes: dict[str, str]
    within: tuple[str, ...]
    text: str = ""


@dataclass
class Parsed:
    """Elements in the order of the page."""

    tags: list[Tag] = field(default_factory=list)

    def named(self, *names: str) -> list[Tag]:
        """Elements of these names."""
        return [tag for tag in self.tags if tag.name in names]

    def texts(self, *names: str) -> list[str]:
        """What stands in them, spaces tidied."""
        return [" ".join(tag.text.split()) for tag in self.named(*names)]


VOID = frozenset({"meta", "link", "img", "br", "hr", "input", "source", "base"})


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parsed = Parsed()
        self.open: list[Tag] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        one = Tag(tag, {name: value or "" for name, value in attrs}, tuple(t.name for t in self.open))
        self.parsed.tags.append(one)
        if tag not in VOID:
            self.open.append(one)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1].name != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1].name if self.open else 'nothing'}")
        if self.open:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        for one in self.open:
            one.text += data


def parsed(text: str) -> Parsed:
    """A page's elements. AssertionError where one is closed that is not open, or left open."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.faults == []
    assert [tag.name for tag in reader.open] == []
    return reader.parsed


def loads(page: Parsed) -> list[str]:
    """Whatever a browser would fetch: empty for a page that is complete in itself."""
    found = [
        f"<{tag.name}>"
        for tag in page.named("script", "link", "iframe", "object", "embed", "base", "form", "audio", "video")
    ]
    for tag in page.tags:
        for name in ("src", "srcset", "poster", "data", "background", "href", "xlink:href", "action"):
            value = tag.attributes.get(name)
            if value is None or value.startswith(("#", "data:")):
                continue
            if tag.name == "a" and value.startswith("https://doi.org/"):
                continue
            found.append(f"<{tag.name} {name}={value[:60]}>")
        found += [f"<{tag.name} {name}>" for name in tag.attributes if name.startswith("on")]
        found += [f"style of <{tag.name}>" for part in ("url(", "@import") if _fetches(tag, part)]
    return found


def _fetches(tag: Tag, part: str) -> bool:
    """Whether a style asks for something that is not a part of the page."""
    styles = tag.attributes.get("style", "") + (tag.text if tag.name == "style" else "")
    return any(not rest.startswith(("#", '"#', "'#")) for rest in styles.split(part)[1:])


__all__ = [
    "NASTY",
    "ONE_VISIT",
    "SHORT",
    "Parsed",
    "loads",
    "material_of",
    "nasty_design",
    "parsed",
    "small_data",
    "small_design",
]
