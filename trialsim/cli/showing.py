"""Commands that show: figures, the report, the replay of one trial."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from trialsim.cli.options import AS_JSON, DESIGN, SEED, SET, WORKERS, load, options, show
from trialsim.cli.progress import progress_on

if TYPE_CHECKING:
    from trialsim.block import EngineName
    from trialsim.report.figures.style import Size


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


@click.command()
@click.argument("source", metavar="DIR_OR_DESIGN")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File to write. Default: report.html, and for the results folder DIR the file DIR-report.html beside it.",
)
@click.option("--replicates", type=click.IntRange(1, 1_000_000), help="Trials to simulate of a DESIGN. [default: 200]")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all luck of a DESIGN. [default: 1]")
@click.option("--point", type=click.IntRange(min=0), help="One design point of a sweep, instead of all of it.")
@click.option("--skip-failed", is_flag=True, help="Report in spite of replicates or fits that failed, without those.")
@options(SET, WORKERS)
def report(
    source: str,
    out: Path | None,
    replicates: int | None,
    seed: int | None,
    point: int | None,
    skip_failed: bool,
    overrides: tuple[str, ...],
    workers: int,
) -> None:
    """Write one self-contained HTML page about a design, a run or a sweep, to read, print and hand on."""
    from trialsim.experiments.threads import one_thread_per_worker

    one_thread_per_worker()
    from trialsim.report.figures import gather
    from trialsim.report.figures.material import REPLICATES, is_folder
    from trialsim.report.page import check_place, need_extra, report_html, write_report
    from trialsim.report.page import default_place as place_of

    need_extra()
    folder = Path(source) if is_folder(source) else None
    target = out or place_of(folder)
    check_place(target, folder=folder)
    with progress_on(replicates or REPLICATES, "steps") as progress:
        material = gather(
            source, replicates=replicates, seed=seed, workers=workers, overrides=overrides, progress=progress,
            point=point, skip_failed=skip_failed,
        )  # fmt: skip
        text = report_html(material)
    write_report(text, target)
    click.echo(f"{target}: written ({len(text.encode()) / 1e6:.1f} MB). Open it in a browser, or print it from there.")


@click.command()
@click.argument("source", metavar="DIR_OR_DESIGN")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Figure to draw; may be given several times.")
@click.option("--all", "every", is_flag=True, help="Every figure that there is of it.")
@click.option(
    "--kinds", "--list", "list_them", is_flag=True, help="Say which figures there are of it, and why not others."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File to write; of several figures, a folder. Default: NAME-KIND.png, or the folder NAME-figures.",
)
@click.option("--format", "ending", type=click.Choice(["png", "svg", "pdf"]), help="Default: as --out ends, or png.")
@click.option(
    "--size", type=click.Choice(["page", "projector"]), default="page", show_default=True,
    help="170 mm wide for print, or 16:9 with larger type for a wall.",
)  # fmt: skip
@click.option("--dark", is_flag=True, help="On a dark background.")
@click.option("--outcome", help="For trajectories and responders: this outcome only.")
@click.option("--visit", help="For forest and power, and statistics of analyses of a sweep: this visit only.")
@click.option("--analysis", help="For forest and power, and statistics of a sweep: this analysis.")
@click.option("--contrast", metavar="'A - B'", help="For statistics of analyses of a sweep: this contrast.")
@click.option("--replicate", type=click.IntRange(min=0), help="For consort and forest: this trial, not the mean.")
@click.option(
    "--statistic",
    metavar="WORDS",
    help="For nested_loop, heat, curve: what is drawn, e.g. coverage, cost, power[...].",
)
@click.option("--x", help="For heat and curve: axis to the right; for pareto: cost or duration_months.")
@click.option("--y", help="For heat: axis upwards; for curve: a line for each of its values.")
@click.option("--replicates", type=click.IntRange(1, 1_000_000), help="Trials to simulate of a DESIGN. [default: 200]")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all luck of a DESIGN. [default: 1]")
@click.option("--point", type=click.IntRange(min=0), help="One design point of a sweep, instead of all of it.")
@click.option("--skip-failed", is_flag=True, help="Draw in spite of replicates or fits that failed, without those.")
@options(SET, WORKERS)
def plot(
    source: str,
    kinds: tuple[str, ...],
    every: bool,
    list_them: bool,
    out: Path | None,
    ending: str | None,
    size: str,
    dark: bool,
    replicates: int | None,
    seed: int | None,
    point: int | None,
    skip_failed: bool,
    overrides: tuple[str, ...],
    workers: int,
    **of_kinds: str | int | None,
) -> None:
    """Draw figures of a design, a run or a sweep as PNG, SVG or PDF."""
    from trialsim.experiments.threads import one_thread_per_worker

    one_thread_per_worker()
    if bool(kinds) + every + list_them != 1:
        raise click.UsageError("Give one of --kind KIND (several times for several), --all and --kinds.")
    from trialsim.report.figures import gather, making
    from trialsim.report.figures.material import REPLICATES
    from trialsim.report.figures.style import need_matplotlib
    from trialsim.report.layout import paragraph

    chosen = tuple((name, value) for name, value in of_kinds.items() if value is not None)
    kinds = tuple(dict.fromkeys(kinds))
    wanted = making.Wanted(kinds, size=cast("Size", size), dark=dark, format=ending, out=out, options=chosen)
    if not list_them:
        need_matplotlib()
        making.check(wanted)
    with progress_on(replicates or REPLICATES, "replicates") as progress:
        material = gather(
            source, replicates=replicates, seed=seed, workers=workers, overrides=overrides, progress=progress,
            point=point, skip_failed=skip_failed,
        )  # fmt: skip
        made = [] if list_them else list(making.make(material, wanted))
        listing = making.kinds_text(material) if list_them else ""
    click.echo("\n\n".join(f"{one.path}: written.\n{paragraph(one.caption)}" for one in made) or listing)


COMMANDS: tuple[click.Command, ...] = (report, replay, plot)
