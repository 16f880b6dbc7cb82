"""What tests do on a page, and what they read from it."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

from live_server import cannot

try:
    from playwright.sync_api import expect
except ImportError:
    cannot("playwright is not installed (pip install 'trialsim[test]')", module=True)

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

__all__ = ["expect"]


def settled(page: Page) -> None:
    """Wait until the answer with all replicates is on the screen."""
    page.locator(".bench[data-settled=true]:not(.waiting)").wait_for()


def slider(page: Page, knob: str) -> Locator:
    """The slider of a knob."""
    return page.locator(f"[data-knob={knob}] input[type=range]")


def box(page: Page, knob: str) -> Locator:
    """The number beside a slider."""
    return page.locator(f"[data-knob={knob}] input[type=number]")


def typed(page: Page, knob: str, value: str) -> None:
    """Type a number beside a slider, and wait for the answer."""
    box(page, knob).fill(value)
    box(page, knob).press("Enter")
    settled(page)


def pressed(page: Page, knob: str, *keys: str) -> None:
    """Press keys on a slider, and wait for the answer."""
    slider(page, knob).focus()
    for key in keys:
        page.keyboard.press(key)
    settled(page)


def tile(page: Page, name: str) -> float:
    """A number that stands alone, without its error."""
    found = page.locator(".tile", has_text=name).first.locator(".value strong")
    return float(found.inner_text().replace(",", ""))


def words_of_panels(page: Page) -> list[str]:
    """All that the panels say."""
    return page.locator(".panel").all_inner_texts()


def hash_of(page: Page) -> str:
    """The fragment of the address."""
    return str(page.evaluate("location.hash"))


def asked(origin: str, path: str, body: dict[str, Any]) -> Any:
    """What the server answers to a POST, without any page."""
    headers = {"content-type": "application/json", "origin": origin}
    request = urllib.request.Request(f"{origin}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def got(origin: str, path: str) -> Any:
    """What the server answers to a GET, without any page."""
    with urllib.request.urlopen(f"{origin}{path}", timeout=60) as answer:
        return json.load(answer)


def tab_to(page: Page, selector: str, most: int = 80) -> None:
    """Press Tab until the focus is there; fails if it never comes."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab never comes to {selector}")


def too_wide(page: Page) -> int:
    """By how much the page can be scrolled sideways [px]."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
