"""Commands that answer questions of power: power and error rates of decisions, sample size, assurance."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from trialsim.cli.options import AS_JSON, DESIGN, SEED, SET, WORKERS, load, options, show
from trialsim.cli.progress import progress_on

if TYPE_CHECKING:
    from trialsim.design.parts import Design
    from trialsim.experiments.decisions import Decided
    from trialsim.experiments.nulls import Partition
    from trialsim.experiments.runner import Experiment
    from trialsim.report.powers import NullRow

QUESTION = click.option(
    "--for",
    "question",
    metavar="WORDS",
    help='Question, e.g. "coach vs usual at 3 months in responders", or a decision of the design. '
    "Default: the design's first decision, or the first contrast of its first analysis.",
)


@click.command()
@DESIGN
@click.option(
    "--replicates", type=click.IntRange(2, 10_000_000), default=1000, show_default=True, help="Trials to simulate."
)
@click.option(
    "--target-mcse",
    type=click.FloatRange(0, 0.5, min_open=True),
    help="Instead of --replicates: as many as bring every power's Monte Carlo error down to this.",
)
@click.option("--skip-failed", is_flag=True, help="Leave out replicates in which a fit that a decision needs failed.")
@click.option("--nulls", is_flag=True, help="Family-wise error too, under every partial null.")
@click.option("--versus", metavar="DESIGN", help="Another design to compare with, on the same luck.")
@click.option(
    "--versus-set", multiple=True, metavar="PATH=VALUE", help="Compare with the same design, one value changed."
)
@options(SEED, SET, WORKERS, AS_JSON)
def power(
    design: str,
    replicates: int,
    target_mcse: float | None,
    skip_failed: bool,
    nulls: bool,
    versus: str | None,
    versus_set: tuple[str, ...],
    seed: int,
    overrides: tuple[str, ...],
    workers: int,
    as_json: bool,
) -> None:
    """Power of the design's decisions, error under nulls, difference to another design."""
    from trialsim.experiments.threads import one_thread_per_worker

    one_thread_per_worker()
    from trialsim.errors import TrialsimError
    from trialsim.experiments.decisions import power_rows
    from trialsim.experiments.versus import compare_designs
    from trialsim.report import powers

    loaded = load(design, overrides)
    if not loaded.decisions and (nulls or not (versus or versus_set)):
        raise TrialsimError(
            f"design '{loaded.name}' states no decision. Add `decisions` (docs/analyses.md), or see `trialsim run`."
        )
    simulated = partial(_simulated, seed=seed, workers=workers)
    experiment = simulated(loaded, replicates, target_mcse)
    n = len(experiment.replicates)
    found: dict[str, Any] = {"design": loaded.name, "replicates": n, "seed": seed}
    texts = []
    if loaded.decisions:
        rows = [row for one in _decided(experiment) for row in power_rows(one, skip_failed=skip_failed)]
        found["power"] = powers.power_json(rows)
        texts.append(powers.power_text(loaded, rows, n))
    if nulls:
        errors = _nulls(loaded, simulated, replicates, target_mcse, skip_failed)
        found["nulls"] = powers.nulls_json(errors)
        texts.append(powers.nulls_text(errors, {name: d.alpha for name, d in loaded.decisions.items()}))
    if versus or versus_set:
        other = load(versus or design, (*overrides, *versus_set) if versus is None else versus_set)
        differences = compare_designs(experiment, simulated(other, n, None))
        found["versus"] = powers.versus_json(differences)
        texts.append(powers.versus_text(loaded, other, differences))
    show("\n".join(texts), found, as_json)


def _simulated(
    design: Design,
    replicates: int,
    target_mcse: float | None,
    *,
    seed: int,
    workers: int,
    of: Callable[[Experiment], list[Any]] | None = None,
) -> Experiment:
    """Replicates of a design; `of` are the chances that the target is about, if not all of them."""
    from trialsim.errors import ResultsError
    from trialsim.experiments.precision import every_chance, run_to_precision
    from trialsim.experiments.runner import run

    with progress_on(replicates, "replicates") as progress:
        if target_mcse is not None:
            experiment = run_to_precision(
                design, target_mcse=target_mcse, of=of or every_chance, seed=seed, workers=workers, progress=progress
            )
        else:
            experiment = run(design, seed=seed, replicates=replicates, workers=workers, progress=progress)
    if experiment.failures:
        failure = experiment.failures[0]
        raise ResultsError(f"replicate {failure.replicate} failed in {failure.stage}: {failure.error}.")
    return experiment


def _nulls(
    design: Design,
    simulated: Callable[..., Experiment],
    replicates: int,
    target_mcse: float | None,
    skip_failed: bool,
) -> list[NullRow]:
    """Family-wise error of every decision under every partial null."""
    from trialsim.experiments.decisions import family_wise_error
    from trialsim.experiments.nulls import null_designs

    rows: list[NullRow] = []
    for parts, null in null_designs(design):
        experiment = simulated(null, replicates, target_mcse, of=partial(_errors, parts))
        for one in _decided(experiment):
            rows.append((parts, one.name, family_wise_error(one, parts, skip_failed=skip_failed)))
    return rows


def _errors(parts: Partition, experiment: Experiment) -> list[Any]:
    from trialsim.experiments.decisions import false_rejections

    found = [false_rejections(one, parts) for one in _decided(experiment)]
    return [hits for hits in found if hits is not None]


def _decided(experiment: Experiment) -> list[Decided]:
    """Every decision of an experiment's design."""
    from trialsim.experiments.decisions import decide

    assert experiment.estimates is not None  # decisions need analyses
    return [decide(experiment.design, name, experiment.estimates) for name in experiment.design.decisions]


@click.command()
@DESIGN
@click.option(
    "--power",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Power wanted.",
)
@QUESTION
@click.option("--vary", "path", default="sample_size", show_default=True, help="Path of the number to search.")
@click.option("--low", type=float, help="Least value to try.")
@click.option("--high", type=float, help="Greatest value to try.")
@click.option(
    "--mcse",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.005,
    show_default=True,
    help="Standard error of the power at the answer.",
)
@click.option(
    "--max-replicates", type=click.IntRange(1000), default=60_000, show_default=True, help="Trials to simulate at most."
)
@options(SEED, SET, WORKERS, AS_JSON)
def size(
    design: str,
    power: float,
    question: str | None,
    path: str,
    low: float | None,
    high: float | None,
    mcse: float,
    max_replicates: int,
    seed: int,
    overrides: tuple[str, ...],
    workers: int,
    as_json: bool,
) -> None:
    """Find the sample size, or another number of the design, that has the power."""
    from trialsim.experiments.threads import one_thread_per_worker

    one_thread_per_worker()
    from trialsim.experiments.size import find_size
    from trialsim.report.powers import sizing_json, sizing_text

    loaded = load(design, overrides)
    started = time.perf_counter()
    expected = round(power * (1 - power) / mcse**2)
    with progress_on(expected, "replicates") as progress:
        found = find_size(
            loaded, power=power, question=question, path=path, low=low, high=high, seed=seed, mcse=mcse,
            max_replicates=max_replicates, workers=workers,
            progress=lambda n, x, error: progress(n, max(expected, n)),
        )  # fmt: skip
    seconds = time.perf_counter() - started
    show(sizing_text(found, seconds=seconds), sizing_json(found), as_json)
    if not found.answer.found:
        raise SystemExit(1)


@click.command()
@DESIGN
@click.option(
    "--prior",
    "priors",
    multiple=True,
    required=True,
    metavar="PATH=DIST",
    help="What is believed of a number: PATH=normal(mean, sd), uniform(low, high) or triangular(low, mode, high).",
)
@QUESTION
@click.option("--nodes", type=click.IntRange(2, 100_000), default=128, show_default=True, help="Values of the prior.")
@click.option(
    "--replicates", type=click.IntRange(2, 100_000), default=32, show_default=True, help="Trials for each value."
)
@options(SEED, SET, WORKERS, AS_JSON)
def assurance(
    design: str,
    priors: tuple[str, ...],
    question: str | None,
    nodes: int,
    replicates: int,
    seed: int,
    overrides: tuple[str, ...],
    workers: int,
    as_json: bool,
) -> None:
    """Expected power where an effect, or any other number, is uncertain."""
    from trialsim.experiments.threads import one_thread_per_worker

    one_thread_per_worker()
    from trialsim.experiments.size import assurance as expected_power
    from trialsim.experiments.size import read_prior
    from trialsim.report.powers import assurance_json, assurance_text

    loaded = load(design, overrides)
    with progress_on(nodes * replicates, "replicates") as progress:
        found = expected_power(
            loaded, [read_prior(text) for text in priors], question=question, seed=seed, nodes=nodes,
            replicates=replicates, workers=workers, progress=progress,
        )  # fmt: skip
    show(assurance_text(found), assurance_json(found), as_json)
