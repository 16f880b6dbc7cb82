"""Commands about sweeps: run, go on, add to, merge; summarise, choose, export."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from trialsim.cli.options import AS_JSON, WORKERS, command_line, options

if TYPE_CHECKING:
    from trialsim.sweeps.drive import Ending, News
    from trialsim.sweeps.store import Store

LINE_EVERY_SECONDS = 30.0
INTERRUPTED = 130

FILE = click.argument("file")
SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change one value of the sweep file, e.g. replicates=50 or set.arms.coach.start_prob=0.7.",
)
FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
OUT = click.option("--out", type=click.Path(path_type=Path), help="Results folder. Default: results/NAME-KEY.")
EXECUTOR = click.option(
    "--executor",
    type=click.Choice(["processes", "dask", "mpi"]),
    default="processes",
    show_default=True,
    help="Who does the work. With mpi: mpiexec -n 9 trialsim sweep FILE --executor mpi.",
)
CLUSTER = click.option(
    "--cluster", metavar="ADDRESS", help="Dask scheduler: its address (tcp://host:8786) or its scheduler file."
)
RUNNING = options(WORKERS, EXECUTOR, CLUSTER)


@click.command()
@options(FILE, OUT, SET, RUNNING)
@click.option("--shard", metavar="K/N", help="Run only part K of N (1/N to N/N), into a folder of its own.")
@click.option("--dry-run", is_flag=True, help="Print design points, expected time and size; run nothing.")
def sweep(
    file: str,
    out: Path | None,
    overrides: tuple[str, ...],
    workers: int,
    executor: str,
    cluster: str | None,
    shard: str | None,
    dry_run: bool,
) -> None:
    """Run many designs: FILE is a sweep file, or the name of one in the library.

    Run again, the same command goes on where it stopped.
    """
    _quietly()
    from trialsim.report.sweep_words import dry_run_text
    from trialsim.sweeps.file import read_sweep
    from trialsim.sweeps.forecast import forecast
    from trialsim.sweeps.store import Store, default_folder

    part = _shard(shard)
    if dry_run:
        loaded = read_sweep(file, overrides=overrides)
        click.echo(dry_run_text(loaded, forecast(loaded), workers=workers))
        return

    def create() -> Store:
        loaded = read_sweep(file, overrides=overrides)
        return Store.create(out or default_folder(loaded, part), loaded, command=command_line(), shard=part)

    _run(create, workers=workers, executor=executor, cluster=cluster)


@click.command()
@options(FOLDER, RUNNING)
def resume(folder: Path, workers: int, executor: str, cluster: str | None) -> None:
    """Go on with a sweep that was stopped; blocks that were set aside are tried again."""
    _quietly()
    from trialsim.sweeps.store import Store

    def reopen() -> Store:
        store = Store.open(folder)
        store.check_versions()
        return store

    _run(reopen, workers=workers, executor=executor, cluster=cluster)


@click.command()
@options(FOLDER, RUNNING)
@click.option("--replicates", type=click.IntRange(1, 10_000_000), help="Replicates of each design point, in all.")
@click.option(
    "--target-mcse", type=click.FloatRange(0, 0.5, min_open=True), help="As many as bring every power's error to this."
)
def grow(
    folder: Path, workers: int, executor: str, cluster: str | None, replicates: int | None, target_mcse: float | None
) -> None:
    """Add replicates to a sweep; those that are there stay as they are."""
    _quietly()
    from trialsim.sweeps.store import Store, grown

    if replicates is None and target_mcse is None:
        raise click.UsageError("say how far: --replicates or --target-mcse.")

    def reopen() -> Store:
        store = Store.open(folder)
        store.check_versions()
        plan = grown(store, replicates, target_mcse)
        with store.locked():
            store.replan(plan, command=command_line())
        return store

    _run(reopen, workers=workers, executor=executor, cluster=cluster)


@click.command()
@options(FOLDER, AS_JSON)
def status(folder: Path, as_json: bool) -> None:
    """How far a sweep is, what failed, and how certain its powers are."""
    _quietly()
    from trialsim.report.sweep_words import status_json, status_text
    from trialsim.sweeps.status import status as status_of
    from trialsim.sweeps.store import Store

    found = status_of(Store.open(folder))
    click.echo(json.dumps(status_json(found), indent=2) if as_json else status_text(found))


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for all of it.")
def merge(folders: tuple[Path, ...], out: Path) -> None:
    """Put the shards of a sweep, or copies of it, together in one folder."""
    _quietly()
    from trialsim.report.sweep_words import status_text
    from trialsim.sweeps.merging import merge as put_together
    from trialsim.sweeps.status import status as status_of

    click.echo(status_text(status_of(put_together(folders, out, command=command_line()))))


@click.command()
@options(FILE, SET)
@click.option("--shards", type=click.IntRange(1, 100_000), required=True, help="Tasks of the job array.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder on a disk that all nodes see.")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Cores of each task.")
@click.option("--time", default="04:00:00", show_default=True, help="Time limit of each task.")
@click.option("--memory", default="2G", show_default=True, help="Memory of each task.")
@click.option("--partition", help="Partition.")
@click.option("--account", help="Account.")
@click.option("--setup", metavar="COMMAND", help="A line of shell first, e.g. 'source ~/trialsim/bin/activate'.")
@click.option("--script", type=click.Path(path_type=Path), help="File to write; without it the script is printed.")
def slurm(
    file: str,
    overrides: tuple[str, ...],
    shards: int,
    out: Path,
    workers: int,
    time: str,
    memory: str,
    partition: str | None,
    account: str | None,
    setup: str | None,
    script: Path | None,
) -> None:
    """Write the batch script that runs a sweep as a Slurm job array."""
    _quietly()
    from trialsim.sweeps.file import read_sweep
    from trialsim.sweeps.folders import write_new
    from trialsim.sweeps.slurm import Job, batch_script

    job = Job(shards, workers, time, memory, partition, account, setup)
    text = batch_script(file, read_sweep(file, overrides=overrides).name, out, job, overrides=overrides)
    if script is None:
        click.echo(text, nl=False)
        return
    write_new(script, text)
    click.echo(f"{script}: written. Then: mkdir -p {shlex.quote(str(out))} && sbatch {shlex.quote(str(script))}")


@click.command()
@options(FOLDER, AS_JSON)
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values, one line per number.")
@click.option("--by", multiple=True, metavar="PATH", help="Average over all axes but this (can be repeated).")
@click.option("--analysis", "analyses", multiple=True, help="Only this analysis (can be repeated).")
@click.option("--visit", "visits", multiple=True, help="Only this visit (can be repeated).")
@click.option(
    "--statistic", "statistics", multiple=True, help="Only this: power, bias, coverage ... (can be repeated)."
)
@click.option(
    "--skip-failed", is_flag=True, help="Summarise in spite of replicates or fits that failed, without those."
)
def summarise(
    folder: Path,
    as_json: bool,
    as_csv: bool,
    by: tuple[str, ...],
    analyses: tuple[str, ...],
    visits: tuple[str, ...],
    statistics: tuple[str, ...],
    skip_failed: bool,
) -> None:
    """Performance of every design point, with Monte Carlo errors."""
    _quietly()
    from trialsim.report.sweep_tables import summary_csv, summary_json, summary_text
    from trialsim.sweeps.reading import open_results

    if as_json and as_csv:
        raise click.UsageError("print --json or --csv, not both.")
    results = open_results(folder)
    chosen: dict[str, Any] = {"by": by, "analyses": analyses, "visits": visits, "statistics": statistics}
    if as_json:
        click.echo(json.dumps(summary_json(results, skip_failed=skip_failed, **chosen), indent=2))
    elif as_csv:
        click.echo(summary_csv(results, skip_failed=skip_failed, **chosen), nl=False)
    else:
        click.echo(summary_text(results, skip_failed=skip_failed, **chosen))


@click.command()
@options(FOLDER, AS_JSON)
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help="What must hold: 'power >= 0.9', 'scenario = realistic' (can be repeated).",
)
@click.option("--min", "minimise", metavar="QUANTITY", help="Choose the smallest, e.g. cost.")
@click.option("--max", "maximise", metavar="QUANTITY", help="Choose the largest, e.g. power.")
@click.option("--skip-failed", is_flag=True, help="Judge in spite of replicates or fits that failed, without those.")
def best(
    folder: Path,
    as_json: bool,
    where: tuple[str, ...],
    minimise: str | None,
    maximise: str | None,
    skip_failed: bool,
) -> None:
    """Which designs satisfy all conditions, which of them is best, and how sure that is."""
    _quietly()
    from trialsim.report.sweep_tables import best_json, best_text
    from trialsim.sweeps.reading import open_results

    if minimise and maximise:
        raise click.UsageError("choose by --min or by --max, not by both.")
    results = open_results(folder)
    chosen: dict[str, Any] = {"where": where, "minimise": minimise, "maximise": maximise, "skip_failed": skip_failed}
    click.echo(json.dumps(best_json(results, **chosen), indent=2) if as_json else best_text(results, **chosen))


@click.command()
@FOLDER
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "xpt"]),
    default="csv",
    show_default=True,
    help="xpt: SAS transport, v5.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New folder for the files.")
@click.option("--table", "tables", multiple=True, help="Only this table (can be repeated).")
@click.option("--adam", is_flag=True, help="Instead: ADSL and ADQS, CDISC-like, of one replicate.")
@click.option("--point", type=click.IntRange(min=0), help="Design point, with --adam. Default: 0.")
@click.option("--replicate", type=click.IntRange(min=0), help="Replicate, with --adam. Default: the first.")
def export(
    folder: Path, form: Literal["csv", "xpt"], out: Path, tables: tuple[str, ...], adam: bool, point: int | None,
    replicate: int | None,
) -> None:  # fmt: skip
    """Tables as CSV or SAS transport files, for other programs."""
    _quietly()
    from trialsim.sweeps.export import export as write_out

    if not adam and (point is not None or replicate is not None):
        raise click.UsageError("--point and --replicate choose the trial for --adam; tables are exported whole.")

    def tell(text: str) -> None:
        click.echo(f"trialsim: {text}", err=True)

    written = write_out(
        folder, form=form, out=out, tables=tables, adam=adam, point=point or 0, replicate=replicate, tell=tell
    )
    click.echo("\n".join(str(path) for path in written))


COMMANDS = (sweep, resume, grow, status, merge, slurm, summarise, best, export)


# --- running ----------------------------------------------------------------------------------------------------------


def _quietly() -> None:
    from trialsim.experiments.threads import one_thread_per_worker

    one_thread_per_worker()


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    number, slash, of = text.partition("/")
    if not (slash and number.isascii() and of.isascii() and number.isdecimal() and of.isdecimal()):
        raise click.UsageError(f"--shard must have the form K/N, e.g. 3/100 (given: {text}).")
    if not 1 <= int(number) <= int(of):
        raise click.UsageError(f"--shard {text}: the first number must be between 1 and the second.")
    return int(number), int(of)


def _run(opened: Callable[[], Store], *, workers: int, executor: str, cluster: str | None) -> None:
    """Run what is missing of a store, say how it went, and exit with 1 if anything is not right."""
    from trialsim.experiments.executors import crew
    from trialsim.report.sweep_words import ending_text
    from trialsim.sweeps.drive import drive
    from trialsim.sweeps.status import status as status_of

    if cluster and executor == "mpi":
        raise click.UsageError("--cluster is Dask's: give it, or --executor mpi, not both.")
    kind: Any = "dask" if cluster else executor if executor != "processes" or workers > 1 else "serial"
    with crew(kind, workers, address=cluster) as people:
        store, started = opened(), time.monotonic()
        with store.locked(), _stopped_gently(store), _telling() as news:
            ending: Ending = drive(store, people, news=news)
        click.echo(ending_text(status_of(store), ending, seconds=time.monotonic() - started))
    if not ending.whole:
        sys.exit(1)


@contextmanager
def _stopped_gently(store: Store) -> Iterator[None]:
    """Ctrl-C, and the TERM that batch systems send (see `crew`): what is finished stays."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(
            "\ntrialsim: interrupted. What was finished is kept; go on with: trialsim resume "
            f"{shlex.quote(str(store.folder))}",
            err=True,
        )
        sys.exit(INTERRUPTED)


@contextmanager
def _telling() -> Iterator[Callable[[News], None]]:
    """News on standard error: one line that is written over on a terminal, now and then a plain line in a log."""
    from trialsim.report.sweep_words import news_line

    terminal, last = sys.stderr.isatty(), [time.monotonic()]

    def tell(news: News) -> None:
        if terminal:
            click.echo(f"\r\x1b[K{news_line(news)}", err=True, nl=False)
        elif time.monotonic() - last[0] >= LINE_EVERY_SECONDS:
            last[0] = time.monotonic()
            click.echo(news_line(news), err=True)

    try:
        yield tell
    finally:
        if terminal:
            click.echo("", err=True)
