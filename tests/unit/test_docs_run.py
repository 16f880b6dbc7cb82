"""Every code block of README.md and docs/ is run as a reader would, or is a design or sweep that is checked.

What is run how is said by comments above the blocks (`scripts/page_blocks.py`); what is not run stands in NOT_RUN.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trialsim.design.reader import read_design
from trialsim.design.yamltree import plain, read_tree

ROOT = Path(__file__).resolve().parents[2]
# ruff: noqa: E402
sys.path.insert(0, str(ROOT / "scripts"))

from page_blocks import Block, blocks_of, shown, with_texts, without_times
from page_commands import Commands, with_options
from run_pages import ELSEWHERE, PageError, made_by, pages, renewed, run_page

NOT_RUN = {
    "README.md": [".ci/run runs it, in a fresh copy", ".ci/run runs it, in a fresh copy"],
    "docs/index.md": ["installs; .ci/run does, in a fresh copy"],
    "docs/live-page.md": ["serves until it is interrupted"],
    "docs/sweeps.md": ["needs a cluster; .ci/slurm.sh runs it on one"],
    "docs/validation.md": [".ci/run compares the whole library", ".ci/run compares the whole library"],
}
"""Blocks that this test does not run, by page, and who does."""
MARKS = "run|first|file|exit|serves|output|output of|needs|not run"
README_COMMENTS = """\
<!-- first: cp "$TRIALSIM_ROOT/configs/targets/cbt_generic.yaml" my_targets.yaml -->
<!-- run: --replicates 16 -->
"""
"""Stand above the README's last shell block as soon as it has them itself."""
LONG = ("README.md", "docs/analyses.md", "docs/sweeps.md", "docs/gallery.md", "docs/tutorials/")
"""Pages that take more than a few seconds."""


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def page_of(path: Path) -> str:
    page = path.read_text("utf-8")
    if path.name == "README.md" and README_COMMENTS not in page:
        page = page.replace("```sh\ntrialsim run", f"{README_COMMENTS}```sh\ntrialsim run")
    return page


def runnable(path: Path) -> bool:
    return any(block.language in ("sh", "python", "r") for block in blocks_of(page_of(path)))


def params() -> list[Any]:
    found = []
    for path in filter(runnable, pages()):
        slow = [pytest.mark.slow] if named(path).startswith(LONG) else []
        found.append(pytest.param(path, id=named(path), marks=slow))
    return found


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    with Commands() as started:
        yield started


# --- the pages --------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", params())
def test_a_page_does_what_it_says_and_prints_what_it_shows(path: Path, commands: Commands, tmp_path: Path) -> None:
    page = page_of(path)
    ran = run_page(page, tmp_path, commands, without=ELSEWHERE.get(named(path), ()))
    assert renewed(page, ran) == page, "stale: run python scripts/run_pages.py"
    assert [name for name in made_by(path) if not (tmp_path / name).is_file()] == []


def test_what_is_not_run_is_listed() -> None:
    found = {}
    for path in pages():
        whys = [why for block in blocks_of(page_of(path)) if (why := why_not(block))]
        found |= {named(path): whys} if whys else {}
    assert found == NOT_RUN


def why_not(block: Block) -> str | None:
    if {"run command", "test command"} & set(block.marks):
        return ".ci/run runs it, in a fresh copy"
    return block.mark("not run")


@pytest.mark.parametrize("path", pages(), ids=named)
def test_every_block_is_run_or_checked(path: Path) -> None:
    """Shell, Python and R are run; YAML is a file that is, or is checked below; text is an output."""
    unknown = []
    for block in blocks_of(page_of(path)):
        shown_or_kept = any(block.mark(name) is not None for name in ("output", "output of", "file"))
        known = block.language in ("sh", "python", "r", "yaml") or block.language.startswith("{")
        if not (known or shown_or_kept or block.language in ELSEWHERE.get(named(path), ())):
            unknown.append(f"line {block.line}: {block.language}")
    assert unknown == []


@pytest.mark.parametrize("path", pages(), ids=named)
def test_comments_above_blocks_are_of_those_that_mean_something(path: Path) -> None:
    for block in blocks_of(page_of(path)):
        for mark in block.marks:
            meant = re.fullmatch(rf"(?:{MARKS})(?:: .+)?|(?:run|test) command|example .*|needs .*", mark)
            assert meant, f"{mark} (line {block.line})"


def fragments() -> list[Any]:
    found = []
    for path in pages():
        texts = [b.text for b in blocks_of(page_of(path)) if b.language == "yaml" and b.mark("file") is None]
        if texts and "yaml" not in ELSEWHERE.get(named(path), ()):
            found.append(pytest.param(texts, id=named(path)))
    return found


@pytest.mark.parametrize("texts", fragments())
def test_yaml_is_a_design_or_fits_into_one(texts: list[str]) -> None:
    """Parts of designs are put into `resolve`, one after another."""
    parts: dict[str, Any] = {}
    for text in texts:
        root = read_tree(text.encode(), source="page").root
        assert root is not None
        for key, value in plain(root).items():
            both = parts.get(key, {}) if isinstance(value, dict) else None
            parts[key] = value if both is None else {**both, **value}
    design = read_design("resolve", overrides=[f"{key}={json.dumps(value)}" for key, value in parts.items()])
    assert parts.keys() <= design.model_fields_set


# --- what would be noticed --------------------------------------------------------------------------------------------


def a_page(language: str, text: str, *marks: str, printed: str | None = None) -> str:
    comments = "".join(f"<!-- {mark} -->\n" for mark in marks)
    output = "" if printed is None else f"\n<!-- output -->\n```text\n{printed}\n```\n"
    return f"# A page\n\n{comments}```{language}\n{text}\n```\n{output}"


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (a_page("sh", "trialsim check nowhere.yaml"), "line 3: exit code 2, not 0\ntrialsim: no file 'nowhere.yaml'"),
        (a_page("sh", "false | true"), "line 3: exit code 1, not 0"),
        (a_page("sh", "true", "exit: 2"), "line 4: exit code 0, not 2"),
        (a_page("sh", "true", "first: false"), "line 4: exit code 1, not 0"),
        (a_page("sh", "trialsim run resolve --replicates 2 --no-such"), "No such option"),
        (a_page("sh", "trialsim list --no-such", "serves"), "line 4: the server ended: "),
        (a_page("python", "import trialsim\ntrialsim.load_design('nowhere')"), "line 3: Traceback"),
        (a_page("python", "import warnings\nwarnings.warn('old')"), "UserWarning: old"),
    ],
)
def test_what_goes_wrong_is_noticed(page: str, message: str, commands: Commands, tmp_path: Path) -> None:
    with pytest.raises(PageError) as caught:
        run_page(page, tmp_path, commands)
    assert message in str(caught.value)


def test_a_stale_output_is_noticed_and_renewed(commands: Commands, tmp_path: Path) -> None:
    page = a_page("sh", "echo 1; echo new", printed="1\nold")
    ran = run_page(page, tmp_path, commands)
    assert renewed(page, ran) == page.replace("\nold\n", "\nnew\n")


def test_times_may_differ(commands: Commands, tmp_path: Path) -> None:
    page = a_page("sh", "echo 80 replicates, 1.2 s", printed="80 replicates, 3 s")
    assert renewed(page, run_page(page, tmp_path, commands)) == page
    assert without_times("in 12.5 s, 8 min") == without_times("in 2 s, 11 min") != without_times("in 2 km, 11 min")


def test_blocks_of_a_page_share_a_folder_files_and_an_interpreter(commands: Commands, tmp_path: Path) -> None:
    page = (
        a_page("text", "1 2 3", "file: kept.txt")
        + a_page("sh", "cp kept.txt copy.txt")
        + a_page("python", "words = open('copy.txt').read().split()")
        + a_page(
            "python",
            "print(len(words), replicates := int(dict(replicates=99)['replicates']))",
            "run: replicates=3",
            printed="3 3",
        )
    )
    assert renewed(page, run_page(page, tmp_path, commands)) == page


def test_a_file_that_is_shown_later_is_there_from_the_beginning(commands: Commands, tmp_path: Path) -> None:
    page = a_page("sh", "cat a.txt", printed="first") + a_page("text", "first", "file: a.txt") + a_page("text", "then", "file: a.txt") + a_page("sh", "cat a.txt", printed="then")  # fmt: skip
    assert renewed(page, run_page(page, tmp_path, commands)) == page


def test_few_replicates_are_run_where_the_page_says_so(commands: Commands, tmp_path: Path) -> None:
    page = a_page("sh", "trialsim run cbt_generic --replicates 5000 --workers 2 --out few", "run: --replicates 2")
    run_page(page, tmp_path, commands)
    command = json.loads((tmp_path / "few" / "manifest.json").read_text("utf-8"))["command"]
    assert command == "trialsim run cbt_generic --out few --workers 1 --replicates 2"


def test_a_command_gets_the_options_that_it_knows() -> None:
    options = "--replicates 4 --mcse 0.1"
    assert with_options(["power", "d", "--replicates", "99"], options) == [
        "power",
        "d",
        "--workers",
        "1",
        "--replicates",
        "4",
    ]
    assert with_options(["size", "d"], options) == ["size", "d", "--workers", "1", "--mcse", "0.1"]
    assert with_options(["list"], options) == ["list"]
    assert with_options([], options) == []


PRINTED = "Title\n=====\n\nOne\n---\n\na\n\nTwo\n---\n\nb\n\n\nThree\n-----\nc\n"


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("", PRINTED),
        ("section Two", "...\nTwo\n---\n\nb\n...\n"),
        ("section One; Three", "...\nOne\n---\n\na\n...\nThree\n-----\nc\n"),
        ("section One; Two", "...\nOne\n---\n\na\n\nTwo\n---\n\nb\n...\n"),
        ("lines 1-2", "Title\n=====\n...\n"),
        ("lines 1-2, 17-", "Title\n=====\n...\nc\n"),
    ],
)
def test_parts_of_an_output(what: str, text: str) -> None:
    assert shown(PRINTED, what) == text


@pytest.mark.parametrize("what", ["section Four", "lines 40-50", "words 3"])
def test_a_part_that_is_not_there_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match=r"^(there is no section|there are no lines|an output is shown)"):
        shown(PRINTED, what)


def test_blocks_know_their_comments_and_places() -> None:
    page = "a\n\n<!-- file: x.yaml -->\n<!-- run: --mcse 1 -->\n```yaml\na: 1\n```\n```{toctree}\nb\n```\n"
    first, second = blocks_of(page)
    assert (first.language, first.text, first.line) == ("yaml", "a: 1\n", 5)
    assert [first.mark(name) for name in ("file", "run", "not run", "output")] == ["x.yaml", "--mcse 1", None, None]
    assert (second.language, second.text, second.marks) == ("{toctree}", "b\n", ())
    assert with_texts(page, {second: "c\nd\n", first: ""}) == page.replace("a: 1\n", "").replace("\nb\n", "\nc\nd\n")
