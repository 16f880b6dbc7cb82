"""What `trialsim run` prints of a small trial, word for word. Renewed by scripts/update_golden.py."""

from __future__ import annotations

from golden import golden
from golden.small_trial import small_trial
from trialsim.experiments.runner import run
from trialsim.report.summary import summary_text


def test_the_summary_of_one_replicate() -> None:
    text = summary_text(run(small_trial(), seed=1, replicates=1, engine="process"))
    assert text == golden("run_one.txt", text)


def test_the_summary_of_twenty_replicates() -> None:
    text = summary_text(run(small_trial(), seed=1, replicates=20))
    assert text == golden("run_twenty.txt", text)
