"""Every file of the scenario library: it reads, is described, runs, and says where each of its numbers comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import run

from trialsim.design.library import library, library_dir
from trialsim.design.reader import read_design
from trialsim.design.yamltree import Node, read_tree
from trialsim.experiments.targets import targets_of
from trialsim.report.describe import describe

NAMES = sorted(library())
PAGES = Path(__file__).resolve().parents[2] / "docs"

OLDER_PAGES = {"resolve": "validation.md", "resolve_planning": "validation.md"}
"""Scenarios that are told of in another page than `scenarios/NAME.md`."""
WITHOUT_TARGETS = {"resolve_planning", "cprp_series"}
"""Their published values are targets of `resolve` and `cprp`."""

MARK = re.compile(r"#.*\b(seen|seed|data|derived|fitted|assumed|recalled|by construction)\b")
COMMENT = re.compile(r"^\s*#")


def page_of(name: str) -> str:
    """The text of the page that tells of a scenario; a file that extends another may share its page."""
    page = PAGES / OLDER_PAGES.get(name, f"scenarios/{name}.md")
    if page.is_file():
        return page.read_text("utf-8")
    parent = re.search(r"(?m)^extends:\s*(\w+)", library()[name].read_text("utf-8"))
    return page_of(parent[1]) if parent else ""


def numbers(node: Node, lines: tuple[int, ...] = ()) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Line of every number in a file, and the lines of the keys above it, nearest last; from 1."""
    if isinstance(node.content, dict):
        for child in node.content.values():
            yield from numbers(child, (*lines, child.key_mark.line))
    elif isinstance(node.content, list):
        for child in node.content:
            yield from numbers(child, lines)
    elif isinstance(node.content, int | float) and not isinstance(node.content, bool):
        yield node.mark.line, lines


def heads(text: list[str], line: int) -> Iterator[str]:
    """A line, and the comments that stand directly above it."""
    yield text[line - 1]
    for above in reversed(text[: line - 1]):
        if not COMMENT.match(above):
            return
        yield above


def unmarked(source: str) -> list[str]:
    """Lines of a design file with a number whose source neither they say nor a heading above them."""
    text, root = source.splitlines(), read_tree(source.encode(), source="design").root
    assert root is not None
    found = {
        line for line, keys in numbers(root) if not any(MARK.search(s) for k in {line, *keys} for s in heads(text, k))
    }
    return [f"{line}: {text[line - 1]}" for line in sorted(found)]


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_has_its_name_and_says_what_it_is(name: str) -> None:
    design = read_design(name)
    assert design.name == name
    assert design.title
    assert design.description
    assert design.source


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_has_a_page_that_names_it(name: str) -> None:
    assert f"`{name}`" in page_of(name) or f"trialsim run {name}" in page_of(name)


@pytest.mark.parametrize("name", sorted(set(NAMES) - WITHOUT_TARGETS))
def test_a_scenario_has_targets(name: str) -> None:
    assert {target.kind for target in targets_of(name).targets} & {"fitted", "predicted"}


def test_targets_belong_to_scenarios() -> None:
    assert {path.stem for path in (library_dir() / "targets").glob("*.yaml")} <= set(NAMES) - WITHOUT_TARGETS


@pytest.mark.parametrize("name", NAMES)
def test_what_is_recalled_is_never_held_as_published(name: str) -> None:
    """Nor is a number that is assumed, if nothing published or derived stands beside it."""
    for target in () if name in WITHOUT_TARGETS else targets_of(name).targets:
        assert not target.held or re.search(r"\b(seen|seed|data|derived)\b", target.source), target.label
        assert not target.held or "recalled" not in target.source, target.label


@pytest.mark.parametrize("name", NAMES)
def test_every_number_says_where_it_comes_from(name: str) -> None:
    assert unmarked(library()[name].read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("size: 40   # seen\nrate: 3\n", ["2: rate: 3"]),
        ("funnel:   # assumed\n  prob: 0.4\n  delay: {days: 3}\n", []),
        ("# assumed: both\nfunnel:\n  prob: 0.4\nvisits:\n  day: 91\n", ["5:   day: 91"]),
        ("visits: [1,\n         2]   # seen\n", ["1: visits: [1,"]),
        ("rate: 3   # a rate as others have it\n", ["1: rate: 3   # a rate as others have it"]),
        ("# numbers are assumed\n\nrate: 3\n", ["3: rate: 3"]),
    ],
)
def test_a_number_without_a_source_is_found(source: str, lines: list[str]) -> None:
    assert unmarked(source) == lines


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_can_be_described_and_runs(name: str) -> None:
    design = read_design(name, overrides=["sample_size=60"])
    assert name.replace("_", " ") in describe(design, n_replicates=2, seed=1).lower().replace("_", " ")
    block = run(design, n=2)
    assert np.all(block.histories.n_participants > 0)
    assert np.all(block.histories.n_participants <= 60)
