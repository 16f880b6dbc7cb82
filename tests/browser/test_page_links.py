"""What leaves the page: links that hold its state, the design as a file, the command; and links full of garbage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from on_page import asked, box, expect, got, hash_of, settled, typed, words_of_panels

from trialsim.design.reader import read_design

if TYPE_CHECKING:
    from playwright.sync_api import Page


def shown(page: Page) -> dict[str, Any]:
    """Everything that a link has to bring back."""
    inputs = page.locator("main input").evaluate_all("all => all.map((one) => [one.type, one.value, one.checked])")
    return {
        "hash": hash_of(page),
        "panels": words_of_panels(page),
        "inputs": inputs,
        "many": page.locator(".many").input_value(),
    }


# --- links ------------------------------------------------------------------------------------------------------------


def test_a_link_brings_everything_back(page: Page, open_page: Any) -> None:
    typed(page, "n", "140")
    typed(page, "effect_online", "1.35")
    typed(page, "icc_coaches", "0.055")
    page.get_by_label("depends on what was seen").check()
    page.get_by_role("button", name="Other luck").click()
    page.get_by_label("Replicates").select_option("250")
    settled(page)
    page.get_by_role("button", name="Share").click()
    link = page.get_by_label("Link to what is on the screen").input_value()
    assert link == page.url
    there = open_page(link.partition("/#")[2].join(["#", ""]))
    settled(there)
    page.get_by_role("button", name="Close").click()
    assert shown(there) == shown(page)
    assert "k.icc_coaches=0.055" in link
    assert "k.mechanism=mar" in link


def test_the_design_itself_needs_no_words_in_the_link(open_page: Any) -> None:
    page = open_page("#/explore?seed=1&k.n=90&k.effect_online=1&k.mechanism=design")
    settled(page)
    assert hash_of(page) == "#/explore"


def test_back_and_forward_go_where_one_was(page: Page) -> None:
    typed(page, "n", "120")
    page.get_by_role("link", name="Lessons").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Lessons")
    page.go_back()
    settled(page)
    assert box(page, "n").input_value() == "120"
    page.go_forward()
    expect(page.get_by_role("heading", level=1)).to_have_text("Lessons")
    page.get_by_role("link", name="Explore").click()
    settled(page)
    assert box(page, "n").input_value() == "120"


GARBAGE = [
    "#/", "#///", "#/nowhere", "#/explore/../../etc/passwd", "#/explore?k.n=", "#/explore?k.n=NaN", "#/explore?k.n=1e999",
    "#/explore?k.n=-5&seed=-1&replicates=7", "#/explore?seed=99999999999999999999", "#/explore?view=<script>&k.__proto__=1",
    "#/explore?%E0%A4%A&%", "#/lessons/%E0%A4%A", "#/explore?k.mechanism=toString", "#/trial?replicate=zero&scene=",
    "#/explore?" + "k.n=100&" * 500, "#/explore?k.n=100#/explore?k.n=200", "#/explore?k.constructor=1&k.=2",
]  # fmt: skip


def test_garbage_in_a_link_is_left_out_or_held(open_page: Any) -> None:
    page = open_page(GARBAGE[-1])
    for fragment in GARBAGE:
        page.evaluate("fragment => { document.querySelector('h1')?.remove(); location.hash = fragment; }", fragment)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.evaluate("location.hash = '#/explore?k.nonsense=1&k.n=100000&replicates=100'")
    settled(page)
    assert "nonsense" in page.locator(".notice").inner_text()
    assert box(page, "n").input_value() == "270"


READ_AND_WRITTEN = """async (states) => {
  const { readState, writeState } = await import("/static/state.js");
  return states.map((state) => readState(writeState(state)));
}"""


def test_states_survive_being_written(page: Page) -> None:
    """Names and values with every sort of character; numbers to the last digit."""
    nothing = {
        "page": "explore",
        "lesson": None,
        "step": 0,
        "scene": None,
        "view": None,
        "seed": None,
        "replicate": None,
        "replicates": None,
        "values": {},
    }
    odd = "a&b=c #/?%+é\u2028<b>"
    states = [
        nothing,
        nothing | {"seed": 0, "replicates": 1000, "view": odd, "values": {odd: odd, "x": "0.1", "k.k": "1e-7"}},
        nothing | {"page": "lessons", "lesson": odd, "step": 4, "values": {"share": "0.30000000000000004"}},
        nothing | {"page": "trial", "scene": odd, "replicate": 0, "seed": 2**31 - 1},
    ]
    assert page.evaluate(READ_AND_WRITTEN, states) == states


ON_STEPS = """async (cases) => {
  const { onStep } = await import("/static/state.js");
  return cases.map(([low, high, step, value]) => onStep({ low, high, step }, value));
}"""


CASES = [
    ([0, 1, 0.05, 0.149], 0.15),
    ([0.25, 3, 0.05, 0.31], 0.3),
    ([60, 900, 10, 304], 300),
    ([60, 900, 10, 1e9], 900),
    ([0, 0.2, 0.001, 0.1234], 0.123),
    ([-1.2, 0.4, 0.05, -0.324], -0.3),
    ([1, 8, 3, 8], 8),
    ([0, 1e-6, 1e-7, 2.6e-7], 3e-7),
]


def test_values_lie_on_steps(page: Page) -> None:
    assert page.evaluate(ON_STEPS, [case for case, _ in CASES]) == [held for _, held in CASES]


# --- design and command -----------------------------------------------------------------------------------------------


def on_screen(origin: str, **values: float | str) -> dict[str, Any]:
    """What the server says of the design on the screen."""
    scene = got(origin, "/api/start")["explore"]
    all_values = {knob["name"]: knob["value"] for knob in scene["knobs"]} | values
    question = {
        "scene": "explore",
        "view": scene["views"][0]["name"],
        "values": all_values,
        "seed": 1,
        "replicates": 100,
    }
    found: dict[str, Any] = asked(origin, "/api/design", question)
    return found


def test_the_downloaded_design_is_the_one_on_the_screen(page: Page, server: str, tmp_path: Path) -> None:
    typed(page, "n", "150")
    typed(page, "dropout", "35")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download this design").click()
    told = on_screen(server, n=150, dropout=35)
    assert coming.value.suggested_filename == told["filename"]
    file = tmp_path / told["filename"]
    coming.value.save_as(file)
    assert file.read_text("utf-8") == told["yaml"]
    assert read_design(file).sample_size == 150


def test_the_command_is_shown_and_copied_without_permission(page: Page, server: str) -> None:
    page.evaluate("""() => {
      window.copies = [];
      navigator.clipboard.writeText = () => Promise.reject(new Error("not allowed"));
      document.addEventListener("copy", ({ target }) => copies.push(target.value.slice(target.selectionStart, target.selectionEnd)));
    }""")
    page.get_by_role("button", name="Open in the command line").click()
    told = on_screen(server)
    command = page.get_by_label("Command", exact=True)
    assert command.input_value() == told["command"]
    assert told["command"].startswith("trialsim ")
    page.get_by_role("button", name="Copy").click()
    expect(page.locator(".copy-note")).to_have_text("Copied.")
    assert page.evaluate("copies") == [told["command"]]


def test_where_the_browser_forbids_copying_it_says_how(page: Page) -> None:
    page.evaluate("""() => {
      navigator.clipboard.writeText = () => Promise.reject(new Error("not allowed"));
      document.execCommand = () => false;
    }""")
    page.get_by_role("button", name="Share").click()
    expect(page.locator(".copy-note")).to_contain_text("Ctrl+C")
    assert page.evaluate("getSelection().toString() || document.activeElement.value") == page.url


def test_answers_can_be_read_as_json(server: str) -> None:
    """What the page is told is plain data: no NaN, which JSON has not."""
    start = got(server, "/api/start")
    assert json.loads(json.dumps(start, allow_nan=False)) == start
