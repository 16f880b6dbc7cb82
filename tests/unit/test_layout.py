"""Plain-text layout: numbers, words, paragraphs and tables."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from trialsim.report import layout


@pytest.mark.parametrize(
    ("x", "digits", "expected"),
    [
        (2331, None, "2,331"),
        (0.12278, None, "0.12278"),
        (100 * 0.058, None, "5.8"),
        (-0.5, None, "-0.5"),
        (100.0, None, "100"),
        (0.0, None, "0"),
        (26.94, 1, "26.9"),
        (-0.04, 1, "0.0"),
        (-0.06, 1, "-0.1"),
        (65927.4, 0, "65,927"),
        (math.nan, 1, "-"),
        (math.inf, None, "infinity"),
        (-math.inf, 2, "-infinity"),
    ],
)
def test_number(x: float, digits: int | None, expected: str) -> None:
    assert layout.number(x, digits) == expected


@pytest.mark.parametrize(("x", "expected"), [(0.4, "+0.4"), (-0.4, "-0.4"), (0, "0"), (0.0001, "+0.0001")])
def test_signed(x: float, expected: str) -> None:
    assert layout.signed(x) == expected


def test_signed_has_no_sign_when_it_rounds_to_zero() -> None:
    assert layout.signed(0.001, 2) == layout.signed(-0.001, 2) == "0.00"


@pytest.mark.parametrize(
    ("x", "digits", "expected"),
    [
        (0.269, 1, "26.9%"),
        (0.85, None, "85%"),
        (0.12278, None, "12.278%"),
        (1, 1, "100.0%"),
        (math.nan, 1, "-"),
    ],
)
def test_percent(x: float, digits: int | None, expected: str) -> None:
    assert layout.percent(x, digits) == expected


@pytest.mark.parametrize(
    ("value", "mcse", "digits", "expected"),
    [
        (26.94, 0.21, 1, "26.9 ± 0.2"),
        (26.94, 0.034, 1, "26.9 ± 0.03"),
        (26.94, 0.0001, 1, "26.9 ± 0.0001"),
        (26.94, 0.0, 1, "26.9 ± 0"),
        (65927.0, 161.2, 0, "65,927 ± 161"),
        (40.0, 0.3, 0, "40 ± 0.3"),
        (26.94, math.nan, 1, "26.9 ± ?"),
        (math.nan, math.nan, 1, "-"),
    ],
)
def test_with_error(value: float, mcse: float, digits: int, expected: str) -> None:
    assert layout.with_error(value, mcse, digits) == expected


@pytest.mark.parametrize(
    ("n", "noun", "expected"),
    [
        (1, "participant", "1 participant"),
        (0, "participant", "0 participants"),
        (2331, "participant", "2,331 participants"),
        (2, "coach", "2 coaches"),
        (2, "day", "2 days"),
        (3, "study", "3 studies"),
    ],
)
def test_plural(n: int, noun: str, expected: str) -> None:
    assert layout.plural(n, noun) == expected


def test_irregular_plural() -> None:
    assert [layout.plural(n, "stratum", "strata") for n in (1, 8)] == ["1 stratum", "8 strata"]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["a, b", "c"], "a, b; and c"),
    ],
)
def test_listed(items: list[str], expected: str) -> None:
    assert layout.listed(items) == expected


def test_listed_with_or() -> None:
    assert layout.listed(["3", "6", "9"], "or") == "3, 6 or 9"


def test_dates_and_months() -> None:
    assert layout.date_text(dt.date(2021, 1, 4)) == "4 January 2021"
    assert layout.date_text(dt.date(2024, 12, 31)) == "31 December 2024"
    assert layout.days_as_months(365.25) == "12.0 months"
    assert layout.days_as_months(30.4375, 0) == "1 month"


def test_heading_is_underlined_to_its_length() -> None:
    assert layout.heading("Visits") == "Visits\n======"
    assert layout.heading("Arms", "-") == "Arms\n----"


def test_paragraph_fills_lines_and_keeps_long_words_whole() -> None:
    text = layout.paragraph("one  two\nthree " + "x" * 30, width=12, indent=2)
    assert text == "  one two\n  three\n  " + "x" * 30


def test_bullet_hangs() -> None:
    assert layout.bullet("one two three", width=9) == "- one two\n  three"


def test_table_puts_numbers_right_and_words_left() -> None:
    rows = [["coach", "26.9 ± 0.2", "1,200"], ["usual care", "-", "-3"]]
    assert layout.table(["arm", "responders", "n"], rows).split("\n") == [
        "arm         responders      n",
        "----------  ----------  -----",
        "coach       26.9 ± 0.2  1,200",
        "usual care           -     -3",
    ]


def test_table_columns_of_dashes_or_dates_stay_left() -> None:
    text = layout.table(["name", "opens", "none"], [["a", "4 January 2021", "-"], ["b", "day 3", "-"]])
    assert text.split("\n")[-1] == "b     day 3           -"


def test_table_with_alignment_and_without_rows() -> None:
    assert layout.table(["a", "b"], [["1", "x"]], "lr").endswith("1  x")
    assert layout.table(["a", "b"], []) == "a  b\n-  -"
    with pytest.raises(ValueError, match="2 letters"):
        layout.table(["a", "b"], [["1", "x"]], "l")


def test_table_refuses_rows_of_another_length() -> None:
    with pytest.raises(ValueError, match="zip"):
        layout.table(["a", "b"], [["1"]])
