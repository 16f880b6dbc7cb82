"""The live page in a browser: a server for the session, Chromium, and tabs whose console and requests are watched.

Without Playwright, Chromium or the extra [web] these tests are skipped; with TRIALSIM_BROWSER=required they fail instead.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from live_server import cannot, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-color-profile=srgb",
)  # fmt: skip
SLOWEST = 30_000
"""How long a test waits for something on the page [ms]."""


# --- the server -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with the classroom's design, made small so that answers come soon."""
    for module in ("starlette", "uvicorn"):
        if find_spec(module) is None:
            cannot(f"{module} is not installed (pip install 'trialsim[web]')")
    with serving(tmp_path_factory.mktemp("server"), "--set", "sample_size=90") as address:
        yield address


# --- the browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Chromium without a window."""
    if find_spec("playwright") is None:
        cannot("playwright is not installed (pip install 'trialsim[test]')")
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if path is None:
        cannot("there is no Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield browser
        browser.close()


@dataclass
class Watch:
    """What a page did that it should not: words in the console, requests to other places."""

    origin: str
    console: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Parts of console messages that a test provokes itself."""

    def said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.expected):
            self.console.append(f"{message.type}: {message.text}")

    def asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.outside.append(request.url)

    def over(self, page: Page) -> None:
        page.on("console", self.said)
        page.on("pageerror", lambda error: self.console.append(f"exception: {error}"))
        page.on("request", self.asked)


def _with_few(page: Page, few: int) -> None:
    """Ask for few replicates, whatever the page asks for: tests that look at no number need not wait for many."""

    def fewer(route: Route) -> None:
        asked = route.request.post_data_json
        route.continue_(post_data={**asked, "replicates": min(few, asked["replicates"])})

    page.route("**/api/answer", fewer)


@pytest.fixture
def open_page(chromium: Browser, server: str) -> Iterator[Any]:
    """Opens tabs: `open_page("#/lessons", width=360, few=16, ...)`; at the end consoles must be empty, requests local."""
    watches: list[Watch] = []
    contexts: list[Any] = []

    def opened(
        fragment: str = "", *, width: int = 1280, height: int = 800, origin: str = server, few: int = 0, **context: Any
    ) -> Page:
        calm = {"reduced_motion": "reduce"} | context  # pictures do not glide, so what is read is what is meant
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}, **calm))
        page: Page = contexts[-1].new_page()
        page.set_default_timeout(SLOWEST)
        watches.append(Watch(origin))
        watches[-1].over(page)
        page.watch = watches[-1]  # type: ignore[attr-defined]  # for tests that provoke an error
        if few:
            _with_few(page, few)
        page.goto(f"{origin}/{fragment}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [line for watch in watches for line in watch.console] == []
    assert [url for watch in watches for url in watch.outside] == []


@pytest.fixture
def page(open_page: Any) -> Page:
    """A tab with the free page, its first answer shown."""
    opened: Page = open_page("#/explore?replicates=100")
    opened.locator(".bench[data-settled=true]:not(.waiting)").wait_for()
    return opened
