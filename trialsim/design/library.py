"""The scenario library and other places where design files are found."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from trialsim.design.shape import close_to
from trialsim.design.yamltree import printable
from trialsim.errors import TrialsimError

SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 2_000_000


class SourceError(TrialsimError):
    """A design's file cannot be found or read; holds the rule and a hint."""

    def __init__(self, rule: str, hint: str = "") -> None:
        self.rule, self.hint = rule, hint
        super().__init__(f"{rule}. {hint}".rstrip() if hint else f"{rule}.")


def library_dir() -> Path:
    """The folder of the library's scenarios: inside the installed package, or `configs/` of the checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def library(shelf: str = "") -> dict[str, Path]:
    """The library's scenarios (or the files of one of its folders), name -> file, in alphabetical order."""
    return {path.stem: path for path in _designs_in(library_dir() / shelf)}


def is_file_name(source: str | Path) -> bool:
    """Whether a source is meant as a file (it has a suffix or a folder), not as a library scenario."""
    return isinstance(source, Path) or source.endswith(SUFFIXES) or "/" in source or os.sep in source


def locate(source: str | Path, *, base: Path | None = None, shelf: str = "") -> Path:
    """The file of a path (relative to `base`) or of a library scenario; SourceError if there is none.

    With a `shelf` ("sweeps") names are those of that folder of the library.
    """
    if is_file_name(source):
        path = (base or Path()) / source
        if not os.path.exists(path):
            raise SourceError(f"no file '{printable(str(path))}'", _files_hint(path, shelf))
        return path
    name, scenarios = str(source), library(shelf)
    if name in scenarios:
        return _from_here(scenarios[name])
    what = shelf.removesuffix("s") or "scenario"
    raise SourceError(f"no {what} '{printable(name)}' in the library", _names_hint(name, base, scenarios))


def read_bytes(path: Path) -> bytes:
    """The content of a design file. Raises SourceError if it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SourceError(f"cannot read '{printable(str(path))}': {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise SourceError(f"'{printable(str(path))}' is too large for a design (over {MAX_BYTES} bytes)")
    return data


def _designs_in(folder: Path) -> Iterator[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    yield from (path for path in paths if path.suffix in SUFFIXES and path.is_file())


def _from_here(path: Path) -> Path:
    """Relative to the working folder if it lies below it: shorter in messages."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _files_hint(path: Path, shelf: str) -> str:
    beside = {other.stem: other for other in _designs_in(path.parent)}
    close = close_to(path.stem, beside)
    if close:
        return f"Did you mean '{printable(str(beside[close]))}'?"
    name = close_to(path.stem, library(shelf))
    return f"Did you mean the library's '{name}'?" if name else ""


def _names_hint(name: str, base: Path | None, scenarios: Collection[str]) -> str:
    beside = [str(path) for suffix in SUFFIXES if (path := (base or Path()) / f"{name}{suffix}").is_file()]
    close = beside[0] if beside else close_to(name, scenarios)
    if close:
        return f"Did you mean '{printable(close)}'?"
    return f"Library: {', '.join(scenarios)}." if scenarios else "The library is empty."
