"""Arguments and options that commands share."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trialsim.design.parts import Design


def options(*given: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several decorators as one, in the order of --help."""

    def decorate(command: Any) -> Any:
        for option in reversed(given):
            command = option(command)
        return command

    return decorate


DESIGN = click.argument("design")
SET = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change one value, e.g. arms.coach.start_prob=0.7."
)
SEED = click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of all luck.")
WORKERS = click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def load(design: str, overrides: tuple[str, ...]) -> Design:
    from trialsim.design.reader import read_design

    return read_design(design, overrides=overrides)


def command_line() -> str:
    return shlex.join(["trialsim", *sys.argv[1:]])
