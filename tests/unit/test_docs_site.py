"""The site made of docs/: nothing is fetched from elsewhere, equations are whole, generated pages are fresh."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

import trialsim
from trialsim.cli.main import cli
from trialsim.report.figures import KINDS

ROOT = Path(__file__).resolve().parents[2]
# ruff: noqa: E402
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "docs" / "_ext")]

import check_site
import command_reference
import python_reference
from page_blocks import FENCE, blocks_of
from pages import renewed
from run_pages import made_by, pages

# --- generated pages --------------------------------------------------------------------------------------------------


def test_the_page_of_commands_is_what_the_script_writes() -> None:
    assert command_reference.PAGE.read_text("utf-8") == command_reference.page(), (
        "stale: run python scripts/command_reference.py"
    )


def test_it_has_every_command_and_option() -> None:
    page = command_reference.page()
    assert "## Other" not in page, "a new command wants a place in GROUPS"
    for name, command in cli.commands.items():
        text = command_reference.section(name)
        assert f"\n{text}" in page
        for option in (p for p in command.params if isinstance(p, click.Option)):
            assert all(f"`{word}" in text for word in option.opts), option.opts


def test_a_command_without_a_group_is_still_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_reference, "GROUPS", {"Some": ("list",)})
    assert "\n## Other\n" in command_reference.page()
    assert "\n### sweep\n" in command_reference.page()


def test_the_table_of_names_is_what_the_script_writes() -> None:
    page = python_reference.PAGE.read_text("utf-8")
    assert renewed(page, {"names": python_reference.table()}) == page, "stale: run python scripts/python_reference.py"


def test_the_table_of_names_has_them_all() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)[^|]*\| (.*) \|$", python_reference.table())
    assert sorted(name for name, _ in rows) == sorted(name for name in trialsim.__all__ if name != "__version__")
    assert all(meaning for _, meaning in rows)


# --- figures ----------------------------------------------------------------------------------------------------------


def test_figures_are_made_by_the_page_that_their_address_names() -> None:
    made = {path.stem: made_by(path) for path in pages()}
    for path in pages():
        for stem, name in re.findall(r"_build/figures/(\w+)/([\w.\-/]+)", path.read_text("utf-8")):
            assert name in made[stem], (path, stem, name)


def test_the_gallery_has_every_kind_of_figure() -> None:
    gallery = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    assert [kind for kind in KINDS if f"`--kind {kind}`" not in gallery] == []
    pictures = re.findall(r"(?s)!\[[^\]]+\]\([^)]*?([a-z_]+)\.svg\)\n\n`--kind (\w+)`", gallery)
    assert {re.sub(r".*-", "", name) for name, _ in pictures} == set(KINDS)
    assert [(name, kind) for name, kind in pictures if not name.endswith(kind)] == []


def test_every_figure_has_words_for_those_who_do_not_see_it() -> None:
    for path in pages():
        for words, address in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", path.read_text("utf-8")):
            assert len(words.split()) >= 5, (path, address)


# --- numbers ----------------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"-?\d[\d.,]* ± \d[\d.,]*\d|-?\d[\d.,]* ± \d")


def unprinted(page: str) -> list[str]:
    """Numbers with an error in the running text of a page that no output of the page has."""
    outputs = " ".join(block.text for block in blocks_of(page) if block.language == "text")
    printed = set(NUMBER.findall(re.sub(r" +", " ", outputs)))
    return [number for number in NUMBER.findall(FENCE.sub("", page)) if number not in printed]


@pytest.mark.parametrize("name", ["designer", "statistician", "instructor"])
def test_numbers_told_in_a_tutorial_are_printed_there(name: str) -> None:
    assert unprinted((ROOT / "docs" / "tutorials" / f"{name}.md").read_text("utf-8")) == []


def test_a_number_that_is_not_printed_is_noticed() -> None:
    page = "It is 0.61 ± 0.02, or 0.6 ± 0.02, not -1,200 ± 3.\n\n```text\npower  0.61 ± 0.02  -1,200  ± 3\n```\n"
    assert unprinted(page) == ["0.6 ± 0.02"]


# --- nothing from elsewhere -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a.html", '<script src="https://example.org/a.js"></script>', "loads https://example.org/a.js"),
        ("a.html", '<link rel="stylesheet" href="//example.org/a.css">', "loads //example.org/a.css"),
        ("a.html", '<link rel="preload stylesheet" href="gone.css">', "gone.css is not there"),
        ("a.html", '<img src="http://example.org/a.png">', "loads http://example.org/a.png"),
        ("a.html", '<img srcset="here.css 1x, https://example.org/b.png 2x">', "loads https://example.org/b.png"),
        ("a.html", '<p style="background: url(https://example.org/c.png)">', "loads https://example.org/c.png"),
        ("a.html", "<style>@import 'https://example.org/d.css';</style>", "loads https://example.org/d.css"),
        ("a.css", '@font-face {src: url("https://example.org/e.woff2")}', "loads https://example.org/e.woff2"),
        ("a.svg", '<svg><image href="https://example.org/f.png"/></svg>', "loads https://example.org/f.png"),
        ("a.html", '<form action="https://example.org/ask"></form>', "loads https://example.org/ask"),
    ],
)
def test_what_a_page_loads_from_elsewhere_is_found(tmp_path: Path, name: str, text: str, fault: str) -> None:
    (tmp_path / "here.css").write_text("", "utf-8")
    (tmp_path / name).write_text(text, "utf-8")
    assert list(check_site.faults(tmp_path)) == [f"{name}: {fault}"]


def test_links_and_own_files_are_no_requests(tmp_path: Path) -> None:
    (tmp_path / "a b.css").write_text('p {background: url("data:image/png;base64,AA==")}', "utf-8")
    (tmp_path / "a.html").write_text(
        '<a href="https://example.org">x</a><link rel="next" href="https://example.org"><link rel="stylesheet" '
        'href="a%20b.css?v=1"><img src="data:,"><svg><use href="#part"/></svg><p>url(https://example.org)</p>',
        "utf-8",
    )
    assert list(check_site.faults(tmp_path)) == []


# --- equations --------------------------------------------------------------------------------------------------------


@pytest.fixture
def latex() -> ModuleType:
    pytest.importorskip("latex2mathml")
    import latex

    return latex


def equations() -> list[str]:
    found = []
    for path in pages():
        text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", path.read_text("utf-8")))
        found += re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL)
        found += re.findall(r"\$([^$]+)\$", re.sub(r"\$\$.+?\$\$", "", text, flags=re.DOTALL))
    return found


def test_every_equation_of_the_pages_can_be_shown(latex: ModuleType) -> None:
    texts = equations()
    assert len(texts) > 300
    for text in texts:
        assert latex.mathml(text, block=True).startswith("<math ")


def test_halves_are_fractions_and_capital_greek_stands_upright(latex: ModuleType) -> None:
    assert "<mfrac><mn>1</mn><mn>2</mn></mfrac>" in latex.mathml(r"\tfrac12", block=False)
    assert '<mi mathvariant="normal">&#x003A6;</mi>' in latex.mathml(r"\Phi(x)", block=False)
    assert latex.BAR in latex.mathml(r"\overline{a-b}", block=True)


@pytest.mark.parametrize("text", [r"\nosuch{x}", r"\frac{1}", r"\left( x", r"x^"])
def test_latex_that_is_not_understood_is_no_equation_with_a_hole(latex: ModuleType, text: str) -> None:
    with pytest.raises(latex.UnknownLatex):
        latex.mathml(text, block=True)
