"""Every lesson from start to end in the browser; what a question, the instructor's note and the words do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from on_page import expect, got, hash_of, pressed, settled, slider, too_wide, words_of_panels

from trialsim.teach.views import LESSONS

if TYPE_CHECKING:
    from playwright.sync_api import Page

DANCE = "#/lessons/power_and_p/1?replicates=100"


def answered(page: Page, step: dict[str, Any], *, rightly: bool) -> None:
    """Choose an answer of the step's question and commit it: only then are there pictures and why."""
    question = step["question"]
    n = len(question["choices"])
    chosen = question["answer"] if rightly else (question["answer"] + 1) % n
    commit = page.get_by_role("button", name="Answer", exact=True)
    assert commit.is_disabled()
    assert page.locator(".panel:visible").count() == 0
    assert page.locator(".why").is_hidden()
    page.locator(".quiz input").nth(chosen).check()
    commit.click()
    expect(page.locator(".why")).to_contain_text("That is it." if rightly else "Not quite.")
    assert page.locator(".quiz .right").count() == 1
    assert page.locator(".quiz .wrong").count() == (0 if rightly else 1)


def seen(page: Page, step: dict[str, Any], number: int) -> None:
    """One step as a class goes through it."""
    expect(page.locator(".text h2")).to_have_text(step["title"])
    assert page.locator(".text").inner_text().count("[[") == 0
    if step["question"] is not None:
        answered(page, step, rightly=number % 2 == 0)
    if step["view"] is None:
        return
    settled(page)
    expect(page.locator(".panel").first).to_be_visible()
    for chart in page.locator(".panel svg.chart[role=img]").all():
        assert chart.get_attribute("aria-label")
        assert chart.bounding_box() is not None
    assert page.locator(".says p").count() > 0


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_from_start_to_end(open_page: Any, server: str, name: str) -> None:
    lesson = got(server, f"/api/lessons/{name}")
    page = open_page(f"#/lessons/{name}?replicates=100", width=1024, height=768, few=16)
    expect(page.get_by_role("heading", level=1)).to_have_text(lesson["title"])
    for number, step in enumerate(lesson["steps"]):
        assert page.locator(".progress [aria-current=step]").inner_text() == str(number + 1)
        seen(page, step, number)
        assert too_wide(page) <= 0
        if step["kind"] == "explore" and step["view"] is not None:
            moved(page, step)
        forward = page.get_by_role("link", name=re.compile("^(Next|All lessons)"))
        if number + 1 < len(lesson["steps"]):
            forward.click()
    target = forward.get_attribute("href")
    index = LESSONS.index(name) + 1
    assert target == (f"#/lessons/{LESSONS[index]}/1" if index < len(LESSONS) else "#/lessons")


def moved(page: Page, step: dict[str, Any]) -> None:
    """Only this step's knobs are there, and moving one moves the panels."""
    knobs = page.locator("[data-knob]").evaluate_all("all => all.map((one) => one.dataset.knob)")
    assert sorted(knobs) == sorted(step["knobs"])
    before = words_of_panels(page)
    for knob in knobs:
        if slider(page, knob).count():
            at_low_end = slider(page, knob).evaluate("one => one.value === one.min")
            pressed(page, knob, "PageUp" if at_low_end else "PageDown")
            assert f"k.{knob}=" in hash_of(page)
        if words_of_panels(page) != before:
            return
    raise AssertionError("no slider changes what is seen")


def test_the_list_has_every_lesson_and_opens_it(open_page: Any, server: str) -> None:
    page = open_page("#/lessons")
    expected = [lesson["title"] for lesson in got(server, "/api/start")["lessons"]]
    assert page.locator(".card h2").all_inner_texts() == expected
    page.get_by_role("link", name=expected[0]).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(expected[0])
    assert page.title() == f"{expected[0]} · trialsim"


def test_an_answer_stays_given_when_one_comes_back(open_page: Any) -> None:
    page = open_page(DANCE)
    page.locator(".quiz input").nth(1).check()
    page.get_by_role("button", name="Answer", exact=True).click()
    settled(page)
    page.get_by_role("link", name="Next", exact=True).click()
    page.get_by_role("link", name="Back").click()
    settled(page)
    assert page.locator(".quiz input").nth(1).is_checked()
    assert page.locator(".quiz input").nth(1).is_disabled()
    assert page.locator(".why").is_visible()


def test_a_link_leads_into_the_middle_of_a_lesson(open_page: Any, server: str) -> None:
    page = open_page("#/lessons/power_and_p/6?replicates=100&k.n=250")
    settled(page)
    last = got(server, "/api/lessons/power_and_p")["steps"][5]
    assert page.locator(".text h2").inner_text() == last["title"]
    assert page.locator("[data-knob=n] input[type=number]").input_value() == "250"
    assert float(page.locator("[data-knob=effect] input[type=number]").input_value()) == last["values"]["effect"]


def test_a_lesson_that_is_not_there_is_said(open_page: Any) -> None:
    page = open_page("#/lessons")
    page.watch.expected.append("404")
    page.evaluate("location.hash = '#/lessons/nothing_of_the_kind/2'")
    expect(page.get_by_role("alert")).to_contain_text("There is no lesson 'nothing_of_the_kind'")
    page.get_by_role("link", name="All lessons").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Lessons")


def test_the_instructors_note_is_hidden_until_asked_for_and_prints_alone(open_page: Any, server: str) -> None:
    lesson = got(server, "/api/lessons/power_and_p")
    page = open_page(DANCE, color_scheme="dark")
    start = lesson["instructor"][0][:30]
    assert start not in page.locator("body").inner_text()
    page.get_by_role("button", name="Instructor’s note").click()
    note = page.get_by_role("dialog")
    expect(note).to_contain_text(start)
    expect(note).to_contain_text("Questions and answers")
    page.emulate_media(media="print")
    assert note.is_visible()
    assert page.locator("main").is_hidden()
    assert note.evaluate("one => getComputedStyle(one).color") == "rgb(27, 37, 48)"  # dark words on paper
    page.emulate_media(media="screen")
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0


def test_a_word_is_explained_by_pointer_focus_and_touch(open_page: Any, server: str) -> None:
    page = open_page(DANCE)
    word = page.locator(".text .term").first
    tip = page.get_by_role("tooltip")
    meaning = got(server, "/api/start")["terms"]["arm"]
    word.hover()
    expect(tip).to_have_text(meaning)
    tip.hover()
    expect(tip).to_be_visible()
    page.mouse.move(5, 700)
    expect(tip).to_be_hidden()
    page.get_by_role("button", name="Instructor’s note").focus()
    page.keyboard.press("Tab")
    expect(tip).to_have_text(meaning)
    assert word.get_attribute("aria-describedby") == tip.get_attribute("id")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.mouse.move(5, 700)
    word.dispatch_event("click")
    expect(tip).to_be_visible()


def test_all_words_are_listed(open_page: Any, server: str) -> None:
    page = open_page("#/lessons")
    page.get_by_role("button", name="Words").click()
    terms = got(server, "/api/start")["terms"]
    assert sorted(page.locator(".glossary dt").all_inner_texts()) == sorted(terms)


def test_intervals_can_be_drawn_one_by_one(open_page: Any) -> None:
    page = open_page(DANCE)
    page.locator(".quiz input").first.check()
    page.get_by_role("button", name="Answer", exact=True).click()
    settled(page)
    lines = page.locator("line.interval")
    assert lines.count() == 100
    page.get_by_role("button", name="Draw them one by one").click()
    expect(page.locator(".told")).to_contain_text("p ")
    assert lines.count() < 50
    page.get_by_role("button", name="Show all").click()
    expect(lines).to_have_count(100)
