"""Figures as files: which kinds, where they go, what is said of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trialsim.errors import TrialsimError
from trialsim.report.figures import KINDS, caption, draw, kind_called, kinds_of, save
from trialsim.report.figures.material import Material
from trialsim.report.figures.output import FORMATS
from trialsim.report.figures.style import Size
from trialsim.report.layout import listed, table


@dataclass(frozen=True)
class Made:
    """A figure that was written."""

    kind: str
    path: Path
    caption: str


@dataclass(frozen=True)
class Wanted:
    """What is to be made: kinds (empty: all that the material has), size, background, format, and options of kinds."""

    kinds: tuple[str, ...]
    size: Size = "page"
    dark: bool = False
    format: str | None = None
    out: Path | None = None
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def several(self) -> bool:
        """Whether a folder is needed."""
        return len(self.kinds) != 1

    @property
    def ending(self) -> str:
        """png, svg or pdf: as asked for, or as the file's name says."""
        named = self.out.suffix.lower().removeprefix(".") if self.out is not None and not self._into_folder else ""
        if named and named not in FORMATS:
            raise TrialsimError(f"{self.out}: a figure's file ends in {listed(['.' + f for f in FORMATS], 'or')}.")
        if named and self.format and named != self.format:
            raise TrialsimError(f"{self.out}: the name says {named}, --format says {self.format}.")
        return named or self.format or "png"

    @property
    def _into_folder(self) -> bool:
        return self.several or (self.out is not None and self.out.is_dir())

    def path(self, material_name: str, kind: str) -> Path:
        """The file of one kind."""
        size = "" if self.size == "page" else f"-{self.size}"
        name = f"{material_name}-{kind}{size}{'-dark' if self.dark else ''}.{self.ending}"
        if self.several:
            return (self.out or Path(f"{material_name}-figures")) / name
        if self.out is None:
            return Path(name)
        if self.out.is_dir():
            return self.out / name
        return self.out if self.out.suffix else self.out.with_name(f"{self.out.name}.{self.ending}")


def check(wanted: Wanted) -> None:
    """Refuse what cannot be made, before anything is simulated: kinds, options, and where it should go."""
    for kind in wanted.kinds:
        kind_called(kind)
    known = [KINDS[kind].options for kind in wanted.kinds or KINDS]
    for name, _ in wanted.options:
        if not any(name in options for options in known):
            holders = [kind.name for kind in KINDS.values() if name in kind.options]
            what = f"figure '{wanted.kinds[0]}'" if len(wanted.kinds) == 1 else "any of these figures"
            raise TrialsimError(f"--{name} does not concern {what}. It concerns {listed(holders)}.")
    assert wanted.ending
    out = wanted.out
    if out is not None and wanted.several and out.exists() and not out.is_dir():
        raise TrialsimError(f"{out}: several figures need a folder, and this is a file.")
    place = out if out is not None and out.is_dir() else (out or Path("x")).absolute().parent
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK) or not place.is_dir():
        raise TrialsimError(f"{place}: figures cannot be written here. Choose another --out.")


def make(material: Material, wanted: Wanted) -> Iterator[Made]:
    """Draw and write, one after the other. TrialsimError for a kind that was named and that the material has not."""
    kinds = wanted.kinds or tuple(kinds_of(material))
    if not kinds:
        raise TrialsimError(f"{material.source}: there is nothing to draw.")
    for kind in kinds:
        options = {name: value for name, value in wanted.options if name in KINDS[kind].options}
        figure = draw(material, kind, size=wanted.size, dark=wanted.dark, **options)
        path = wanted.path(material.name, kind)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrialsimError(f"{path.parent}: cannot be made ({(error.strerror or str(error)).lower()}).") from error
        save(figure, path)
        yield Made(kind, path, caption(material, kind, **options))


def kinds_text(material: Material) -> str:
    """Which kinds the material has, and why not the others."""
    rows: list[Sequence[str]] = []
    for kind in KINDS.values():
        found = kind.available(material)
        rows.append([kind.name, "yes" if found is True else "no", kind.shows if found is True else f"{found}."])
    return table(["kind", "", "what it shows, or why it is not there"], rows, "lll")
