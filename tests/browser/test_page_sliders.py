"""The free page: sliders move the answer, smoothly and in the right direction; late answers are dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from on_page import box, expect, hash_of, pressed, settled, slider, tile, typed, words_of_panels

if TYPE_CHECKING:
    from playwright.sync_api import Page

SUCCESS = "Power: the trial succeeds"
LIVING = "document.querySelector('.bench').dataset.sequence"


def test_more_people_more_power_and_no_effect_no_power(page: Page) -> None:
    before = tile(page, SUCCESS)
    pressed(page, "n", "End")
    assert box(page, "n").input_value() == "270"
    more = tile(page, SUCCESS)
    pressed(page, "n", "Home")
    fewer = tile(page, SUCCESS)
    assert fewer < before < more
    typed(page, "n", "90")
    typed(page, "effect_therapist", "0")
    typed(page, "effect_online", "0")
    assert tile(page, "Power: CBT with a therapist better than Usual care") < 6  # [%]: one side of a two-sided 5 %


def test_the_power_of_this_trial_stands_above_the_curve(page: Page) -> None:
    """Its values are those of the numbers below, with their band."""
    typed(page, "n", "120")
    items = page.locator(".panel.curve").first.locator(".legend li")
    for item in items.all():
        value = float(item.locator("strong").inner_text().removesuffix("%"))
        label = item.locator("span").inner_text().split(f" {value}")[0]
        low, high = (float(end.strip(" ()%")) for end in item.locator("small").inner_text().split(" to "))
        assert value == tile(page, f"Power: {label}")
        assert low < value < high
    assert items.count() == 4


def test_dragging_is_answered_on_the_way_and_at_the_end(open_page: Any) -> None:
    page = open_page()
    settled(page)
    asked: list[int] = []
    page.on(
        "request",
        lambda request: asked.append(request.post_data_json["replicates"]) if "/api/answer" in request.url else None,
    )
    place = slider(page, "n").bounding_box()
    assert place is not None
    y = place["y"] + place["height"] / 2
    page.mouse.move(place["x"] + place["width"] * 0.3, y)
    page.mouse.down()
    for k in range(8):
        page.mouse.move(place["x"] + place["width"] * (0.3 + 0.05 * k), y, steps=3)
    expect(page.locator(".chart .strong").first).not_to_have_text("90 participants")
    assert 500 not in asked
    page.mouse.up()
    settled(page)
    assert asked[0] == 120
    assert asked[-1] == 500
    assert asked.count(500) == 1
    moved = int(box(page, "n").input_value())
    assert 130 < moved < 220
    assert f"k.n={moved}" in hash_of(page)
    assert slider(page, "n").get_attribute("aria-valuetext") == str(moved)
    expect(page.locator(".chart .strong").first).to_have_text(f"{moved} participants")


def test_while_one_quick_answer_is_awaited_only_the_newest_question_waits(page: Page) -> None:
    held: list[Any] = []
    page.route("**/api/answer", lambda route: held.append(route))
    slider(page, "n").focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    expect(box(page, "n")).to_have_value("210")
    for _ in range(60):
        page.wait_for_timeout(50)
        if len(held) == 2:  # the first key's, and that of rest
            break
    held[-1].continue_()
    settled(page)
    assert [route.request.post_data_json["values"]["n"] for route in held] == [100, 210]


def test_an_answer_that_comes_late_changes_nothing(page: Page) -> None:
    held: list[Any] = []
    page.route("**/api/answer", lambda route: held.append(route) if not held else route.continue_())
    pressed(page, "n", "End")
    shown, sequence = words_of_panels(page), page.evaluate(LIVING)
    assert held[0].request.post_data_json["values"]["n"] == 270
    assert held[0].request.post_data_json["sequence"] < int(sequence)
    held[0].fulfill(json={"sequence": 2, "replicates": 1, "seconds": 0, "panels": [], "says": ["late"], "command": ""})
    page.wait_for_timeout(150)
    assert (words_of_panels(page), page.evaluate(LIVING)) == (shown, sequence)


LATE = """async () => {
  const { Api, Stale } = await import("/static/api.js");
  const waits = [120, 10];
  window.fetch = (path, { body }) => {
    const { sequence } = JSON.parse(body);
    return new Promise((done) => setTimeout(() => done(new Response(JSON.stringify({ sequence }))), waits[sequence - 1]));
  };
  const api = new Api();
  const told = (one) => one.then(({ sequence }) => `answer ${sequence}`, (error) => (error instanceof Stale ? "stale" : "?"));
  const answers = [api.answer({}), api.answer({})].map(told);
  return Promise.all(answers);
}"""


def test_the_older_of_two_answers_is_dropped_when_both_arrive(page: Page) -> None:
    assert page.evaluate(LATE) == ["stale", "answer 2"]


def test_a_number_outside_the_limits_is_held_and_said(page: Page) -> None:
    typed(page, "n", "5000")
    assert box(page, "n").input_value() == "270"
    assert page.locator("[data-knob=n] [role=alert]").inner_text() == "From 20 to 270."
    typed(page, "n", "120")
    assert page.locator("[data-knob=n] [role=alert]").is_hidden()
    box(page, "n").fill("")
    box(page, "n").press("Enter")
    assert box(page, "n").input_value() == "120"


def test_what_was_moved_can_be_put_back(page: Page) -> None:
    first = words_of_panels(page)
    typed(page, "n", "150")
    typed(page, "dropout", "40")
    page.get_by_label("depends on what is not seen").check()
    settled(page)
    assert words_of_panels(page) != first
    page.get_by_label("Put back: Participants").click()
    settled(page)
    assert box(page, "n").input_value() == "90"
    page.get_by_role("button", name="Put all back").click()
    settled(page)
    assert (words_of_panels(page), hash_of(page)) == (first, "#/explore?replicates=100")


def test_other_luck_is_another_seed(page: Page) -> None:
    first = words_of_panels(page)
    page.get_by_role("button", name="Other luck").click()
    settled(page)
    assert words_of_panels(page) != first
    assert hash_of(page) == "#/explore?seed=2&replicates=100"
    page.get_by_label("Luck (seed)", exact=True).fill("1")
    page.get_by_label("Luck (seed)", exact=True).press("Enter")
    settled(page)
    assert words_of_panels(page) == first


def test_more_replicates_less_error(page: Page) -> None:
    def error() -> float:
        return float(page.locator(".tile", has_text=SUCCESS).locator(".error").inner_text().strip("± %"))

    few = error()
    page.get_by_label("Replicates").select_option("500")
    settled(page)
    assert few / 3 < error() < few / 1.7  # the root of 5 is 2.2
    assert hash_of(page) == "#/explore"


def test_what_was_before_stays_in_grey(page: Page) -> None:
    before = tile(page, SUCCESS)
    page.get_by_role("button", name="Keep to compare").click()
    typed(page, "n", "180")
    assert page.locator(".chart path.ghost").count() >= 4
    old = page.locator(".tile", has_text=SUCCESS).locator(".old")
    assert old.inner_text().startswith(f"before: {before}")
    page.get_by_role("button", name="Keep to compare").click()
    assert page.locator(".chart path.ghost").count() == 0
    assert old.is_hidden()


def test_every_panel_can_be_shown_as_a_table(page: Page) -> None:
    panels = page.locator(".panel")
    for k in range(panels.count()):
        panel = panels.nth(k)
        panel.get_by_role("button", name="show as a table").click()
        assert panel.locator("table.as-table tbody tr").count() > 0
        assert panel.locator("svg.chart").count() == 0
        panel.get_by_role("button", name="show as a picture").click()
        assert panel.locator("table.as-table").count() == 0
    assert page.locator("svg.chart").count() > 0


def test_every_chart_names_its_band_and_every_number_has_its_error(page: Page) -> None:
    for note in page.locator(".panel .note").all_inner_texts():
        assert any(word in note for word in ("Band", "band", "±", "middle 95"))
    for value in page.locator(".tile .value").all_inner_texts():
        assert "±" in value
    assert page.locator("path.band").count() > 0


def test_the_answer_is_said_once_it_rests(page: Page) -> None:
    said = page.locator("#said")
    assert "Power with 90 participants" in said.inner_text()
    page.evaluate("""() => {
      window.times = 0;
      new MutationObserver(() => (window.times += 1)).observe(document.getElementById("said"), { childList: true });
    }""")
    pressed(page, "n", *["ArrowRight"] * 6)
    assert "Power with 150 participants" in said.inner_text()
    assert page.evaluate("window.times") == 1
