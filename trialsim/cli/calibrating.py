"""`trialsim calibrate`: numbers of a design fitted to published values."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from trialsim.cli.options import AS_JSON, DESIGN, SEED, SET, TARGETS, WORKERS, load, options, show
from trialsim.cli.progress import progress_on


@click.command()
@DESIGN
@TARGETS
@click.option(
    "--free",
    "free_texts",
    multiple=True,
    required=True,
    metavar="PATH=LOW..HIGH",
    help="A number to fit, and its limits; PATH,PATH=LOW..HIGH is one number at several places.",
)
@click.option("--all-targets", is_flag=True, help="Fit to all held targets, not only to those of kind fitted.")
@click.option(
    "--replicates", type=click.IntRange(2, 1_000_000), default=100, show_default=True, help="Trials in each try."
)
@click.option("--most", type=click.IntRange(1), default=200, show_default=True, help="Tries at most.")
@click.option("--out", type=click.Path(path_type=Path), help="Design file to write, with the fitted numbers in place.")
@options(SEED, SET, WORKERS, AS_JSON)
def calibrate(
    design: str,
    targets: str | None,
    free_texts: tuple[str, ...],
    all_targets: bool,
    replicates: int,
    most: int,
    out: Path | None,
    seed: int,
    overrides: tuple[str, ...],
    workers: int,
    as_json: bool,
) -> None:
    """Fit numbers of a design to published values, and say how well they are known."""
    from trialsim.experiments.threads import one_thread_per_worker

    one_thread_per_worker()
    from trialsim.experiments.calibrated_file import CalibratedFile
    from trialsim.experiments.calibration import calibrate as fit
    from trialsim.experiments.calibration import read_free
    from trialsim.experiments.targets import targets_of
    from trialsim.report.calibration import calibration_json, calibration_text

    loaded = load(design, overrides)
    free = [read_free(text) for text in free_texts]
    wanted = targets_of(targets or loaded.name)
    file = CalibratedFile(out, design, loaded, free, overrides) if out else None
    with progress_on(most, "tries") as progress:
        found = fit(
            loaded, wanted, free, all_targets=all_targets, replicates=replicates, seed=seed, workers=workers, most=most,
            progress=progress,
        )  # fmt: skip
    show(calibration_text(found) + "\n", calibration_json(found), as_json)
    if file is not None and out is not None:
        words = ["trialsim", "calibrate", design, "--targets", targets or loaded.name]
        words += [word for text in free_texts for word in ("--free", text)]
        words += [word for text in overrides for word in ("--set", text)]
        words += ["--all-targets"] if all_targets else []
        words += ["--replicates", str(replicates), "--most", str(most), "--seed", str(seed), "--out", str(out)]
        file.write(found, shlex.join(words))
        click.echo(f"{out}: written.", err=as_json)
