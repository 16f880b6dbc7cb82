"""For everybody: keyboard alone, screen readers (axe), projector and phone, less motion, light and dark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from on_page import expect, hash_of, pressed, settled, slider, tab_to, tile, too_wide, words_of_panels

if TYPE_CHECKING:
    from playwright.sync_api import Page

EXPLORE = "#/explore?replicates=100"
QUESTION = "#/lessons/power_and_p/1?replicates=100"
TRY_IT = "#/lessons/power_and_p/6?replicates=100"
COMPARED = "#/lessons/published_and_simulated/2?replicates=100"
SUM = "#/lessons/regression_to_the_mean/2?replicates=100"
TRIAL = "#/trial"


def opened(page: Page, fragment: str) -> None:
    """Go to a view, answer its question if it has one, and wait for its pictures."""
    page.evaluate("fragment => { document.querySelector('.page')?.remove(); location.hash = fragment; }", fragment)
    page.locator(".page").wait_for()
    if page.locator(".quiz input:enabled").count():
        page.locator(".quiz input").first.check()
        page.get_by_role("button", name="Answer", exact=True).click()
    if page.locator(".bench").count():
        settled(page)
    if fragment == TRIAL:
        page.locator(".rp").wait_for()


# --- axe --------------------------------------------------------------------------------------------------------------


def serious(page: Page, *rules: str) -> list[str]:
    """What axe-core finds of serious or critical impact; by some of its rules, or by all."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]  # fmt: skip


VIEWS = {
    "free page": EXPLORE,
    "lessons": "#/lessons",
    "question": QUESTION,
    "try it": TRY_IT,
    "published": COMPARED,
    "sum": SUM,
    "trial": TRIAL,
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_nothing_serious_to_say(open_page: Any, scheme: str) -> None:
    page = open_page("#/lessons", color_scheme=scheme, few=16)
    rules = ["color-contrast"] if scheme == "dark" else []  # the rest is the same in the dark
    found = {}
    for name, fragment in VIEWS.items():
        opened(page, fragment)
        found[name] = serious(page, *rules)
    opened(page, EXPLORE)
    for panel in page.locator(".panel").all():
        panel.get_by_role("button", name="show as a table").click()
    page.locator(".info").first.hover()
    found["tables and a tooltip"] = serious(page, *rules)
    for name in ("Open in the command line", "Share", "Words"):
        page.get_by_role("button", name=name).click()
        page.get_by_role("dialog").wait_for()
        found[name] = serious(page, *rules)
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="detached")
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_axe_would_say_something(page: Page) -> None:
    """A button without a name and pale words are found, so that silence means something."""
    page.evaluate("""() => {
      const button = document.createElement("button");
      const pale = document.createElement("p");
      pale.textContent = "pale";
      pale.style.color = "#ddd";
      document.querySelector("main").append(button, pale);
    }""")
    assert {fault.partition(":")[0] for fault in serious(page)} == {"button-name", "color-contrast"}


# --- keyboard ---------------------------------------------------------------------------------------------------------


def test_a_lesson_by_keyboard_alone(open_page: Any) -> None:
    page = open_page("#/lessons", few=16)
    page.locator(".cards").wait_for()
    keys = page.keyboard
    tab_to(page, ".card a[href*=power_and_p]")
    keys.press("Enter")
    expect(page.locator("h1")).to_be_focused()
    for number in range(1, 6):
        expect(page.locator(".progress [aria-current=step]")).to_have_text(str(number))
        tab_to(page, ".quiz input")
        keys.press("ArrowDown")
        assert page.locator(".quiz input").nth(1).is_checked()
        tab_to(page, ".quiz button.primary")
        keys.press("Enter")
        expect(page.locator(".why")).to_be_focused()
        tab_to(page, ".steps a[rel=next]")
        keys.press("Enter")
    expect(page.locator(".progress [aria-current=step]")).to_have_text("6")
    tab_to(page, "[data-knob=n] input[type=range]")
    keys.press("ArrowRight")
    settled(page)
    assert "k.n=150" in hash_of(page)
    tab_to(page, ".steps a:last-child")
    keys.press("Enter")
    expect(page.locator("h1")).not_to_have_text(re.compile("Power and the dance"))


def test_the_first_tab_skips_to_the_content(page: Page) -> None:
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to the content")
    expect(link).to_be_focused()
    expect(link).to_be_in_viewport()
    before = hash_of(page)
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert hash_of(page) == before


def test_the_focus_can_be_seen(page: Page) -> None:
    for selector in (
        "[data-knob=n] input[type=range]",
        "[data-knob=n] input[type=number]",
        ".actions button",
        ".places a",
        ".swap",
    ):
        tab_to(page, selector)
        outline = page.evaluate(
            "(({ outlineStyle, outlineWidth }) => [outlineStyle, outlineWidth])(getComputedStyle(document.activeElement))"
        )
        assert outline == ["solid", "3px"], selector


def test_dialogs_keep_the_focus_and_give_it_back(page: Page) -> None:
    opener = page.get_by_role("button", name="Open in the command line")
    opener.focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    for _ in range(8):
        page.keyboard.press("Tab")
        inside = page.evaluate(
            "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
        )
        assert inside
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    expect(opener).to_be_focused()


def test_sliders_say_what_they_are(page: Page) -> None:
    for knob in page.locator("[data-knob] input[type=range]").all():
        assert knob.evaluate("one => one.labels[0].textContent.length > 3")
        assert knob.get_attribute("aria-valuetext")
    assert slider(page, "effect_therapist").get_attribute("aria-valuetext") == "1 × planned"
    assert slider(page, "dropout").get_attribute("aria-valuetext").endswith("%")  # type: ignore[union-attr]


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (360, 740)])
def test_nothing_is_wider_than_the_screen(open_page: Any, width: int, height: int) -> None:
    page = open_page("#/lessons", width=width, height=height, has_touch=width < 500, is_mobile=width < 500, few=16)
    for fragment in VIEWS.values():
        opened(page, fragment)
        for large in (True, False):
            page.get_by_role("button", name="Large type").click()
            assert too_wide(page) <= 0, f"{fragment} at {width} px, large: {large}"


def test_on_a_projector_the_curve_is_on_the_first_screen(open_page: Any) -> None:
    page = open_page(EXPLORE, width=1024, height=768)
    settled(page)
    expect(page.locator(".panel svg.chart").first).to_be_in_viewport(ratio=0.99)
    expect(slider(page, "n")).to_be_in_viewport(ratio=1)


def test_words_in_charts_are_large_enough(open_page: Any) -> None:
    page = open_page(EXPLORE, width=1024, height=768)
    settled(page)
    sizes = "all => Math.min(...all.map((one) => parseFloat(getComputedStyle(one).fontSize)))"
    usual = page.locator("svg.chart text").evaluate_all(sizes)
    page.get_by_role("button", name="Large type").click()
    large = page.locator("svg.chart text").evaluate_all(sizes)
    assert usual >= 14
    assert large >= 1.2 * usual


def test_on_a_phone_sliders_are_moved_by_touch_with_the_picture_in_sight(open_page: Any) -> None:
    page = open_page(EXPLORE, width=360, height=740, has_touch=True, is_mobile=True)
    settled(page)
    before = words_of_panels(page)
    knob = slider(page, "n")
    assert knob.bounding_box()["height"] >= 40
    place = knob.bounding_box()
    page.touchscreen.tap(place["x"] + place["width"] * 0.9, place["y"] + place["height"] / 2)
    settled(page)
    assert words_of_panels(page) != before
    page.locator(".panel svg.chart").first.scroll_into_view_if_needed()
    expect(page.locator(".panel svg.chart").first).to_be_in_viewport(ratio=0.5)
    expect(knob).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Move the trial").click()
    expect(knob).to_be_hidden()


# --- motion, colours --------------------------------------------------------------------------------------------------

COUNTED = """() => {
  window.frames_asked = 0;
  const usual = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (step) => { window.frames_asked += 1; return usual(step); };
}"""


@pytest.mark.parametrize(("motion", "glides"), [("reduce", False), ("no-preference", True)])
def test_curves_glide_unless_less_motion_is_asked_for(open_page: Any, motion: str, glides: bool) -> None:
    page = open_page(EXPLORE, reduced_motion=motion)
    settled(page)
    page.evaluate(COUNTED)
    pressed(page, "n", "End")
    page.wait_for_timeout(300)
    assert (page.evaluate("window.frames_asked") > 2) == glides


def test_light_and_dark_by_wish_and_by_button_and_both_are_kept(open_page: Any) -> None:
    page = open_page("#/lessons", color_scheme="dark")
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(paper)
    toggle = page.get_by_role("button", name="Dark")
    assert toggle.get_attribute("aria-pressed") == "true"
    toggle.click()
    light = page.evaluate(paper)
    assert light != dark
    page.get_by_role("button", name="Large type").click()
    page.reload()
    page.locator(".cards").wait_for()
    assert page.evaluate(paper) == light
    assert page.evaluate("getComputedStyle(document.documentElement).fontSize") == "20px"
    assert page.get_by_role("button", name="Large type").get_attribute("aria-pressed") == "true"


def test_colours_alone_never_tell_arms_apart(page: Page) -> None:
    """Each line of power has a mark of its own shape or dash."""
    items = page.locator(".panel.curve").first.locator(".legend svg")
    looks = items.evaluate_all(
        "all => all.map((one) => [...one.querySelectorAll('path')].map((path) => path.getAttribute('d')).join() + one.querySelector('line').classList.contains('dashed'))"
    )
    assert len(looks) == len(set(looks)) > 2
    assert tile(page, "Power: the trial succeeds") > 0
