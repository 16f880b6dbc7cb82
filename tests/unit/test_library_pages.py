"""What pages say of the scenario library is what the scripts write, from the scenarios and targets as they are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from trialsim.design.allocation import Allocation
from trialsim.design.library import library, library_dir
from trialsim.design.reader import digest, read_design
from trialsim.experiments.targets import Finding, Target, Targets, targets_of
from trialsim.report.catalogue import ALLOCATIONS, Entry, catalogue, in_short
from trialsim.report.comparison import finding_cells

ROOT = Path(__file__).resolve().parents[2]
# ruff: noqa: E402
sys.path.insert(0, str(ROOT / "scripts"))

import library_table
import pages
import reproduce_library

VALIDATION = (ROOT / "docs" / "validation.md").read_text("utf-8")
PUBLISHED = sorted(path.stem for path in (library_dir() / "targets").glob("*.yaml"))
TOY, OTHER = Entry("toy", "A toy", "2 arms", ""), Entry("other", "Another", "2 arms", "toy")


def finding(label: str, value: float, *, n: int = 20, **keys: Any) -> Finding:
    usual = {"measure": "randomized/all", "published": 90.0, "low": 80.0, "high": 100.0, "source": "seen: abstract"}
    return Finding(Target(**{**usual, "label": label, "kind": "predicted", **keys}), value, 2.0, n)


def toy() -> reproduce_library.Told:
    findings = [
        finding("chosen", 91.0, kind="fitted"),
        finding("follows", 70.0, note="Too few come."),
        finding("alone", 92.0, n=50),
        finding("course", 93.0, benchmark=True),
        finding("another thing", 10.0, held=False),
    ]
    targets = Targets(design="toy", note="Read in one place.", targets=tuple(f.target for f in findings))
    return reproduce_library.told(TOY, targets, findings, "abc123")


# --- parts of a page --------------------------------------------------------------------------------------------------


def test_a_part_is_renewed_and_the_rest_stays() -> None:
    page = f"a\n{pages.as_part('one', 'old')}\nb\n{pages.as_part('two', '')}\n"
    new = pages.renewed(page, {"one": r"new \1"})
    assert new == page.replace("old", r"new \1")
    assert (pages.part_of(new, "one"), pages.part_of(new, "two"), pages.part_of(new, "three")) == (r"new \1", "", None)


@pytest.mark.parametrize("page", ["", pages.as_part("two", "x"), "\n".join(2 * [pages.as_part("one", "x")])])
def test_a_page_must_have_the_part_once(page: str) -> None:
    with pytest.raises(ValueError, match=r"^the page must have one part 'one'$"):
        pages.renewed(page, {"one": "new"})


def test_to_check_a_page_is_not_to_write_it(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("old", "utf-8")
    assert not pages.kept(file, "new", check=True)
    assert file.read_text("utf-8") == "old"
    assert pages.kept(file, "new", check=False)
    assert pages.kept(file, "new", check=True)


# --- tables of a scenario ---------------------------------------------------------------------------------------------


def test_each_kind_of_target_has_its_own_table_and_misses_their_notes() -> None:
    text = toy().tables
    order = ("abc123", "Read in one place", "*Fitted", "chosen", "*Predicted", "follows", "*Uncontrolled benchmarks",
             "course", "Outside their range", "Too few come.", "*Shown, not held*", "another thing")  # fmt: skip
    assert sorted(order, key=text.index) == list(order)
    assert text.startswith("20 replicates unless a row says otherwise, seed 1, design digest `abc123`.")
    assert "| follows | 90 | 80 to 100 | 70 ± 2 | **no** |" in text
    assert "| another thing | 90 | 80 to 100 | 10 ± 2 | no |" in text
    assert "| alone (50 replicates) | 90 | 80 to 100 | 92 ± 2 | yes |" in text


def test_the_row_of_a_scenario_counts_what_is_held_and_names_the_worst_miss() -> None:
    assert toy().row == "| [toy](#toy) | 1 of 1 | 1 of 2 | 1 of 1 | follows (-2.0) |"


def test_scenarios_that_were_not_simulated_stay_as_they_stand() -> None:
    page = f"a\n{pages.as_part('library', '')}\nb\n"
    first = reproduce_library.with_tables(page, [OTHER, TOY], {"toy": toy()})
    assert pages.part_of(first, "toy") == toy().tables
    both = reproduce_library.with_tables(
        first, [OTHER, TOY], {"other": reproduce_library.Told("| [other](#other) | 1 |", "tables of it")}
    )
    assert pages.part_of(both, "toy") == toy().tables
    assert both.index("[other](#other)") < both.index(toy().row) < both.index("### other") < both.index("### toy")
    assert reproduce_library.with_tables(both, [OTHER, TOY], {}) == both
    assert "### toy" not in reproduce_library.with_tables(both, [OTHER], {})


def test_a_scenario_is_simulated_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    entry = next(entry for entry in catalogue() if entry.name == "dear")
    told = reproduce_library.simulated(entry, replicates=2, workers=1)
    assert "2 replicates unless" in told.tables
    assert capsys.readouterr().out.startswith("dear: Fitted: ")


# --- the pages themselves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_page_has_every_target_of_the_scenario_as_it_is(name: str) -> None:
    stale = f"stale: run python scripts/reproduce_library.py {name}"
    text = pages.part_of(VALIDATION, name) or ""
    assert f"`{digest(read_design(name))}`" in text, stale
    for target in targets_of(name).targets:
        _, *said, _, _, _, _ = finding_cells(Finding(target, target.published, 0.0, 1))
        assert any(
            line.endswith("|") and target.label in line and " | ".join(said) in line for line in text.splitlines()
        ), stale
    assert f"\n| [{name}](#" in VALIDATION


def test_the_table_of_the_readme_is_what_the_script_writes() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert library_table.with_table(readme) == readme, "stale: run python scripts/library_table.py"
    assert [f"[`{name}`]" in readme for name in library()] == [True] * len(library())
    assert library_table.with_table(readme.replace("participants", "people")) != readme.replace(
        "participants", "people"
    )


def test_a_design_in_short() -> None:
    assert in_short(read_design("resolve")) == "3 arms, permuted blocks, 2,331 participants"
    assert in_short(read_design("dear")) == "4 arms 143:141:131:75, permuted blocks, 490 participants"


def test_every_kind_of_allocation_has_its_words() -> None:
    kinds = {get_args(kind.model_fields["kind"].annotation)[0] for kind in get_args(get_args(Allocation)[0])}
    assert set(ALLOCATIONS) == kinds


def test_a_variant_says_what_it_extends() -> None:
    variants = {entry.name: entry.extends for entry in catalogue() if entry.extends}
    assert variants["null"] == "cbt_generic"
    assert "resolve" not in variants
    assert next(entry.what for entry in catalogue() if entry.name == "null").endswith("(variant of cbt_generic)")
