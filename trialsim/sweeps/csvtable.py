"""Design points from a CSV file: headers are dotted paths, each row is a point, cells are read as in a YAML file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trialsim.design.library import SourceError, read_bytes
from trialsim.design.scalars import Scalar
from trialsim.design.yamltree import Finding, Mark, Node, planted, printable, read_value, shown

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")

Rows = list[dict[str, Node]]


def read_table(file: Path, *, named_at: Finding) -> tuple[Rows, list[Finding]]:
    """The rows of a CSV file and the mistakes in it; with a mistake there are no rows.

    Places are file:row:cell, counted from 1. `named_at` is where the file's name stands.
    """
    name = printable(str(file))
    try:
        text = read_bytes(file).decode("utf-8-sig")
        lines = list(_lines(csv.reader(io.StringIO(text, newline=""), strict=True)))
    except SourceError as error:
        return [], [replace(named_at, rule=error.rule, hint=error.hint)]
    except (UnicodeDecodeError, csv.Error) as error:
        rule = f"'{name}' is not a CSV file in UTF-8" + (f": {error}" if isinstance(error, csv.Error) else "")
        return [], [replace(named_at, rule=rule)]
    table = _Table(name)
    rows = table.rows(lines)
    return ([] if table.findings else rows), table.findings


def _lines(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """The lines that hold anything, with the number of the last line of text that each one fills."""
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield reader.line_num, [cell.strip() for cell in cells]  # type: ignore[attr-defined]


class _Table:
    def __init__(self, name: str) -> None:
        self.name = name
        self.findings: list[Finding] = []
        self.known: dict[str, Scalar] = {}
        """Scalars by their text: reading one takes YAML's whole machinery."""

    def rows(self, lines: list[tuple[int, list[str]]]) -> Rows:
        if len(lines) < 2:
            self._fault(1, 1, "the table needs a line of headers and at least one row")
            return []
        (top, headers), *rest = lines
        self._check(top, headers)
        return [self._row(top, headers, number, cells) for number, cells in rest]

    def _fault(self, row: int, cell: int, rule: str, hint: str = "") -> None:
        self.findings.append(Finding(Mark(self.name, row, cell), (), rule, hint))

    def _check(self, row: int, headers: list[str]) -> None:
        for number, header in enumerate(headers, 1):
            if not header:
                self._fault(row, number, "a header is empty", "Headers are dotted paths; leave out row names.")
            elif header in headers[: number - 1]:
                self._fault(row, number, f"the header {shown(header)} stands here twice")

    def _row(self, top: int, headers: list[str], number: int, cells: list[str]) -> dict[str, Node]:
        if len(cells) != len(headers):
            self._fault(
                number, 1, f"{len(cells)} cells under {len(headers)} headers", "Put text with commas in quotes."
            )
        return {
            header: self._cell(text, header, Mark(self.name, number, place), Mark(self.name, top, place))
            for place, (header, text) in enumerate(zip(headers, cells, strict=False), 1)
            if text
        }

    def _cell(self, text: str, header: str, mark: Mark, key_mark: Mark) -> Node:
        if _NUMBER.fullmatch(text):
            return Node(float(text) if "." in text else int(text), mark, key_mark)
        if text not in self.known:
            read = read_value(text, mark=mark)
            self.findings.extend(replace(finding, path=(header, *finding.path)) for finding in read.findings)
            node = read.root or planted(None, mark=mark)
            if read.findings or isinstance(node.content, dict | list):
                return replace(node, key_mark=key_mark)
            self.known[text] = node.content
        return Node(self.known[text], mark, key_mark)
