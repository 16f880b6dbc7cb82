"""The design file that a calibration leaves: the old one's text with the fitted numbers in their places."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from trialsim import __version__
from trialsim.design.library import SUFFIXES, is_file_name, locate, read_bytes
from trialsim.design.parts import Design
from trialsim.design.reader import EXTENDS, design_of, digest, write_whole
from trialsim.design.rewriting import Change, rewritten
from trialsim.design.scalars import is_number
from trialsim.design.yamltree import plain, printable, read_tree
from trialsim.errors import TrialsimError
from trialsim.experiments.calibration import Calibration, Free, check_free
from trialsim.experiments.size import changed

_BEGIN = "# Calibrated with trialsim "
_HEADER = re.compile(rf"\A{_BEGIN}[^\n]*\n(?:#   [^\n]*\n)*\n?")


class CalibratedFile:
    """A file to be written. Made before anything is simulated, so that what cannot be written is refused at once.

    TrialsimError where the file is the design's own or somebody else's, or where a number or an override is not written
    in the design's text as a plain number.
    """

    def __init__(self, target: Path, source: str, design: Design, free: Sequence[Free], overrides: Sequence[str]):
        self.target, self.origin = target, locate(source)
        self.overrides = [_of_override(text) for text in overrides]
        _refuse_place(target, self.origin)
        self.text = _HEADER.sub("", read_bytes(self.origin).decode("utf-8-sig"))
        self._refuse_parent()
        check_free(design, free)
        for share in (0.25, 0.75):
            # Each number at a new value of its own, twice: one that stands in others' places cannot stay unnoticed.
            values = {
                path: one.low + (share + 1e-6 * k) * one.range for k, one in enumerate(free) for path in one.paths
            }
            self._written([Change(path, repr(x)) for path, x in values.items()], changed(design, values))

    def write(self, found: Calibration, command: str) -> None:
        """Write the fitted design, whole or not at all."""
        changes = [
            Change(path, number.free.text(number.value), "; ".join(number.moves) or "nothing that it moves")
            for number in found.numbers
            for path in number.free.paths
        ]
        text = self._written(changes, found.fitted_design)
        write_whole(self.target, f"{_header(found, command)}\n{text}")

    def _written(self, changes: Sequence[Change], design: Design) -> str:
        """The text with changes. TrialsimError where it does not say the design: a number's place was not its own."""
        fitted = {change.path for change in changes}
        kept = [change for change in self.overrides if change.path not in fitted]
        text = rewritten(self.text, [*kept, *changes], source=self.origin)
        if digest(design_of(text, at=self.target)) != digest(design):
            raise TrialsimError(
                f"{self.target} would not say the fitted design: a number shares its place in {self.origin} with "
                f"others (an anchor, perhaps). Write them out first, or leave out --out."
            )
        return text

    def _refuse_parent(self) -> None:
        root = read_tree(self.text.encode(), source=printable(str(self.origin))).root
        parent = root.child(EXTENDS) if root is not None else None
        name = None if parent is None else plain(parent)
        beside = os.path.realpath(self.target.parent) == os.path.realpath(self.origin.parent)
        if isinstance(name, str) and is_file_name(name) and not beside:
            raise TrialsimError(
                f"{self.origin} extends '{printable(name)}' beside it: --out must be in the same folder."
            )


def _of_override(text: str) -> Change:
    path, _, value = text.partition("=")
    if not is_number(value.strip()):
        raise TrialsimError(f"--set {text}: --out can write numbers only. Change the design file first.")
    return Change(path.strip(), value.strip())


def _refuse_place(target: Path, origin: Path) -> None:
    name = printable(str(target))
    if target.suffix not in SUFFIXES:
        raise TrialsimError(f"--out {name} must end in .yaml.")
    if not target.parent.is_dir():
        raise TrialsimError(f"--out {name}: there is no folder '{printable(str(target.parent))}'.")
    if not os.path.lexists(target):
        return
    if target.resolve() == origin.resolve():
        raise TrialsimError(f"--out {name} is the design itself. Choose another name: the command starts from it.")
    if not target.is_file() or not target.read_bytes().startswith(_BEGIN.encode()):
        raise TrialsimError(f"--out {name} exists already and is not of a calibration. Choose another name.")


def _header(found: Calibration, command: str) -> str:
    """Comments that say how the file came about; an earlier calibration's are replaced."""
    fitted = [one for one in found.targets if one.fitted]
    after, fresh = (sum(getattr(one, name).inside for one in fitted) for name in ("after", "fresh"))
    return (
        f"{_BEGIN}{__version__}: seed {found.seed}, {found.replicates} replicates for each of {found.tries} tries.\n"
        f"#   {command}\n"
        f"#   Targets fitted to and inside their range: {after} of {len(fitted)}; on fresh luck (seed "
        f"{found.fresh_seed}): {fresh} of {len(fitted)}.\n"
    )
