"""Arguments and options that commands share."""

from __future__ import annotations

import json
import math
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
OPTIONAL_DESIGN = click.argument("design", required=False)
SET = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change one value, e.g. arms.coach.start_prob=0.7."
)
SEED = click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Seed of all luck.")
WORKERS = click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def load(design: str, overrides: tuple[str, ...]) -> Design:
    from trialsim.design.reader import read_design

    return read_design(design, overrides=overrides)


TARGETS = click.option(
    "--targets", metavar="NAME|FILE", help="Targets of the library or a file. Default: the design's own."
)


def one_or_all(design: str | None, whole_library: bool, overrides: tuple[str, ...]) -> None:
    """Refuse anything but a DESIGN alone or --all alone."""
    if (design is None) != whole_library:
        raise click.UsageError("Give either a DESIGN or --all.")
    if whole_library and overrides:
        raise click.UsageError("--set goes with one DESIGN, not with --all.")


def command_line() -> str:
    return shlex.join(["trialsim", *sys.argv[1:]])


def show(text: str, data: dict[str, Any], as_json: bool) -> None:
    """Print the text (which ends its own lines), or the data as JSON."""
    click.echo(json.dumps(plain(data), indent=2) if as_json else text, nl=as_json)


def plain(data: Any) -> Any:
    """Data as JSON has it: null for what is not a finite number."""
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
