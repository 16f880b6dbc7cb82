"""The command that serves the live page for a class."""

from __future__ import annotations

import click

COMMANDS: tuple[click.Command, ...] = ()
