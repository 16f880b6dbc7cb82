"""trialsim: run a pragmatic clinical trial before you run it.

    >>> import trialsim as ts
    >>> design = ts.load_design("resolve")
    >>> trial = ts.simulate(design, seed=1, replicate=0, engine="vector")
    >>> trial.participants, trial.table("events"), ts.analyse(trial)   # doctest: +SKIP

Names are loaded when first used, so that importing trialsim is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "load_design": ("trialsim.design.reader", "read_design"),
    "library": ("trialsim.design.library", "library"),
    "Design": ("trialsim.design.parts", "Design"),
    "simulate": ("trialsim.trial", "simulate"),
    "TrialData": ("trialsim.trial", "TrialData"),
    "analyse": ("trialsim.trial", "analyse"),
    "run": ("trialsim.experiments.runner", "run"),
    "performance": ("trialsim.experiments.performance", "performance"),
    "describe": ("trialsim.report.describe", "describe"),
    "TrialsimError": ("trialsim.errors", "TrialsimError"),
    "DesignError": ("trialsim.errors", "DesignError"),
}

__all__ = ["Design", "DesignError", "TrialData", "TrialsimError", "__version__", "analyse", "describe", "library"]
__all__ += ["load_design", "performance", "run", "simulate"]

if TYPE_CHECKING:
    from trialsim.design.library import library
    from trialsim.design.parts import Design
    from trialsim.design.reader import read_design as load_design
    from trialsim.errors import DesignError, TrialsimError
    from trialsim.experiments.performance import performance
    from trialsim.experiments.runner import run
    from trialsim.report.describe import describe
    from trialsim.trial import TrialData, analyse, simulate


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'trialsim' has no attribute '{name}'")
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
