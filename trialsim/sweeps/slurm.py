"""A batch script that runs a sweep as a Slurm job array: no engine, no network, only shards and files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trialsim.errors import TrialsimError


@dataclass(frozen=True)
class Job:
    """What a user decides about the jobs. `setup` is a line of shell that makes the command `trialsim` available."""

    shards: int
    workers: int
    time: str
    memory: str
    partition: str | None = None
    account: str | None = None
    setup: str | None = None


def batch_script(file: str, name: str, out: Path, job: Job, *, overrides: Sequence[str] = ()) -> str:
    """The script's text. Each task of the array runs one shard into a folder of its own below `out`.

    A task that is killed or requeued goes on where it stopped, since the same command resumes. Raises TrialsimError for
    a text that would break the script.
    """
    settings = [job.time, job.memory, job.partition or "", job.account or "", job.setup or ""]
    if any("\n" in text for text in [file, name, str(out), *overrides, *settings]):
        raise TrialsimError("the batch script's settings must be single lines.")
    folder = shlex.quote(str(out))
    options = [
        f"--job-name=trialsim-{name}",
        f"--array=1-{job.shards}",
        "--ntasks=1",
        f"--cpus-per-task={job.workers}",
        f"--mem={job.memory}",
        f"--time={job.time}",
        *([f"--partition={job.partition}"] if job.partition else []),
        *([f"--account={job.account}"] if job.account else []),
        "--requeue",
        "--open-mode=append",
        f"--output={folder}/log-%a.txt",
    ]
    changes = "".join(f" --set {shlex.quote(text)}" for text in overrides)
    sweep = f"trialsim sweep {shlex.quote(file)}{changes} --out {folder}/shard-$SLURM_ARRAY_TASK_ID"
    together = f"trialsim merge {folder}/shard-* --out {folder}/merged"
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH {option}" for option in options),
            "#",
            "# Before:  mkdir -p " + folder + "    (Slurm does not make the folder of its logs)",
            "# After all tasks have ended, with the number that sbatch printed:",
            f"#   sbatch --dependency=afterany:NUMBER --wrap {shlex.quote(together)}",
            "# A task that failed or ran out of time: submit its number again (--array=17). It goes on from there.",
            "set -euo pipefail",
            "export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1",
            *([job.setup] if job.setup else []),
            # exec: the signals that Slurm sends reach trialsim itself
            f"exec {sweep} --shard $SLURM_ARRAY_TASK_ID/{job.shards} --workers {job.workers}",
            "",
        ]
    )
