"""Everything that trialsim refuses, as one family of exceptions.

The command line turns each into one clear message and exit code 2; Python users can catch `TrialsimError`.
"""

from __future__ import annotations

from dataclasses import dataclass


class TrialsimError(Exception):
    """Something the user can mend. The message says where, what was given, the rule and a hint."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in a design file.

    `where` is file:line:column (or the override's text), `path` the dotted path of the key, `given` the value as
    written (empty where there is none), `rule` what must hold, `hint` what to try (may be empty).
    """

    where: str
    path: str
    given: str
    rule: str
    hint: str = ""

    def __str__(self) -> str:
        given = f" (given: {self.given})" if self.given else ""
        hint = f"{' ' if given else '. '}{self.hint}" if self.hint else ""
        path = f"{self.path}: " if self.path else ""
        return f"{self.where}: {path}{self.rule}{given}{hint}"


class DesignError(TrialsimError):
    """A design that cannot be used; holds every fault that was found, in file order."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


class EngineError(TrialsimError):
    """An engine was asked for a design or a replicate that it cannot run."""


class ResultsError(TrialsimError):
    """A results folder cannot be written or read."""
