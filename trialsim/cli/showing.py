"""Commands that show: figures, the report, the replay of one trial."""

from __future__ import annotations

import click

COMMANDS: tuple[click.Command, ...] = ()
