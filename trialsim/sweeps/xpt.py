"""SAS transport files, version 5: the names and labels that fit, what a column loses, and the writing."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from trialsim.errors import ResultsError

NAME, LABEL, TEXT = 8, 40, 200
"""Largest lengths of names, labels and values [characters; bytes for the last two]."""
MAX_CELLS = 20_000_000
"""A table is written from memory, some 45 bytes a value: no more than this many."""

_SMALLEST, _LARGEST = 5.4e-79, 1e75  # of the format's numbers (base 16, 7 bits of exponent)
_EPOCH = dt.date(1960, 1, 1)  # day 0 of SAS


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Name -> name of at most 8 capitals, digits and '_', different from each other; the same for the same names.

    In order of preference: capitals alone, without what is not a letter or digit, without vowels after the first
    letter. Names that are taken end in a number. Names that fit as they are keep them, whatever stands before.
    """
    names = list(dict.fromkeys(names))
    ordered = sorted(names, key=lambda name: _shortened(name) != name.upper())
    taken: dict[str, str] = {}
    for name in ordered:
        stem, number = _shortened(name), 2
        short = stem
        while short in taken:
            short = stem[: NAME - len(str(number))] + str(number)
            number += 1
        taken[short] = name
    found = {name: short for short, name in taken.items()}
    return {name: found[name] for name in names}


def _shortened(name: str) -> str:
    upper = name.upper()
    if re.fullmatch(rf"[A-Z_][A-Z0-9_]{{0,{NAME - 1}}}", upper):
        return upper
    plain = re.sub(r"[^A-Z0-9]", "", upper) or "X"
    plain = plain if plain[0].isalpha() else f"X{plain}"
    return plain if len(plain) <= NAME else (plain[0] + re.sub(r"[AEIOU]", "", plain[1:]))[:NAME]


def fitting(text: str, size: int) -> str:
    """The text's beginning that takes at most `size` bytes of UTF-8."""
    return text.encode()[:size].decode(errors="ignore")


def label_of(text: str) -> str:
    """At most 40 bytes of a meaning: without what follows a semicolon or colon if need be, then whole words."""
    if len(text.encode()) > LABEL:
        text = re.split(r"[;:]", text)[0]
    cut = fitting(text, LABEL)
    return cut if cut == text or " " not in cut else cut.rsplit(" ", 1)[0].rstrip(" ,(")


def load_pyreadstat() -> ModuleType:
    """The library that writes the format. Raises ResultsError where it is not installed."""
    try:
        import pyreadstat
    except ImportError:
        raise ResultsError(
            "SAS transport files need the package pyreadstat, which is not installed. Install trialsim[xpt], "
            "or use --format csv."
        ) from None
    return pyreadstat


def refuse_too_large(name: str, *, n_rows: int, n_columns: int) -> None:
    """Raises ResultsError for a table of more than MAX_CELLS values."""
    if n_rows * n_columns > MAX_CELLS:
        raise ResultsError(
            f"{name}: {n_rows} rows of {n_columns} columns are too many for a SAS transport file, which is written "
            f"from memory (at most {MAX_CELLS} values). Use --format csv, or leave the table out."
        )


def write_xpt(path: Path, table: pa.Table, *, title: str) -> dict[str, str]:
    """One table as one file; what was lost, by column (empty text: nothing).

    Names are those of `short_names`, labels the columns' meanings, the data set's name that of the file. True and
    false become 1 and 0; null becomes a missing number or a blank.
    """
    names = short_names(table.column_names)
    columns, lost, formats = {}, {}, {}
    for field in table.schema:
        columns[names[field.name]], lost[field.name] = _column(table.column(field.name))
        if pa.types.is_date(field.type):
            formats[names[field.name]] = "DATE9"
    load_pyreadstat().write_xport(
        pd.DataFrame(columns),
        path,
        file_label=fitting(title, LABEL),
        column_labels=[label_of(meaning(field)) or None for field in table.schema],
        table_name=short_names([path.stem])[path.stem],
        file_format_version=5,
        variable_format=formats,
    )
    return lost


def meaning(field: pa.Field, part: str = "meaning") -> str:
    """What a column's metadata say: its meaning, or its unit."""
    return (field.metadata or {}).get(part.encode(), b"").decode()


def _column(values: pa.ChunkedArray) -> tuple[Any, str]:
    """A column as the format has it, and what was lost."""
    if pa.types.is_dictionary(values.type) or pa.types.is_string(values.type) or pa.types.is_null(values.type):
        return _texts(values)
    if pa.types.is_date(values.type):
        days = pc.subtract(values.cast(pa.int32()), (_EPOCH - dt.date(1970, 1, 1)).days)
        return days.cast(pa.float64()).to_numpy(), ""
    return _numbers(values.cast(pa.float64()).to_numpy())


def _texts(values: pa.ChunkedArray) -> tuple[Any, str]:
    texts = values.cast(pa.string()).fill_null("").to_numpy()
    known = {text: fitting(text, TEXT) for text in pc.unique(pa.array(texts, type=pa.string())).to_pylist()}
    cut = sum(known[text] != text for text in texts)
    foreign = sum(not text.isascii() for text in known)
    fitted = np.array([known[text] for text in texts], dtype=object)
    lost = [
        f"cut to {TEXT} bytes in {_rows(cut)}" if cut else "",
        "letters outside ASCII, in UTF-8: tell SAS the encoding" if foreign else "",
    ]
    return fitted, "; ".join(filter(None, lost))


def _numbers(values: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[Any, str]:
    size = np.abs(values)
    too_large, too_small = size > _LARGEST, (size > 0) & (size < _SMALLEST)
    n_infinite, n_large, n_small = (int(x.sum()) for x in (np.isinf(values), too_large, too_small))
    lost = [
        f"infinite, now missing, in {_rows(n_infinite)}" if n_infinite else "",
        f"beyond {_LARGEST:g}, now missing, in {_rows(n_large - n_infinite)}" if n_large > n_infinite else "",
        f"nearer to 0 than {_SMALLEST:g}, now 0, in {_rows(n_small)}" if n_small else "",
    ]
    return np.where(too_large, np.nan, np.where(too_small, 0.0, values)), "; ".join(filter(None, lost))


def _rows(n: int) -> str:
    return f"{n} {'row' if n == 1 else 'rows'}"
