"""The animated replay: it plays, stops, goes to a day and follows a participant; its numbers are the trial's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from on_page import asked, expect, tab_to, too_wide

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

QUESTION: dict[str, Any] = {"scene": "explore", "values": {}, "seed": 1, "replicate": 0}


@pytest.fixture
def watching(open_page: Any) -> Page:
    """A tab with the replay of the first trial."""
    return opened(open_page)


def opened(open_page: Any, **context: Any) -> Page:
    page: Page = open_page("#/trial", **context)
    page.locator(".rp-canvas").wait_for()
    return page


@pytest.fixture(scope="module")
def trial(server: str) -> Any:
    """The same trial as tables, simulated here."""
    from trialsim.design.library import library
    from trialsim.design.reader import read_design
    from trialsim.trial import simulate

    data = asked(server, "/api/replay", QUESTION)
    path = library("lessons/designs")[data["design"]["name"]]
    return simulate(read_design(path, overrides=(f"sample_size={data['sample_size']}",)), seed=1, engine="vector")


def day_of(page: Page) -> int:
    return int(page.locator(".rp-slider").input_value())


def waits_for(page: Page, has_come: Callable[[int], bool]) -> None:
    """Until the day shown is such a one (the page's policy forbids to wait by a script)."""
    for _ in range(400):
        if has_come(day_of(page)):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"day {day_of(page)} stays on")


def cells(row: Locator) -> list[str]:
    return [text.replace(",", "") for text in row.locator("td").all_inner_texts()]


def row_of(page: Page, table: str, name: str) -> Locator:
    found = page.locator("table", has=page.locator("caption", has_text=table)).locator("tr")
    return found.filter(has=page.get_by_role("rowheader", name=name, exact=True))


def to_the_end(page: Page) -> None:
    page.locator(".rp-slider").focus()
    page.keyboard.press("End")


def test_numbers_at_the_end_are_those_of_the_trial(watching: Page, trial: Any) -> None:
    summary = watching.locator(".rp-summary")
    expect(summary).to_contain_text("0 of 90 randomized")
    assert summary.get_attribute("aria-live") == "polite"
    assert watching.locator(".rp-canvas").get_attribute("aria-describedby") == summary.get_attribute("id")
    to_the_end(watching)
    expect(summary).to_contain_text("90 of 90 randomized, 0 waiting, 0 in treatment")
    arms_are_those_of_the_trial(watching, trial)
    the_way_in_is_the_table_funnel(watching, trial)
    the_estimate_is_that_of_the_analysis(watching, trial)


def arms_are_those_of_the_trial(watching: Page, trial: Any) -> None:
    people, observations, arms = trial.participants, trial.observations, list(trial.design.arms)

    def by_arm(chosen: Any) -> list[str]:
        counts = people[chosen]["arm"].value_counts()
        return [str(counts.get(arm, 0)) for arm in arms]

    assert cells(row_of(watching, "By arm", "Randomized")) == by_arm(people["arm"].notna())
    assert cells(row_of(watching, "By arm", "withdrew from the study")) == by_arm(people["withdrawn_day"].notna())
    assert cells(row_of(watching, "By arm", "died")) == by_arm(people["died_day"].notna())
    treated = [trial.design.n_sessions(arm) > 0 for arm in arms]
    for name, chosen in {
        "started treatment": people["n_sessions"] > 0,
        "did not start": people["treatment"] == "declined",
        "stopped treatment": people["treatment"] == "discontinued",
        "completed treatment": people["treatment"] == "completed",
    }.items():
        expected = [n if has else "–" for n, has in zip(by_arm(chosen), treated, strict=True)]
        assert cells(row_of(watching, "By arm", name)) == expected
    for visit, stated in trial.design.visits.items():
        answers = observations[(observations["visit"] == visit) & (observations["outcome"] == "pain")]
        counts = answers[answers["observed_day"].notna()]["arm"].value_counts()
        shown = cells(row_of(watching, "By arm", f"{stated.label}: answered"))
        assert shown == [str(counts.get(arm, 0)) for arm in arms]


def the_way_in_is_the_table_funnel(watching: Page, trial: Any) -> None:
    table = trial.table("funnel").to_pandas()
    totals = table.groupby(["step", "reason"], observed=True)["n"].sum()
    for (step, reason), n in totals.items():
        name = {"passed": step.capitalize(), "in process": f"on the way to “{step}”"}.get(
            reason, f"not {step}: {reason}"
        )
        assert cells(row_of(watching, "Who comes in", name)) == [str(n)], name


def the_estimate_is_that_of_the_analysis(watching: Page, trial: Any) -> None:
    from trialsim.trial import analyse

    rows = analyse(trial)
    first = rows[rows["measure"] == "mean difference"].iloc[0]
    shown = watching.locator(".rp-figure").first.inner_text().replace("−", "-")
    for value in (first["estimate"], first["ci_low"], first["ci_high"], first["truth"]):
        assert f"{value:.2f}".rstrip("0").rstrip(".") in shown
    assert "known only in a simulation" in shown


def test_it_plays_and_stops(watching: Page) -> None:
    toggle = watching.locator(".rp-toggle")
    assert toggle.inner_text() == "Play"  # nobody who asked for less motion sees it begin by itself
    assert day_of(watching) == 0
    toggle.click()
    waits_for(watching, lambda day: day > 5)
    toggle.click()
    expect(toggle).to_have_text("Play")
    stopped = day_of(watching)
    watching.wait_for_timeout(300)
    assert day_of(watching) == stopped


def test_it_begins_by_itself_and_ends(open_page: Any) -> None:
    page = opened(open_page, reduced_motion="no-preference")
    waits_for(page, lambda day: day > 3)
    page.locator(".rp-tools select").select_option("91")
    page.locator(".rp-slider").focus()
    last = int(page.locator(".rp-slider").get_attribute("max") or 0)
    page.keyboard.press("End")
    page.keyboard.press("PageDown")
    assert day_of(page) == last - 7
    page.keyboard.press(" ")
    waits_for(page, lambda day: day == last)
    expect(page.locator(".rp-toggle")).to_have_text("Play")


def test_the_keyboard_alone_steps_through_days_and_chooses_a_participant(watching: Page, trial: Any) -> None:
    tab_to(watching, ".rp-slider")
    for key, day in (("ArrowRight", 1), ("PageUp", 8), ("ArrowLeft", 7), ("Home", 0)):
        watching.keyboard.press(key)
        assert day_of(watching) == day
    spoken = watching.locator(".rp-slider").get_attribute("aria-valuetext")
    assert spoken == "Mon 5 Jan 2026, day 0"
    tab_to(watching, ".rp-choose input")
    watching.keyboard.type("17")
    watching.keyboard.press("Enter")
    person = trial.participants.iloc[17]
    heading = watching.locator(".rp-person h3").first
    expect(heading).to_have_text(f"Participant 17: {trial.design.arms[person['arm']].label}")
    to_the_end(watching)
    lines = watching.locator(".rp-way li").all_inner_texts()
    assert sum("attends session" in line or "does module" in line for line in lines) == person["n_sessions"]
    answers = trial.observations[(trial.observations["participant"] == 17) & (trial.observations["outcome"] == "pain")]
    assert sum(" answers the " in line.replace("\n", " ") for line in lines) == answers["observed_day"].notna().sum()
    assert watching.locator(".rp-way .rp-later").count() == 0
    expect(watching.locator(".rp-hidden")).to_contain_text("No analysis sees this")


def test_lines_of_later_days_are_still_to_come_and_a_click_chooses_somebody_else(watching: Page, trial: Any) -> None:
    watching.locator(".rp-choose input").fill("0")
    watching.keyboard.press("Enter")
    all_lines = watching.locator(".rp-way li").count()
    assert watching.locator(".rp-way .rp-later").count() == all_lines
    expect(watching.locator(".rp-follow")).to_contain_text("is not here yet")
    watching.get_by_role("button", name="Half in").click()
    assert 0 < watching.locator(".rp-way .rp-later").count() < all_lines
    assert day_of(watching) == int(trial.participants["randomized_day"].iloc[44])
    # a click on a dot chooses somebody else
    watching.get_by_role("button", name="Nobody").click()
    to_the_end(watching)
    box = watching.locator(".rp-canvas").bounding_box()
    assert box is not None
    for share in (0.75, 0.8, 0.85, 0.9):
        watching.locator(".rp-canvas").click(position={"x": box["width"] * share, "y": 75})
    expect(watching.locator(".rp-follow strong")).to_contain_text("Participant")
    assert watching.locator(".rp-choose input").input_value() != ""


@pytest.mark.parametrize("width", [1024, 360])
def test_it_fits_a_projector_and_a_phone(open_page: Any, width: int) -> None:
    page = opened(open_page, width=width, height=740)
    page.get_by_role("button", name="Enrolment closes").click()
    assert too_wide(page) == 0
    inside = page.evaluate(
        "() => [...document.querySelectorAll('.rp-top *, .rp-choose *, .rp-chart')]"
        ".every(e => e.getBoundingClientRect().right <= innerWidth)"
    )
    assert inside
