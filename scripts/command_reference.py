#!/usr/bin/env python
"""Write docs/commands.md, all commands with all their options, from the help that the commands themselves give.

    python scripts/command_reference.py [--check]

With --check nothing is written; exit code 1 says that the page is stale.
"""

from __future__ import annotations

import re
import sys

import click
from pages import ROOT, kept, markdown

from trialsim.cli.main import cli

PAGE = ROOT / "docs" / "commands.md"
HEAD = """\
# Commands

Every command of `trialsim` and all its options, in the words of their own `--help` (the page is written by
`python scripts/command_reference.py`). DESIGN is the name of a scenario of the library (`trialsim list`) or a design
file ending in `.yaml`; DIR is a folder of results.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | done, and something failed: replicates, a comparison, a check of the engines |
| 2 | refused: one message says where, what was given and what the rule is; nothing was lost |
| 130 | interrupted; what was finished is kept where the command says so |
"""
GROUPS = {
    "A design": ("list", "new", "check", "describe", "schema"),
    "Simulate and decide": ("run", "power", "size", "assurance", "verify"),
    "See and show": ("plot", "report", "replay", "teach"),
    "Published values": ("compare", "calibrate"),
    "Many designs": ("sweep", "status", "resume", "grow", "summarise", "best", "export", "merge", "slurm"),
}


def page() -> str:
    """The whole page."""
    listed = {name for names in GROUPS.values() for name in names}
    rest = tuple(name for name in cli.commands if name not in listed)
    groups = {**GROUPS, **({"Other": rest} if rest else {})}
    parts = [HEAD]
    for title, names in groups.items():
        parts += [f"## {title}\n", *(section(name) for name in names if name in cli.commands)]
    return "\n".join(parts)


def section(name: str) -> str:
    """Usage, help and options of one command."""
    command = cli.commands[name]
    usage = " ".join(["trialsim", name, *_arguments(command)])
    rows = [_row(param) for param in command.params if isinstance(param, click.Option)]
    table = markdown(["option", "default", "meaning"], rows, "lll") if rows else "It has no options."
    return f"### {name}\n\n`{usage}`\n\n{_prose(command.help or '')}\n\n{table}\n"


def _arguments(command: click.Command) -> list[str]:
    context = click.Context(command)
    names = [p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)]
    return [*(["[OPTIONS]"] if any(isinstance(p, click.Option) for p in command.params) else []), *names]


def _row(option: click.Option) -> list[str]:
    context = click.Context(click.Command("any"))
    value = "" if option.is_flag else f" {_value(option, context)}"
    names = ", ".join(f"`{name}{value}`" for name in (*option.opts, *option.secondary_opts))
    often = " May be given several times." if option.multiple and "repeated" not in (option.help or "") else ""
    return [names, _default(option), _cell(_prose(option.help or "") + often)]


def _value(option: click.Option, context: click.Context) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "\\|".join(str(choice) for choice in option.type.choices)
    return option.make_metavar(context).removesuffix(" RANGE")


def _default(option: click.Option) -> str:
    value = option.default
    shown = isinstance(value, int | float | str) and not isinstance(value, bool) and value != ""
    return f"{value:g}" if shown and isinstance(value, float) else str(value) if shown else ""


def _prose(text: str) -> str:
    """Help as running text: its paragraphs, lines joined; what Markdown would take for signs is escaped."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text.replace("\b", ""))]
    return "\n\n".join(re.sub(r"(`[^`]*`)|([<>*])", _escaped, part) for part in paragraphs)


def _escaped(match: re.Match[str]) -> str:
    return match[1] or f"\\{match[2]}"


def _cell(text: str) -> str:
    return text.replace("\n\n", " ").replace("|", "\\|")


def main() -> int:
    """Write the page, or say whether it is stale."""
    fresh = kept(PAGE, page(), check="--check" in sys.argv[1:])
    print("up to date" if fresh else "stale: run python scripts/command_reference.py")
    return int(not fresh)


if __name__ == "__main__":
    sys.exit(main())
