"""Text that remembers what it is made of: the same text, and the parts."""

from __future__ import annotations

from textwrap import indent

import pytest

from trialsim.report import layout
from trialsim.report.pieces import Bullets, Heading, Paragraph, Part, Table


def test_pieces_are_the_text_that_they_show() -> None:
    assert layout.heading("Arms", "-") == "Arms\n----"
    assert layout.bullets(["a", "b"], lead="Both:") == "Both:\n- a\n- b"
    assert layout.bullets(["a", "b"]) == "- a\n- b"
    assert layout.part("coach: Coach", [layout.paragraph("Text.", indent=2)]) == "coach: Coach\n  Text."
    plain = layout.table(["n"], [["1"], ["20"]])
    assert layout.table(["n"], [["1"], ["20"]], indent=2) == indent(plain, "  ")


def test_pieces_remember() -> None:
    heading, text = layout.heading("Arms", "#"), layout.paragraph("One\ntwo   three", width=8)
    listed, table = layout.bullets(["a", "b"], lead="Both:"), layout.table(["", "n"], [["a", "1"]])
    assert isinstance(heading, Heading)
    assert (heading.words, heading.level) == ("Arms", 1)
    assert isinstance(text, Paragraph)
    assert text.words == "One two three"
    assert isinstance(listed, Bullets)
    assert (listed.items, listed.lead) == (("a", "b"), "Both:")
    assert isinstance(table, Table)
    assert (table.header, table.rows, table.align) == (("", "n"), (("a", "1"),), "lr")
    named = layout.part("coach", [text, table])
    assert isinstance(named, Part)
    assert (named.name, named.pieces) == ("coach", (text, table))


def test_a_rule_that_means_nothing_is_refused() -> None:
    with pytest.raises(KeyError):
        layout.heading("Arms", "~")
