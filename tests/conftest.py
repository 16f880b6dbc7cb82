"""Settings and fixtures shared by all tests."""

from __future__ import annotations

import os
from typing import cast

import pytest
from hypothesis import HealthCheck, settings

from trialsim.block import ENGINES, EngineName

# The default run always tries the same examples; `HYPOTHESIS_PROFILE=search` looks for new ones.
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("default", derandomize=True, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("search", deadline=None, suppress_health_check=_SLOW, max_examples=3_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(params=ENGINES, scope="session")
def engine(request: pytest.FixtureRequest) -> EngineName:
    """Each engine in turn: what one test says holds for both."""
    return cast(EngineName, request.param)
