"""Settings and fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from typing import cast

import pytest
from hypothesis import HealthCheck, settings

from trialsim.block import ENGINES, EngineName

# The default run always tries the same examples; `HYPOTHESIS_PROFILE=search` looks for new ones.
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("default", derandomize=True, deadline=None, suppress_health_check=_SLOW)
settings.register_profile("search", deadline=None, suppress_health_check=_SLOW, max_examples=3_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# A run in the background may ignore Ctrl-C, and the commands that the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=ENGINES, scope="session")
def engine(request: pytest.FixtureRequest) -> EngineName:
    """Each engine in turn: what one test says holds for both."""
    return cast(EngineName, request.param)
