"""Numbers put in their places in a design file's text, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from trialsim.design.rewriting import Change, rewritten
from trialsim.errors import TrialsimError

TEXT = """\
# A trial.
name: it
share: 0.5    # assumed, 0.4 to 0.6
other: {a: 1, b: "x # y", c: -2.5e-3}   # fitted: something old
list:
- 3.0
- {rate: +.5}
plain: a#b
word: 0x10
"""


def changed(*changes: Change, text: str = TEXT) -> str:
    return rewritten(text, changes, source=Path("it.yaml"))


def line(text: str, k: int) -> str:
    return text.splitlines()[k]


def test_a_number_is_replaced_and_all_else_stays() -> None:
    assert changed(Change("share", "0.25")) == TEXT.replace("0.5    #", "0.25   #")
    assert changed(Change("list.0", "7")) == TEXT.replace("- 3.0", "- 7")
    assert changed(Change("list.1.rate", "-0.125")) == TEXT.replace("+.5", "-0.125")


def test_a_comment_says_what_was_fitted_to_and_keeps_what_stood_there() -> None:
    text = changed(Change("share", "0.512345", "started, %"))
    assert line(text, 2) == "share: 0.512345  # fitted to: started, % (before: assumed, 0.4 to 0.6)"
    again = changed(Change("share", "0.5", "answered"), text=text)
    assert line(again, 2) == "share: 0.5       # fitted to: answered"


def test_numbers_of_one_line_are_named_and_an_old_fit_is_forgotten() -> None:
    text = changed(Change("other.c", "4", "C"), Change("other.a", "10", "A; B"))
    assert line(text, 3) == 'other: {a: 10, b: "x # y", c: 4}        # fitted to: a: A; B; c: C'
    assert line(changed(Change("list.1.rate", "1", "R")), 6) == "- {rate: 1}  # fitted to: rate: R"


def test_lines_end_as_they_did() -> None:
    text = TEXT.replace("\n", "\r\n")
    assert changed(Change("share", "0.25"), text=text) == TEXT.replace("0.5    #", "0.25   #").replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("missing", "'missing' is not written in it.yaml: it is a default or comes from the file"),
        ("list.7", "'list.7' is not written in it.yaml"),
        ("share.deeper", "'share.deeper' is not written in it.yaml"),
        ("name", "'name' is not written as a plain number in it.yaml"),
        ("word", "'word' is not written as a plain number in it.yaml"),
        ("other", "'other' is not written as a plain number"),
    ],
)
def test_what_is_not_there_as_a_plain_number_is_refused(path: str, told: str) -> None:
    with pytest.raises(TrialsimError, match=f"^{told}"):
        changed(Change(path, "1"))
