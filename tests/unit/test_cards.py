"""What notebooks show: the facts of a design, a trial and results, as text and nothing else."""

from __future__ import annotations

import math

import pytest
from reports import NASTY, nasty_design, parsed, small_design

import trialsim
from trialsim.design.cards import card, facts_table, grid, plain, with_error


def test_a_design_shows_its_arms_visits_outcomes_and_analyses() -> None:
    found = parsed(small_design()._repr_html_())
    assert found.texts("caption") == ["Arms", "Visits (days count from entering the trial)", "Outcomes", "Analyses"]
    words = " ".join(found.texts("td"))
    for said in ("3 sessions, one-to-one, 2 coaches", "3 months", "pain severity", "simple, 1:1"):
        assert said in words


def test_a_trial_shows_its_counts_as_its_tables_have_them() -> None:
    trial = trialsim.simulate(small_design(), seed=3, engine="vector")
    found = parsed(trial._repr_html_())
    rows = [" ".join(text.split()) for text in found.texts("tr")]
    people = trial.participants
    per_arm = people.groupby("arm", observed=False).size()
    flow = next(tag for tag in found.named("table") if "Participants by arm" in tag.text)
    assert f"participants{per_arm['coach']}{per_arm['usual']}" in flow.text
    answered = trial.observations.query("visit == 'm3' and observed_day.notnull()")
    counts = answered.groupby("arm", observed=False).size()
    assert f"answered m3{counts['coach']}{counts['usual']}" in flow.text
    assert any(row.startswith("contacted") for row in rows)


def test_an_experiment_shows_chances_with_their_errors() -> None:
    found = parsed(trialsim.run(small_design(), replicates=8)._repr_html_())
    assert found.texts("caption") == ["Decisions", "Performance of the analyses"]
    assert "success" in " ".join(found.texts("td"))
    assert sum("±" in text for text in found.texts("td")) > 10


def test_one_replicate_shows_its_estimates() -> None:
    found = parsed(trialsim.run(small_design())._repr_html_())
    assert "coach - usual" in found.texts("td")
    assert not any("±" in text for text in found.texts("td"))


def test_markup_in_names_is_text() -> None:
    design = nasty_design()
    trial = trialsim.simulate(design, engine="vector")
    experiment = trialsim.run(design, replicates=4)
    assert experiment.estimates is not None
    for shown in (design, trial, experiment, experiment.estimates):
        found = parsed(shown._repr_html_())
        assert not found.named("script", "img", "style", "link")
        assert all(tag.attributes.keys() <= {"class", "style", "scope"} for tag in found.tags)


def test_builders_escape_whatever_they_are_given() -> None:
    text = card(NASTY, NASTY, [facts_table([(NASTY, NASTY)]), grid(NASTY, [NASTY, ""], [[NASTY, NASTY]])])
    assert not parsed(text).named("script", "img")
    assert text.count("&lt;script&gt;") == 8


@pytest.mark.parametrize(
    ("value", "mcse", "said"),
    [(12.345, 0.56, "12.35 ± 0.56"), (220_784.2, 712.0, "220,784 ± 712"), (300.0, 0.0, "300 ± 0"), (0.5, math.nan, "0.5 ± ?"),
     (math.nan, 0.1, "-")],
)  # fmt: skip
def test_values_have_two_digits_of_their_error(value: float, mcse: float, said: str) -> None:
    assert with_error(value, mcse) == said


@pytest.mark.parametrize(
    ("value", "said"), [(220_800.0, "220,800"), (22.108, "22.11"), (0.01234, "0.01234"), (0.0, "0"), (math.inf, "-")]
)
def test_plain_numbers_have_no_exponent(value: float, said: str) -> None:
    assert plain(value) == said
