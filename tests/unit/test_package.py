"""The names that Python users import."""

from __future__ import annotations

import pytest

import trialsim as ts


def test_the_names_of_the_package_stay_functions_after_their_first_use() -> None:
    """A submodule of the same name would take the function's place once it is imported."""
    design = ts.load_design("resolve", overrides=["sample_size=12", "arms.coach.delivery.coaches=1"])
    for _ in range(2):
        trial = ts.simulate(design, seed=1, engine="vector")
        experiment = ts.run(design, replicates=2)
        assert len(ts.analyse(trial)) == len(experiment.estimates.labels)
        assert ts.performance(experiment.estimates, skip_failed=True)
        assert "RESOLVE" in ts.describe(design, n_replicates=2)
    assert set(ts.__all__) <= set(dir(ts))
    assert all(getattr(ts, name) is not None for name in ts.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'simluate'"):
        _ = ts.simluate
