"""The pages under docs/ and the README: their examples run, their links lead somewhere, their reference is fresh."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_type_hints

import pytest
from helpers import engine_differences, run
from pydantic import TypeAdapter, ValidationError

from trialsim.cli.main import cli
from trialsim.design.outcomes import Score
from trialsim.design.reader import read_design, read_file
from trialsim.design.yamltree import plain, read_tree

ROOT = Path(__file__).resolve().parents[2]
# ruff: noqa: E402
sys.path.insert(0, str(ROOT / "scripts"))

from page_blocks import FENCE, blocks_of
from run_pages import pages

DESIGN_PAGE = ROOT / "docs" / "design-file.md"
PAGES = pages()
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: str, language: str) -> list[tuple[str, str]]:
    """The code blocks of a language: the comments above each, and its text."""
    return [(" ".join(block.marks), block.text) for block in blocks_of(page) if block.language == language]


def prose(page: str) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]*`", "`code`", FENCE.sub("", page))


# --- the design page ------------------------------------------------------------------------------------------------


def example(mark: str) -> str:
    return dict(blocks(DESIGN_PAGE.read_text("utf-8"), "yaml"))[mark]


def test_the_example_design_is_short_and_both_engines_run_it(tmp_path: Path) -> None:
    text = example("example design")
    assert len(text.splitlines()) < 60
    file = tmp_path / "sleep_calls.yaml"
    file.write_text(text, "utf-8")
    design = read_design(file)
    process, vector = (run(design, n=1, engine=engine) for engine in ("process", "vector"))
    assert process.histories.n_participants[0] == design.sample_size
    assert engine_differences(process, vector) == []


def test_the_example_that_extends_is_a_design_with_two_arms(tmp_path: Path) -> None:
    file = tmp_path / "two_arms.yaml"
    file.write_text(example("example extends"), "utf-8")
    design = read_design(file)
    assert list(design.arms) == ["coach", "usual"]
    assert run(design, n=1).histories.n_participants[0] == 300


EXAMPLES = [mark for mark, _ in blocks(DESIGN_PAGE.read_text("utf-8"), "yaml")]


@pytest.mark.parametrize("mark", EXAMPLES)
def test_every_example_is_a_design_whose_own_keys_all_count(tmp_path: Path, mark: str) -> None:
    (tmp_path / "sleep_calls.yaml").write_text(example("example design"), "utf-8")
    file = tmp_path / "mine.yaml"
    file.write_text(example(mark), "utf-8")
    design = read_design(file)
    root = read_tree(file.read_bytes(), source="mine").root
    assert root is not None
    own = plain(root)
    if "extends" in own:
        base = read_design(tmp_path / "sleep_calls.yaml")
        said = {key for key, value in own.items() if value is not None} - {"extends"}
        assert {key for key in said if getattr(design, key) == getattr(base, key)} == set()


# --- its reference --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "design_file_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_script_writes(script: ModuleType) -> None:
    page = DESIGN_PAGE.read_text("utf-8")
    assert script.with_reference(page) == page, "stale: run python scripts/design_file_reference.py"


def test_a_stale_reference_is_noticed(script: ModuleType) -> None:
    page = DESIGN_PAGE.read_text("utf-8").replace("Date of study day 0.", "Date of study day 1.")
    assert script.with_reference(page) != page


def test_the_reference_has_every_key_with_a_meaning(script: ModuleType) -> None:
    fields = [(model, name, field) for model in script.places() for name, field in script.own_fields(model).items()]
    assert [f"{model.__name__}.{name}" for model, name, field in fields if not field.description] == []
    rows = [line for line in script.reference().splitlines() if line.startswith("| `")]
    assert len(rows) == len(fields)
    assert [row for row in rows if len(re.split(r"(?<!\\)\|", row)) != 8] == []


def refused_examples(script: ModuleType) -> list[str]:
    """Keys whose whole example, as it stands before it is shortened, the model does not take."""
    refused = []
    for model in script.places():
        hints = get_type_hints(model, include_extras=True)
        for name, field in script.own_fields(model).items():
            try:
                kind: Any = Annotated[hints[name], field]
                TypeAdapter(kind).validate_python(script.example_of(model, name))
            except ValidationError:
                refused.append(f"{model.__name__}.{name}")
    return refused


def test_every_key_has_an_example_that_its_model_takes(script: ModuleType) -> None:
    assert refused_examples(script) == []


def test_a_wrong_example_is_noticed(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(script.found(), (Score, "items"), 0)
    assert refused_examples(script) == ["Score.items"]


def test_examples_stand_in_the_first_design_of_the_library_that_has_the_key(script: ModuleType) -> None:
    resolve = read_file(ROOT / "configs" / "resolve.yaml").root
    assert script.found()[Score, "items"] == next(
        value
        for file in script.library().values()
        for model, key, value in script.occurring((script.Design,), plain(read_file(file).root))
        if (model, key) == (Score, "items")
    )
    assert (Score, "items", 11) in list(script.occurring((script.Design,), plain(resolve)))


def test_long_examples_are_cut_between_words(script: ModuleType) -> None:
    cut = script.shortened("[" + ", ".join(["Pain education"] * 9) + "]")
    assert cut == "[Pain education, Pain education, Pain education, Pain …"
    assert script.shortened("[1, 2]") == "[1, 2]"


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("persistence", "| `persistence` | number ≥ 0 and < 1 |  | 0.7 | `0."),
        ("contrasts", "| `contrasts` | list: pair of names |  | empty | `[["),
        ("pace", "| `pace` | [Delay](#delay) |  | `{days: 7}` | `{days: "),
        ("by_visit", "| `by_visit` | by name: number | points | required | `{"),
        ("start_date", "| `start_date` | date |  | required | `20"),
        ("pool", "| `pool` | whole number ≥ 1 |  | none | `"),
        ("function", '| `function` | short name |  | required | `"my_analyses:robust_mean"` | `module:function`'),
    ],
)
def test_rows_of_the_reference(script: ModuleType, key: str, row: str) -> None:
    found = [line for line in script.reference().splitlines() if line.startswith(f"| `{key}` ")]
    assert len(found) == 1
    assert found[0].startswith(row)


# --- all pages ------------------------------------------------------------------------------------------------------


def anchors(page: str) -> set[str]:
    """Anchors of a page's headings."""
    headings = re.findall(r"(?m)^#+ (.*)$", FENCE.sub("", page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: str, folder: Path) -> list[str]:
    """Links inside the project whose file or heading does not exist."""
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target) or "_build/figures/" in target:  # made by the build; test_docs_site.py
            continue
        name, _, anchor = target.partition("#")
        file = folder / name if name else None
        exists = file is None or file.exists()
        linked = file.read_text("utf-8") if file is not None and exists and anchor else page
        if not exists or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path.read_text("utf-8"), path.parent) == []


def test_a_broken_link_is_noticed() -> None:
    page = "# One\n[a](nowhere.md) [b](#two) [c](#one) [d](https://example.org) `[e](nowhere.md)`\n"
    assert broken_links(page, ROOT) == ["nowhere.md", "#two"]


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_heading_has_an_anchor_of_its_own(path: Path) -> None:
    page = path.read_text("utf-8")
    headings = re.findall(r"(?m)^#+ ", FENCE.sub("", page))
    assert len(anchors(page)) == len(headings)


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_commands_that_are_named_exist(path: Path) -> None:
    page = path.read_text("utf-8")
    code = "\n".join([*(text for _, text in blocks(page, "sh")), *re.findall(r"`([^`\n]+)`", FENCE.sub("", page))])
    named_commands = set(re.findall(r"(?m)\btrialsim ([a-z]+)\b", code))
    assert named_commands <= set(cli.commands), named_commands - set(cli.commands)


def test_the_readme_has_python_to_run() -> None:
    assert blocks(PAGES[0].read_text("utf-8"), "python")
