"""When things go wrong: a busy server, no connection, refusals, designs whose names are hostile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live_server import serving
from on_page import asked, box, expect, got, hash_of, settled, slider, words_of_panels

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

EXPLORE = "#/explore?replicates=100"
ANSWERS = "**/api/answer"


def told(page: Page) -> Any:
    """The line that says how the answer stands."""
    return page.locator(".status-text")


def move(page: Page) -> None:
    """Move a slider, without waiting for any answer."""
    box(page, "n").fill("120")
    box(page, "n").press("Enter")


# --- the server -------------------------------------------------------------------------------------------------------


def test_a_busy_server_is_asked_again_by_itself(page: Page) -> None:
    page.watch.expected.append("503")  # type: ignore[attr-defined]
    refused: list[int] = []

    def busy(route: Route) -> None:
        refused.append(1)
        if len(refused) <= 2:
            route.fulfill(status=503, headers={"retry-after": "1"}, json={"error": "Too much to do."})
        else:
            route.continue_()

    page.route(ANSWERS, busy)
    before = words_of_panels(page)
    move(page)
    expect(told(page)).to_have_text("The server is busy; asking again in a moment.")
    assert words_of_panels(page) == before
    settled(page)
    assert words_of_panels(page) != before
    assert told(page).inner_text() == ""


def test_a_lost_connection_is_said_and_comes_back(page: Page) -> None:
    page.watch.expected.append("ERR_INTERNET_DISCONNECTED")  # type: ignore[attr-defined]
    before = words_of_panels(page)
    page.context.set_offline(True)
    move(page)
    expect(told(page)).to_contain_text("No connection to trialsim; trying again in")
    assert told(page).get_attribute("role") == "alert"
    assert words_of_panels(page) == before
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    settled(page)
    assert words_of_panels(page) != before


def test_a_refusal_stands_in_its_place_with_the_last_good_picture(page: Page) -> None:
    page.watch.expected.append("422")  # type: ignore[attr-defined]
    before = words_of_panels(page)
    sentence = "These values do not go together: <b>really</b>."
    page.route(ANSWERS, lambda route: route.fulfill(status=422, json={"error": sentence, "where": "values.n"}))
    move(page)
    expect(told(page)).to_have_text(sentence)
    assert words_of_panels(page) == before
    page.unroute(ANSWERS)
    page.get_by_role("button", name="Try again").click()
    settled(page)
    assert told(page).inner_text() == ""
    assert words_of_panels(page) != before


UNREADABLE = ["", "<html>", '{"sequence": 1', "null", "[]", '{"sequence": "1"}']


def test_an_answer_that_cannot_be_read_is_no_answer(page: Page) -> None:
    before = words_of_panels(page)
    bodies = list(UNREADABLE)
    page.route(ANSWERS, lambda route: route.fulfill(status=200, body=bodies.pop(), content_type="application/json"))
    while bodies:
        with page.expect_response(ANSWERS):
            page.get_by_role("button", name="Other luck").click()
        page.wait_for_timeout(50)
        assert words_of_panels(page) == before
        assert page.locator(".bench").get_attribute("data-settled") == "false"
    page.unroute(ANSWERS)
    slider(page, "n").press("End")
    settled(page)


def test_a_question_that_takes_long_says_so_and_another_can_be_asked(page: Page) -> None:
    held: list[Route] = []
    page.route(ANSWERS, lambda route: held.append(route) if len(held) < 2 else route.continue_())
    move(page)
    expect(told(page)).to_have_text("Simulating …")
    expect(told(page)).to_have_text("Still simulating; this design takes longer.", timeout=8000)
    slider(page, "n").press("End")
    settled(page)
    assert box(page, "n").input_value() == "270"


def test_a_server_that_comes_late_is_waited_for(open_page: Any) -> None:
    page = open_page("#/lessons")
    page.watch.expected.append("503")
    page.locator(".cards").wait_for()
    calls: list[int] = []

    def late(route: Route) -> None:
        calls.append(1)
        if len(calls) == 1:
            route.fulfill(status=503, headers={"retry-after": "1"}, json={"error": "Not yet."})
        else:
            route.continue_()

    page.route("**/api/start", late)
    page.reload()
    expect(page.get_by_role("status").first).to_contain_text("The server does not answer yet")
    page.locator(".cards").wait_for()


# --- one trial --------------------------------------------------------------------------------------------------------


def test_the_trial_is_that_of_the_sliders_and_of_the_link(page: Page, open_page: Any, server: str) -> None:
    box(page, "n").fill("60")
    box(page, "n").press("Enter")
    settled(page)
    page.get_by_role("link", name="Watch a trial").click()
    page.locator(".rp").wait_for()
    assert hash_of(page) == "#/trial?k.n=60"
    page.get_by_role("button", name="Next replicate").click()
    page.get_by_label("Luck (seed)").fill("5")
    page.get_by_label("Luck (seed)").press("Enter")
    expect(page.locator(".status[data-kind=done]")).to_be_attached()
    assert hash_of(page) == "#/trial?seed=5&replicate=1&k.n=60"
    there = open_page(hash_of(page))
    there.locator(".rp").wait_for()
    assert there.get_by_label("Replicate", exact=True).input_value() == "1"
    assert there.locator(".rp-summary").inner_text().count("of 60 randomized") == 1
    values = {knob["name"]: knob["value"] for knob in got(server, "/api/start")["explore"]["knobs"]} | {"n": 60}
    data = asked(server, "/api/replay", {"scene": "explore", "values": values, "seed": 5, "replicate": 1})
    assert (data["seed"], data["replicate"], data["sample_size"]) == (5, 1, 60)


def test_a_trial_that_cannot_be_made_is_said(open_page: Any) -> None:
    page = open_page("#/lessons")
    page.watch.expected.append("422")
    page.route(
        "**/api/replay",
        lambda route: route.fulfill(status=422, json={"error": "There is no such trial.", "where": "replicate"}),
    )
    page.get_by_role("link", name="Watch a trial").click()
    expect(page.get_by_role("alert")).to_have_text("There is no such trial.")
    page.unroute("**/api/replay")
    page.get_by_role("button", name="Try again").click()
    page.locator(".rp").wait_for()


# --- hostile names ----------------------------------------------------------------------------------------------------

NASTY = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>"\'</title>&amp;{{7*7}}'
HOSTILE = """
extends: cbt_generic
name: hostile
title: {nasty}
description: {nasty}
sample_size: 60
outcomes: {{pain: {{label: {nasty}}}}}
visits: {{m3: {{label: {nasty}}}}}
arms:
  therapist: {{label: {nasty}}}
  online: {{label: {nasty}}}
"""


@pytest.fixture(scope="module")
def hostile(chromium: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose design has markup in every name that may be words."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    quoted = "'" + NASTY.replace("'", "''") + "'"
    (folder / "hostile.yaml").write_text(HOSTILE.format(nasty=quoted), "utf-8")
    with serving(folder, "hostile.yaml") as address:
        yield address


def test_names_with_markup_are_words(open_page: Any, hostile: str) -> None:
    page = open_page(EXPLORE, origin=hostile)
    settled(page)
    assert page.get_by_role("heading", level=1).inner_text() == NASTY
    for panel in page.locator(".panel").all():
        panel.get_by_role("button", name="show as a table").click()
    page.locator(".info").nth(2).hover()
    page.get_by_role("button", name="Keep to compare").click()
    page.get_by_role("button", name="Open in the command line").click()
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Watch a trial").click()
    page.locator(".rp").wait_for()
    page.get_by_label("Participant", exact=True).fill("1")
    page.get_by_label("Participant", exact=True).press("Enter")
    assert NASTY in page.locator("main").inner_text()
    assert page.evaluate("window.hit") is None
    assert page.locator("main img, main script").count() == 0
