"""The command line: parse, call, print. Heavy imports are inside the commands, so that --help is quick."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from trialsim import __version__
from trialsim.cli.calibrating import calibrate
from trialsim.cli.options import (
    AS_JSON,
    DESIGN,
    OPTIONAL_DESIGN,
    SEED,
    SET,
    TARGETS,
    WORKERS,
    command_line,
    load,
    one_or_all,
    options,
)
from trialsim.cli.progress import progress_on
from trialsim.cli.questions import assurance, power, size
from trialsim.cli.showing import COMMANDS as OF_SHOWING
from trialsim.cli.sweeps import COMMANDS as OF_SWEEPS
from trialsim.cli.teaching import COMMANDS as OF_TEACHING
from trialsim.errors import TrialsimError

if TYPE_CHECKING:
    from trialsim.block import EngineName
    from trialsim.design.parts import Design
    from trialsim.experiments.verify import Difference

INTERRUPTED = 130


class Commands(click.Group):
    """A group whose commands turn refusals and interruptions into one message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; TrialsimError is exit code 2, Ctrl-C exit code 130, a closed pipe is nobody's fault."""
        try:
            return super().invoke(ctx)
        except TrialsimError as error:
            click.echo(f"trialsim: {_faults(error, ctx.invoked_subcommand)}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("\ntrialsim: interrupted; nothing was written.", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(0)


def _faults(error: TrialsimError, command: str | None) -> str:
    faults = getattr(error, "faults", None)
    if not faults:
        return str(error)
    n = len(faults)
    what = "sweep" if command in ("sweep", "slurm") else "design"
    return f"{n} {'mistake' if n == 1 else 'mistakes'} in the {what}:\n{error}"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trialsim")
def cli() -> None:
    """Run a pragmatic clinical trial before you run it.

    DESIGN is the name of a library scenario (see `trialsim list`) or a design file ending in .yaml.
    """


for command in (power, size, assurance, calibrate, *OF_SWEEPS, *OF_SHOWING, *OF_TEACHING):
    cli.add_command(command)


def main() -> None:
    """Entry point of the `trialsim` command."""
    cli()


@cli.command()
@options(DESIGN, SEED)
@click.option(
    "--replicates", type=click.IntRange(1, 10_000_000), default=1, show_default=True, help="Trials to simulate."
)
@click.option(
    "--target-mcse",
    type=click.FloatRange(0, 0.5, min_open=True),
    help="Instead of --replicates: as many as bring every power's Monte Carlo error down to this.",
)
@click.option(
    "--first", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the first replicate."
)
@click.option(
    "--engine", type=click.Choice(["process", "vector"]), help="Default: process for one replicate, vector for many."
)
@click.option("--out", type=click.Path(path_type=Path), help="Results folder. Default: results/NAME-DATE-DIGEST.")
@click.option("--keep-participants", is_flag=True, help="Keep participant-level tables of many replicates too.")
@click.option("--skip-failed", is_flag=True, help="Summarise analyses in which some fits failed, without those.")
@click.option(
    "--estimator",
    "estimators",
    multiple=True,
    metavar="NAME=MODULE:FUNCTION",
    help="Add an analysis by a Python function of yours (docs/analyses.md).",
)
@options(SET, WORKERS, AS_JSON)
def run(
    design: str,
    seed: int,
    replicates: int,
    target_mcse: float | None,
    first: int,
    engine: str | None,
    out: Path | None,
    keep_participants: bool,
    skip_failed: bool,
    estimators: tuple[str, ...],
    overrides: tuple[str, ...],
    workers: int,
    as_json: bool,
) -> None:
    """Simulate a trial, print what happened, and keep its tables."""
    from trialsim.experiments import store
    from trialsim.experiments.threads import one_thread_per_worker

    one_thread_per_worker()
    from trialsim.experiments.precision import run_to_precision
    from trialsim.experiments.runner import run as run_experiment
    from trialsim.experiments.superpopulation import truths_for
    from trialsim.report.summary import performance_rows, summary_json, summary_text

    loaded = load(design, overrides)
    if estimators:
        loaded = load(design, (*overrides, _as_override(estimators, loaded)))
    if target_mcse is not None:
        replicates = 1_000_000
    name: EngineName = cast("EngineName", engine) if engine else ("process" if replicates == 1 else "vector")
    if target_mcse is not None and (first or name == "process" or keep_participants):
        raise click.UsageError("--target-mcse goes with neither --first, --engine process nor --keep-participants.")
    key = store.run_key(loaded, seed, first, f"MCSE {target_mcse:g}" if target_mcse else replicates, name)
    target = out or store.default_folder(loaded.name, key)
    started = time.perf_counter()
    with store.new_folder(target, key) as folder:
        keep = folder / "data" if replicates == 1 or keep_participants else None
        with progress_on(replicates, "replicates") as progress:
            if target_mcse is not None:
                experiment = run_to_precision(
                    loaded, target_mcse=target_mcse, seed=seed, workers=workers, progress=progress
                )
            else:
                experiment = run_experiment(
                    loaded, seed=seed, replicates=replicates, first=first, engine=name, workers=workers, keep=keep,
                    progress=progress,
                )  # fmt: skip
        truths = truths_for(experiment) if len(experiment.replicates) > 1 else None
        text = summary_text(experiment, skip_failed=skip_failed, truths=truths)
        (folder / "summary.txt").write_text(text, encoding="utf-8")
        rows = performance_rows(experiment, skip_failed=skip_failed, truths=truths)
        store.write_experiment(folder, experiment, rows)
        store.write_manifest(folder, loaded, key, command_line(), time.perf_counter() - started)
    if as_json:
        found = summary_json(experiment, skip_failed=skip_failed, truths=truths)
        click.echo(json.dumps(found | {"results": str(target)}, indent=2))
    else:
        click.echo(text)
        click.echo(f"Results: {target}")
    if experiment.failures:
        sys.exit(1)


def _as_override(estimators: tuple[str, ...], design: Design) -> str:
    """The design's analyses and those by `NAME=MODULE:FUNCTION` as one setting; the first outcome is analysed."""
    analyses = design.model_dump(mode="json")["analyses"]
    for text in estimators:
        name, equals, function = text.partition("=")
        if not (name and equals and function):
            raise click.UsageError(f"--estimator must have the form NAME=MODULE:FUNCTION (given: {text}).")
        if name in analyses:
            raise click.UsageError(f"--estimator {text}: there is an analysis '{name}' already.")
        analyses[name] = {"kind": "user", "outcome": next(iter(design.outcomes)), "function": function}
    return f"analyses={json.dumps(analyses)}"


@cli.command()
@OPTIONAL_DESIGN
@click.option("--all", "whole_library", is_flag=True, help="Every scenario of the library, in one table; exit code 0.")
@click.option(
    "--replicates", type=click.IntRange(2, 1_000_000), default=200, show_default=True, help="Trials to simulate."
)
@options(TARGETS, SEED, SET, WORKERS, AS_JSON)
def compare(
    design: str | None,
    targets: str | None,
    whole_library: bool,
    replicates: int,
    seed: int,
    overrides: tuple[str, ...],
    workers: int,
    as_json: bool,
) -> None:
    """Hold a simulation against published values; exit code 1 if one lies outside its range."""
    one_or_all(design, whole_library, overrides)
    if whole_library and targets:
        raise click.UsageError("--targets goes with one DESIGN, not with --all.")
    from trialsim.experiments.threads import one_thread_per_worker

    one_thread_per_worker()
    if design is None:
        _compare_library(replicates, seed, workers, as_json)
        return
    from trialsim.experiments.targets import compare as hold
    from trialsim.experiments.targets import targets_of
    from trialsim.report.comparison import comparison_json, comparison_text

    loaded = load(design, overrides)
    published = targets_of(targets or loaded.name)
    with progress_on(replicates, "replicates") as progress:
        findings = hold(loaded, published, replicates=replicates, seed=seed, workers=workers, progress=progress)
    click.echo(
        json.dumps(comparison_json(findings), indent=2) if as_json else comparison_text(loaded, published, findings)
    )
    if not all(finding.inside for finding in findings if finding.target.held):
        sys.exit(1)


def _compare_library(replicates: int, seed: int, workers: int, as_json: bool) -> None:
    """A row for each scenario; a miss is no fault here, a scenario that could not be compared is."""
    from trialsim.design.library import library
    from trialsim.experiments.targets import compare_library
    from trialsim.report.comparison import library_json, library_text

    rows = []
    n = len(library())
    with progress_on(n, "scenarios") as progress:
        for row in compare_library(replicates=replicates, seed=seed, workers=workers):
            rows.append(row)
            progress(len(rows), n)
    click.echo(json.dumps(library_json(rows), indent=2) if as_json else library_text(rows))
    if any(row.why for row in rows):
        sys.exit(1)


@cli.command()
@OPTIONAL_DESIGN
@click.option("--all", "whole_library", is_flag=True, help="Every scenario of the library.")
@click.option(
    "--replicates", type=click.IntRange(1, 1_000_000), help="Trials to compare. [default: 20, with --all 1 of each]"
)
@options(SEED, SET)
def verify(
    design: str | None, whole_library: bool, replicates: int | None, seed: int, overrides: tuple[str, ...]
) -> None:
    """Run both engines and say whether every participant, session, observation and event is equal."""
    one_or_all(design, whole_library, overrides)
    from trialsim.report.comparison import library_verification_text, verification_text

    if design is not None:
        differences = _differences([design], overrides, replicates or 20, seed)
        text = verification_text(replicates or 20, differences[design])
    else:
        from trialsim.design.library import library

        differences = _differences(list(library()), (), replicates or 1, seed)
        text = library_verification_text(replicates or 1, differences)
    click.echo(text)
    if any(differences.values()):
        sys.exit(1)


def _differences(
    designs: list[str], overrides: tuple[str, ...], replicates: int, seed: int
) -> dict[str, list[Difference]]:
    """Differences between the engines, by design."""
    from trialsim.experiments.verify import verify_replicate
    from trialsim.world.world import World

    found: dict[str, list[Difference]] = {name: [] for name in designs}
    total = len(designs) * replicates
    with progress_on(total, "replicates") as progress:
        for k, name in enumerate(designs):
            world = World(load(name, overrides))
            for replicate in range(replicates):
                found[name] += verify_replicate(world, seed=seed, replicate=replicate)
                progress(k * replicates + replicate + 1, total)
    return found


@cli.command()
@DESIGN
@click.option(
    "--replicates", type=click.IntRange(2, 100_000), default=64, show_default=True, help="Trials for implied values."
)
@options(SEED, SET)
def describe(design: str, replicates: int, seed: int, overrides: tuple[str, ...]) -> None:
    """Say the design in sentences and tables, with the true effects it implies."""
    from trialsim.experiments.threads import one_thread_per_worker

    one_thread_per_worker()
    from trialsim.report.describe import describe as in_words

    click.echo(in_words(load(design, overrides), n_replicates=replicates, seed=seed))


@cli.command()
@options(DESIGN, SET)
def check(design: str, overrides: tuple[str, ...]) -> None:
    """Check a design file; exit code 0 if it can be run, 2 with every mistake listed if not."""
    from trialsim.design.reader import digest

    loaded = load(design, overrides)
    click.echo(f"{design}: a design that can be run ({loaded.name}, digest {digest(loaded)}).")


@cli.command(name="list")
def list_() -> None:
    """List the scenario library."""
    from trialsim.report.catalogue import catalogue
    from trialsim.report.layout import table

    rows = [[entry.name, entry.design, entry.what] for entry in catalogue()]
    click.echo(table(["scenario", "design", "what it is"], rows, "lll"))


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--like", help="Scenario to copy, comments and all. Default: a short trial of two arms.")
def new(file: Path, like: str | None) -> None:
    """Write a commented design to start from, in which what must be changed is marked, or a copy of a scenario."""
    from trialsim.design.reader import new_from

    new_from(like, file)
    click.echo(f"{file}: written. Change it, then: trialsim check {shlex.quote(str(file))}")


@cli.command()
@click.option("--sweep", "of_sweeps", is_flag=True, help="Of sweep files instead.")
def schema(of_sweeps: bool) -> None:
    """Print the JSON Schema of design files, for editors that complete and check YAML."""
    from trialsim.design.schema import json_schema
    from trialsim.sweeps.file import sweep_schema

    click.echo(json.dumps(sweep_schema() if of_sweeps else json_schema(), indent=2))
