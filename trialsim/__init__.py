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
    "tipping_point": ("trialsim.trial", "tipping_point"),
    "run": ("trialsim.experiments.runner", "run"),
    "performance": ("trialsim.experiments.performance", "performance"),
    "run_to_precision": ("trialsim.experiments.precision", "run_to_precision"),
    "superpopulation": ("trialsim.experiments.superpopulation", "superpopulation"),
    "decide": ("trialsim.experiments.decisions", "decide"),
    "null_designs": ("trialsim.experiments.nulls", "null_designs"),
    "compare_designs": ("trialsim.experiments.versus", "compare_designs"),
    "find_size": ("trialsim.experiments.size", "find_size"),
    "assurance": ("trialsim.experiments.size", "assurance"),
    "read_prior": ("trialsim.experiments.size", "read_prior"),
    "open_results": ("trialsim.sweeps.reading", "open_results"),
    "Results": ("trialsim.sweeps.reading", "Results"),
    "describe": ("trialsim.report.describe", "describe"),
    "TrialsimError": ("trialsim.errors", "TrialsimError"),
    "DesignError": ("trialsim.errors", "DesignError"),
}

__all__ = [
    "Design", "DesignError", "Results", "TrialData", "TrialsimError", "__version__", "analyse", "assurance",
    "compare_designs", "decide", "describe", "find_size", "library", "load_design", "null_designs", "open_results",
    "performance", "read_prior", "run", "run_to_precision", "simulate", "superpopulation", "tipping_point",
]  # fmt: skip

if TYPE_CHECKING:
    from trialsim.design.library import library
    from trialsim.design.parts import Design
    from trialsim.design.reader import read_design as load_design
    from trialsim.errors import DesignError, TrialsimError
    from trialsim.experiments.decisions import decide
    from trialsim.experiments.nulls import null_designs
    from trialsim.experiments.performance import performance
    from trialsim.experiments.precision import run_to_precision
    from trialsim.experiments.runner import run
    from trialsim.experiments.size import assurance, find_size, read_prior
    from trialsim.experiments.superpopulation import superpopulation
    from trialsim.experiments.versus import compare_designs
    from trialsim.report.describe import describe
    from trialsim.sweeps.reading import Results, open_results
    from trialsim.trial import TrialData, analyse, simulate, tipping_point


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'trialsim' has no attribute '{name}'")
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
