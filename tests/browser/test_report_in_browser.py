"""A report in a real browser: it asks for nothing but itself, is accessible in light and dark, and prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from reports import nasty_html, small_html

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the small design."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(small_html(), encoding="utf-8")
    return path


class Opened:
    """A report in a tab whose requests and console are kept."""

    def __init__(self, browser: Browser, path: Path, **context: object) -> None:
        self.requests: list[str] = []
        self.console: list[str] = []
        self.context = browser.new_context(**context)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.goto(path.as_uri())


@pytest.fixture(params=["light", "dark"])
def opened(request: pytest.FixtureRequest, chromium: Browser, report: Path) -> Iterator[Opened]:
    """The report in light on a screen and in dark on a phone."""
    width = 1280 if request.param == "light" else 390
    one = Opened(chromium, report, color_scheme=request.param, viewport={"width": width, "height": 900})
    yield one
    one.context.close()


def test_it_asks_for_nothing_but_itself_and_says_nothing_on_the_console(opened: Opened, report: Path) -> None:
    opened.page.wait_for_load_state("networkidle")
    assert opened.requests == [report.as_uri()]
    assert opened.console == []


def test_axe_finds_nothing_serious(opened: Opened) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(opened.page).response["violations"]
    bad = [(one["id"], one["nodes"][0]["html"][:120]) for one in found if one["impact"] in ("serious", "critical")]
    assert bad == []


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_never_scrolls_sideways(chromium: Browser, report: Path, width: int) -> None:
    one = Opened(chromium, report, viewport={"width": width, "height": 800})
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    one.context.close()


def test_text_is_dark_on_light_and_light_on_dark(opened: Opened, request: pytest.FixtureRequest) -> None:
    """The page's ink and paper, and those of the text in figures."""
    script = "e => getComputedStyle(e)[e instanceof SVGElement ? 'fill' : 'color']"
    inks = [opened.page.locator(place).first.evaluate(script) for place in ("h1", "figure svg text")]
    paper = opened.page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    dark = request.node.callspec.params["opened"] == "dark"
    assert (_light(paper), [_light(ink) for ink in inks]) == (not dark, [dark, dark])


def _light(colour: str) -> bool:
    numbers = [int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    return sum(numbers) > 3 * 128


def test_it_prints_with_every_section(chromium: Browser, report: Path, tmp_path: Path) -> None:
    one = Opened(chromium, report, color_scheme="dark")
    one.page.emulate_media(media="print")
    assert _light(one.page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor"))
    assert one.page.locator("section:visible").count() == 15
    pdf = one.page.pdf(prefer_css_page_size=True, print_background=True)
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") > 8
    one.context.close()


def test_names_full_of_markup_do_nothing(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "nasty.html"
    path.write_text(nasty_html(), encoding="utf-8")
    one = Opened(chromium, path, viewport={"width": 800, "height": 800})
    asked: list[str] = []
    one.page.on("dialog", lambda dialog: asked.append(dialog.message))
    one.page.wait_for_load_state("networkidle")
    assert (one.requests, one.console, asked) == ([path.as_uri()], [], [])
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 800
    one.context.close()
