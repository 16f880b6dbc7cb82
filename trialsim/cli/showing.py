"""Commands that show: figures, the report, the replay of one trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from trialsim.cli.options import AS_JSON, DESIGN, SEED, SET, load, options, show

if TYPE_CHECKING:
    from trialsim.block import EngineName


@click.command()
@options(DESIGN, SEED)
@click.option("--replicate", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the trial.")
@click.option("--participant", type=click.IntRange(min=0), help="Tell the way of this participant only.")
@click.option("--from", "first", metavar="DATE|DAY", help="First day that is told. Default: the trial's first.")
@click.option("--to", "last", metavar="DATE|DAY", help="Last day that is told. Default: the trial's last.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Tell only this kind of event, e.g. answered.")
@click.option("--site", help="Tell only what concerns people of this site.")
@click.option("--arm", help="Tell only what concerns participants of this arm.")
@click.option(
    "--engine", type=click.Choice(["process", "vector"]), default="process", show_default=True, help="Same numbers."
)
@options(SET, AS_JSON)
def replay(
    design: str,
    seed: int,
    replicate: int,
    participant: int | None,
    first: str | None,
    last: str | None,
    kinds: tuple[str, ...],
    site: str | None,
    arm: str | None,
    engine: str,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Tell one simulated trial, or one participant's way, day by day."""
    if participant is not None and (site or arm):
        raise click.UsageError("--participant goes with neither --site nor --arm.")
    from trialsim.report.replay.log import replay as tell
    from trialsim.report.replay.selection import Asked
    from trialsim.trial import simulate

    trial = simulate(load(design, overrides), seed=seed, replicate=replicate, engine=cast("EngineName", engine))
    told = tell(trial, Asked(participant, first, last, kinds, site, arm))
    show("" if as_json else told.text(), told.data() if as_json else {}, as_json)


COMMANDS: tuple[click.Command, ...] = (replay,)
