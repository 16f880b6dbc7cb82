"""Choosing between two values by flags, by arithmetic.

`np.where` branches on every flag; flags that are luck make the processor guess wrongly again and again, which costs ten
times the work itself. Where nearly all flags are alike `np.where` is as quick, and plainer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trialsim.world.formulas import Bools


def choose(flags: Bools, yes: Any, no: Any) -> NDArray[Any]:
    """`yes` where flagged, else `no`: whole numbers of one type that can hold their difference; shapes broadcast."""
    return np.asarray((yes - no) * flags + no)
