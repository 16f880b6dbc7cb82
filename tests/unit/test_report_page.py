"""The report: every section is there and filled in, nothing is loaded, nothing in a name does harm, and a screen reader
finds its way."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from reports import NASTY, Parsed, loads, material_of, nasty_html, parsed, small_data, small_design, small_html
from sweep_folders import sizes_and_rates, sweep_of, write_sweep

from trialsim.design.reader import design_of, digest
from trialsim.errors import TrialsimError
from trialsim.report import page
from trialsim.report.figures import Material, gather
from trialsim.report.layout import caption, table
from trialsim.report.page.blocks import sections_of
from trialsim.report.page.numbers import quantile_with_error
from trialsim.report.page.parts import Page, Section
from trialsim.report.page.pictures import Pictures
from trialsim.report.page.trial import without

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

TRIAL = ["answer", "design", "flow", "enrolment", "staff", "attendance", "outcomes", "missing", "estimates", "errors",
         "published", "ademp", "stress", "reproduce", "annex"]  # fmt: skip
SWEEP = ["answer", "varied", "design", "performance", "best", "points", "ademp", "stress", "reproduce"]


@pytest.fixture(scope="module")
def material() -> Material:
    """Of the small design."""
    return material_of(small_design())


@pytest.fixture(scope="module")
def text() -> str:
    """Its report."""
    return small_html()


@pytest.fixture(scope="module")
def small(text: str) -> Parsed:
    """The same taken apart."""
    return parsed(text)


@pytest.fixture(scope="module")
def nasty() -> Parsed:
    """Of a design that holds markup wherever it may hold text."""
    return parsed(nasty_html())


@pytest.fixture(scope="module")
def sweep_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a small sweep."""
    folder = tmp_path_factory.mktemp("sweeps") / "small"
    write_sweep(folder, sweep_of(sizes_and_rates(), replicates=32))
    return page.report_html(gather(folder))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of words: figures take most of the time."""
    monkeypatch.setattr(Pictures, "_one", lambda self, kind, options: f"figure {kind}")


def sections(found: Parsed) -> list[str]:
    return [tag.attributes["id"] for tag in found.named("section")]


def section(found: Parsed, name: str) -> str:
    """What stands in a section."""
    return next(" ".join(tag.text.split()) for tag in found.named("section") if tag.attributes["id"] == name)


# --- what there is ----------------------------------------------------------------------------------------------------


def test_every_section_of_a_trial_is_there_in_order_and_in_the_contents(small: Parsed) -> None:
    assert sections(small) == TRIAL
    links = [tag.attributes["href"] for tag in small.named("a") if "nav" in tag.within]
    assert links == [f"#{name}" for name in TRIAL]


def test_every_section_of_a_sweep_is_there_in_order(sweep_text: str) -> None:
    assert sections(parsed(sweep_text)) == SWEEP


def test_the_answer_comes_first_with_its_errors(small: Parsed) -> None:
    answer = section(small, "answer")
    assert "the chance is" in answer
    for said in ("Coaching helps", "coach beats usual at m3", "Enrolment opens on 1 January 2024", "It costs USD"):
        assert said in answer
    assert answer.count("±") > 20


def test_figures_have_an_alternative_a_caption_and_a_number(small: Parsed) -> None:
    images = [tag for tag in small.named("svg") if "figure" in tag.within]
    assert len(images) >= 10
    assert all(tag.attributes.get("role") == "img" and len(tag.attributes.get("aria-label", "")) > 40 for tag in images)
    captions = small.texts("figcaption")
    assert [caption.split(".")[0] for caption in captions] == [f"Figure {k}" for k in range(1, len(images) + 1)]


def test_ademp_has_its_five_parts_with_values_of_the_design(small: Parsed) -> None:
    ademp = section(small, "ademp")
    for part in ("Aims", "Data-generating mechanisms", "Estimands", "Methods", "Performance measures"):
        assert part in ademp
    for value in (
        "24 replicates of seed 1",
        "linear regression",
        "pain severity",
        "made up for tests",
        "coach = usual",
    ):
        assert value in ademp
    assert "achieved: over" in ademp


def test_stress_has_all_its_items_filled_in(small: Parsed) -> None:
    items = [row for row in small.texts("th") if row[:1].isdigit()]
    numbers = [item.split(" ")[0] for item in items]
    wanted = ["1.", "1.1", "1.2", "1.3", "2.", "2.1", "2.2", "2.3", "2.4", "2.5.1", "2.5.2", "2.5.3", "2.5.4", "2.5.5",
              "3.", "3.1", "3.2", "3.3", "3.4", "4.", "4.1", "4.2", "4.3", "5.", "5.1", "5.2", "5.3", "5.4", "6.", "6.1"]  # fmt: skip
    assert [number for number in numbers if number in wanted] == wanted
    stress = section(small, "stress")
    for value in (
        "2 coaches, each with 3 participants",
        "contacted → screened → enrolled",
        "50 people a month",
        "Seed 1",
    ):
        assert value in stress


def test_the_design_in_the_page_is_the_one_reported_on(small: Parsed, material: Material) -> None:
    listing = next(tag.text for tag in small.named("code") if "start_date" in tag.text)
    assert design_of(listing, at=Path("page.yaml")) == material.design
    assert digest(material.design) in section(small, "reproduce")
    assert "trialsim run small_report.yaml --seed 1 --replicates 24" in section(small, "reproduce")


def test_the_annex_says_what_describe_says(small: Parsed) -> None:
    annex = section(small, "annex")
    for said in ("Rates are known exactly", "Nobody dies.", "True outcomes and effects", "seed 1"):
        assert said in annex


def test_a_design_without_published_values_says_so(small: Parsed) -> None:
    assert "trialsim holds no published values" in section(small, "published")


@pytest.mark.usefixtures("no_figures")
def test_one_replicate_is_not_held_against_published_values() -> None:
    found = parsed(page.report_html(gather("cbt_generic", replicates=1, overrides=["sample_size=30"])))
    assert "One replicate is not held against published values" in section(found, "published")


@pytest.mark.usefixtures("no_figures")
def test_published_values_have_a_source_and_are_not_the_librarys_when_changed() -> None:
    found = parsed(page.report_html(gather("cbt_generic", replicates=2, overrides=["sample_size=60"])))
    published = section(found, "published")
    assert "NOT the library's" in published
    assert "CHOIR registry" in published


# --- other designs ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_figures")
def test_one_replicate_is_called_a_story_and_has_no_monte_carlo_error() -> None:
    found = parsed(page.report_html(material_of(small_design(), replicates=1)))
    assert sections(found) == TRIAL
    assert "One simulated trial, not a chance." in section(found, "answer")
    assert "±" not in section(found, "answer")


@pytest.mark.usefixtures("no_figures")
def test_cohorts_are_never_shown_as_a_randomized_effect() -> None:
    allocation = {"kind": "cohorts", "ratio": {"coach": 1, "usual": 1}}
    design = small_design(allocation=allocation, decisions={})
    found = parsed(page.report_html(material_of(design, replicates=8)))
    assert "Nobody is randomized" in section(found, "answer")
    assert "Nobody is randomized" in found.texts("header")[0]
    assert "CONSORT" not in found.texts("nav")[0]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"arms": {"coach": small_data()["arms"]["coach"]}, "decisions": {}, "analyses": {},
             "allocation": {"kind": "simple", "ratio": {"coach": 1}}},
            "There is one arm",
        ),
        ({"analyses": {}, "decisions": {}}, "no analysis is planned"),
        ({"decisions": {}}, "No rule of success is stated. The chance that coach against usual"),
    ],
    ids=["one arm", "no analyses", "no decisions"],
)  # fmt: skip
def test_designs_with_less_in_them(changes: dict[str, object], said: str) -> None:
    found = parsed(page.report_html(material_of(small_design(**changes), replicates=4)))
    assert sections(found) == TRIAL
    assert said in section(found, "answer")


def test_nobody_enrolled_is_a_report_too() -> None:
    design = small_design(recruitment={"sites": {"north": {"rate_per_month": 0.0}}}, analyses={}, decisions={})
    found = parsed(page.report_html(material_of(design, replicates=3)))
    assert "Nobody is randomized in any replicate" in section(found, "answer")


# --- complete in itself, and harmless ---------------------------------------------------------------------------------


def test_nothing_is_loaded_and_nothing_runs(text: str, sweep_text: str) -> None:
    for one in (text, sweep_text):
        assert loads(parsed(one)) == []


def test_what_would_be_loaded_is_seen() -> None:
    bad = '<p style="background: url(https://x.y/z.png)">a</p><a href="javascript:1">b</a><img src="x.png">'
    bad += "<script>1</script><style>@import 'x.css';</style><p onclick='1'>c</p>"
    assert len(loads(parsed(bad))) == 6


def test_the_policy_forbids_all_but_styles_and_comes_before_them(text: str) -> None:
    policy = text.index('http-equiv="Content-Security-Policy"')
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'" in text
    assert policy < text.index("<style>") < text.index("<body>")


def test_markup_in_names_is_text(nasty: Parsed) -> None:
    assert loads(nasty) == []
    assert not nasty.named("script", "img", "b")
    assert nasty.texts("h1") == [" ".join(NASTY.split())]
    assert "{{ 7 * 7 }}" in section(nasty, "design")
    assert section(nasty, "stress").count("<script>") >= 3


def test_the_same_material_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two of the figures; that each figure has the same bytes has a test of its own."""
    draw = Pictures._one
    monkeypatch.setattr(
        Pictures,
        "_one",
        lambda self, kind, options: draw(self, kind, options) if kind in ("consort", "forest") else kind,
    )
    first, second = (page.report_html(material_of(small_design(), replicates=6)) for _ in range(2))
    assert first.count("<svg") == 2
    assert first == second


def test_a_report_is_small(text: str, sweep_text: str) -> None:
    assert len(text) < 1_500_000
    assert len(sweep_text) < 1_500_000


# --- for screen readers -----------------------------------------------------------------------------------------------


def test_headings_leave_no_level_out(small: Parsed, nasty: Parsed, sweep_text: str) -> None:
    for found in (small, nasty, parsed(sweep_text)):
        levels = [int(tag.name[1]) for tag in found.named("h1", "h2", "h3", "h4", "h5", "h6")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_landmarks_language_and_title(small: Parsed) -> None:
    assert small.named("html")[0].attributes["lang"] == "en"
    assert small.texts("title") == ["A small trial to report on - simulated trial"]
    assert [len(small.named(name)) for name in ("header", "nav", "main", "footer")] == [1, 1, 1, 1]
    ids = [tag.attributes["id"] for tag in small.tags if "id" in tag.attributes]
    assert len(ids) == len(set(ids))
    labels = [tag.attributes["aria-labelledby"] for tag in small.named("section")]
    assert set(labels) <= set(ids)


def test_tables_have_a_caption_and_heads_with_a_scope(small: Parsed, sweep_text: str) -> None:
    for found in (small, parsed(sweep_text)):
        assert len(found.named("table")) == len([text for text in found.texts("caption") if text])
        assert all(tag.attributes.get("scope") in ("col", "row", "rowgroup") for tag in found.named("th"))
        assert all(found.texts("th"))


# --- tables ---------------------------------------------------------------------------------------------------------


def test_rows_of_a_visit_stand_below_it() -> None:
    rows = [["3 months", "a - b", "1"], ["3 months", "a - c", "2"], ["6 months", "a - b", "3"]]
    (block,) = blocks_of([table(["visit", "contrast", "power"], rows)])
    assert block["header"] == ("contrast", "power")
    assert block["groups"] == [("3 months", [("a - b", "1"), ("a - c", "2")]), ("6 months", [("a - b", "3")])]
    (block,) = blocks_of([table(["visit", "due on day"], [["m3", "91"], ["m6", "183"]])])
    assert block["groups"] == [("", [("m3", "91"), ("m6", "183")])]


def test_a_caption_belongs_to_the_table_below_it_and_a_table_without_one_is_named_by_its_section() -> None:
    one, other = blocks_of([caption("Arms:"), table(["arm"], [["coach"]]), table(["visit"], [["m3"]])])
    assert (one["caption"], one["hidden"]) == ("Arms", False)
    assert (other["caption"], other["hidden"]) == ("A section", True)


def test_a_column_that_says_nothing_is_left_out() -> None:
    rows = [["a", "0.0 ± 1.0"], ["b", "0.0 ± 1.0"]]
    shown = without(table(["", "failed, %"], rows), "failed, %", like="0.0 ± ")
    assert str(shown) == str(table([""], [["a"], ["b"]]))
    kept = table(["", "failed, %"], [["a", "0.0 ± 1.0"], ["b", "2.5 ± 1.0"]])
    assert without(kept, "failed, %", like="0.0 ± ") is kept
    assert without("text", "kind") == "text"


def blocks_of(content: list[str]) -> list[dict[str, object]]:
    """Content of one section as the template has it."""
    return sections_of(Page("title", "kind", (), (Section("name", "A section", tuple(content)),)))[0]["blocks"]


# --- writing ----------------------------------------------------------------------------------------------------------


def test_it_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    page.write_report("first", out)
    page.write_report("second", out)
    assert out.read_text("utf-8") == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(TrialsimError, match="cannot be written"):
        page.write_report("third", tmp_path / "no folder" / "report.html")


@pytest.mark.parametrize(
    ("name", "why"), [("report.txt", "ends in .html"), ("no/report.html", "no folder"), (".", "ends in .html")]
)
def test_places_that_will_not_do_are_refused_before_anything_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrialsimError, match=why):
        page.check_place(Path(name))


def test_a_results_folder_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    with pytest.raises(TrialsimError, match="inside the results folder"):
        page.check_place(folder / "report.html", folder=folder)
    assert page.default_place(folder) == tmp_path / "results-report.html"
    page.check_place(page.default_place(folder), folder=folder)


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prob", [0.05, 0.5, 0.95])
def test_a_quantile_has_the_error_that_order_statistics_have(prob: float) -> None:
    """Of uniforms the standard error is sqrt(p (1 - p) / n); the estimate of it averages close to that."""
    n, sets = 400, 300
    draws = np.random.default_rng(5).random((sets, n))
    errors = np.array([quantile_with_error(one, prob)[1] for one in draws])
    spread = errors.std(ddof=1) / np.sqrt(sets)
    exact = np.sqrt(prob * (1 - prob) / n)
    off = abs(errors.mean() - exact)
    assert off < 4.5 * spread + 0.05 * exact
    assert not abs(np.sqrt(2) * errors.mean() - exact) < 4.5 * spread + 0.05 * exact  # a wrong formula is seen


def test_tails_of_few_replicates_are_not_known() -> None:
    assert np.isnan(quantile_with_error(np.arange(19.0), 0.05)).all()


@pytest.mark.usefixtures("no_figures")
def test_one_design_point_of_a_sweep_is_reported_like_a_trial(tmp_path: Path) -> None:
    write_sweep(tmp_path / "small", sweep_of(sizes_and_rates(sizes=(30,)), replicates=16))
    found = parsed(page.report_html(gather(tmp_path / "small", point=1)))
    assert sections(found) == TRIAL
    assert "small, design point 1" in found.texts("header")[0]
    assert "trialsim run test.yaml --seed 1 --replicates 16" in section(found, "reproduce")
