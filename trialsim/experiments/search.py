"""Search by simulation for the value of one design number at which power reaches a target.

The number may be a sample size, an effect, a number of coaches or clusters, a response rate: all this module knows is
a function that runs replicates at a value x and counts successes.

Method. Doubling and halving from a first guess brackets the target. Then a probit curve is fitted to all replicates,

    power(x) = Phi(a + b s(x)),    s = square root (sample sizes: the curve of a z test), identity or logarithm,

and after one batch well below and one well above, which tell slope and shape, replicates go where it crosses the target
(for the height of a curve at one point that is the best design), every third batch a little below or above. Points far
from the crossing count less, by a normal kernel in probits; if a quadratic term shows that the curve is no probit
curve, it becomes a local parabola. The search ends when the standard error of the fitted power at the crossing is small
enough, or, where power jumps, when the points on either side are known. The interval of x is Fieller's: all x at which
the fitted power does not differ from the target; on a plateau, where no curve can be trusted, it reaches to the nearest
points that do differ.

Every replicate number is used once, whatever x it is spent at, so that points are independent and the binomial errors
add up. The same `simulate` gives the same answer, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray
from scipy import special

from trialsim.experiments import search_curve
from trialsim.experiments.search_curve import Fit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Scale = Literal["sqrt", "linear", "log"]
Simulate = Callable[[float, int, int], tuple[int, int]]
"""(x, number of the first replicate, how many) -> (successes, replicates)."""
Progress = Callable[[int, float, float], None]
"""(replicates so far, fitted x or NaN, standard error of the fitted power there or NaN)."""

LARGEST = 1e6
"""Where doubling ends if no upper limit is given."""
Z95 = 1.959963984540054
# A limit counts as above or below the target when it is this many standard errors away: it is looked at repeatedly.
CLEAR = 3.3
# ... and seems to be when it is this many away.
SEEMS = 2.0
# Likelihood-ratio statistic from which power is taken to depend on x (p = 0.01).
SLOPED = 6.6
# ... and to go the other way.
BACKWARDS = 20.0
# Where batches go, in probits from the crossing: first far out, to see slope and shape, then in turn.
ANCHORS = (-1.0, 1.0)
OFFSETS = (0.0, 0.0, -0.25, 0.0, 0.0, 0.25)
# Points closer than this, in probits, are one point.
SAME = 0.05


class Power(NamedTuple):
    """A power and its Monte Carlo standard error."""

    value: float
    mcse: float


@dataclass(frozen=True, eq=False)
class Points:
    """What was simulated, in order of x; all arrays (P,)."""

    x: Floats
    n_replicates: Ints
    successes: Ints
    power: Floats
    mcse: Floats


@dataclass(frozen=True, eq=False)
class Curve:
    """The fitted curve with its pointwise 95 % band, where it holds; all arrays (C,), C = 0 if there is none."""

    x: Floats
    fitted: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Answer:
    """`x` reaches the target: `x_hat`, where the curve crosses, rounded to the safe side if x is a whole number.

    Where the target is not reached x is NaN and `power_at` tells of the limit nearest to it; where all of the range is
    above the target x is the limit that needs least. `stopped` says why the search ended.
    """

    x: float
    x_hat: float
    ci_low: float
    ci_high: float
    power_at: Power
    points: Points
    curve: Curve
    n_replicates: int
    stopped: str

    @property
    def found(self) -> bool:
        return math.isfinite(self.x)


def find(
    simulate: Simulate,
    *,
    target: float,
    low: float,
    high: float | None,
    start: float | None = None,
    integer: bool,
    increasing: bool = True,
    mcse: float = 0.005,
    max_replicates: int,
    batch: int = 256,
    scale: Scale = "sqrt",
    progress: Progress | None = None,
) -> Answer:
    """Search `low` ... `high` for the x at which power reaches `target`.

    `high` None doubles up to 1,000,000. `start` is a first guess (a closed form); the middle unless given. `increasing`
    says whether power rises with x. `mcse` is the standard error of the fitted power at the answer; about
    target (1 - target) / mcse^2 replicates are the least that can give it, and no more than `max_replicates` are run,
    `batch` at a time (a quarter of it while bracketing). ValueError for arguments that make no sense.
    """
    axis = _Axis(scale, integer, 1 if increasing else -1, low, LARGEST if high is None else high)
    _check(target, mcse, max_replicates, batch, axis, start)
    start = axis.middle(bounded=high is not None) if start is None else start
    axis = replace(axis, grain=(start - axis.origin) / 200 or (1.0 if high is None else (high - low) / 200))
    return _Search(simulate, axis, target, mcse, max_replicates, batch, progress).run(start)


def _check(target: float, mcse: float, max_replicates: int, batch: int, axis: _Axis, start: float | None) -> None:
    if not 0 < target < 1:
        raise ValueError("target must be between 0 and 1")
    if not mcse > 0 or max_replicates < 1 or batch < 1:
        raise ValueError("mcse, max_replicates and batch must be above 0")
    lowest = {"sqrt": 0.0, "linear": -math.inf, "log": 5e-324}[axis.scale]
    if not (math.isfinite(axis.low) and math.isfinite(axis.high) and lowest <= axis.low < axis.high):
        raise ValueError(f"low and high must be finite, in order and fit for the scale {axis.scale}")
    if axis.integer and math.ceil(axis.low) > math.floor(axis.high):
        raise ValueError("there is no whole number between low and high")
    if start is not None and not axis.low <= start <= axis.high:
        raise ValueError("start must be between low and high")


@dataclass(frozen=True)
class _Axis:
    """x and its place u on the scale of the curve, on which power rises."""

    scale: Scale
    integer: bool
    sign: int
    low: float
    high: float
    grain: float = 0.0  # distance from the origin below which halving goes to the limit

    @property
    def origin(self) -> float:
        """What is doubled and halved is the distance from here."""
        return self.low if self.scale == "linear" else 0.0

    def u(self, x: float) -> float:
        if self.scale == "sqrt":
            return self.sign * math.sqrt(x)
        return self.sign * (math.log(x) if self.scale == "log" else x)

    def x(self, u: float) -> float:
        """Within the limits."""
        value = self.sign * u
        if self.scale == "sqrt":
            value = max(value, 0.0) ** 2
        elif self.scale == "log":
            value = math.exp(min(value, 700.0))
        return float(min(max(value, self.low), self.high))

    def limit(self, way: int) -> float:
        """End of the range with more (way 1) or less (way -1) power."""
        return self._settled(self.high if way * self.sign > 0 else self.low)

    def middle(self, *, bounded: bool) -> float:
        if bounded:
            return self.x((self.u(self.low) + self.u(self.high)) / 2)
        return min(max(4 * self.low, self.low + 1), self.high)

    def step(self, x: float, way: int) -> float:
        """Twice or half as far from the origin, towards more (way 1) or less (way -1) power, within the limits."""
        up = way * self.sign > 0
        away = max(x - self.origin, self.grain) * (2.0 if up else 0.5)
        if away < self.grain:
            return self.limit(way)
        stepped = self.point(self.origin + away)
        return stepped if stepped != x else self._settled(x + (1 if up else -1))

    def point(self, x: float) -> float:
        """To three digits, so that replicates gather at few points, and whole if x is; within the limits."""
        return self._settled(round(self.origin + float(f"{x - self.origin:.3g}"), 12))

    def _settled(self, x: float) -> float:
        low, high = (math.ceil(self.low), math.floor(self.high)) if self.integer else (self.low, self.high)
        return float(min(max(round(x) if self.integer else x, low), high))

    def whole(self, x: float) -> float:
        """If x is a whole number, the next one with at least its power; within the limits."""
        if not self.integer:
            return x
        return self._settled(math.ceil(x - 1e-9) if self.sign > 0 else math.floor(x + 1e-9))


class _Search:
    """The replicates so far, and what to do next."""

    def __init__(
        self,
        simulate: Simulate,
        axis: _Axis,
        target: float,
        mcse: float,
        max_replicates: int,
        batch: int,
        progress: Progress | None,
    ) -> None:
        self.simulate, self.axis, self.target, self.mcse = simulate, axis, target, mcse
        self.left, self.batch, self.progress = max_replicates, batch, progress
        self.eta = float(special.ndtri(target))
        self.first = 0
        self.done: dict[float, tuple[int, int]] = {}  # x -> (successes, replicates)
        self.turn = 0

    def run(self, start: float) -> Answer:
        self._bracket(self.axis.point(start))
        while True:
            fit = self._fit()
            stopped = self._reason_to_stop(fit)
            if stopped is not None:
                return self._answer(fit, stopped)
            self._add(self._next(fit), self.batch, fit)

    # --- replicates ---------------------------------------------------------------------------------------------------

    def _add(self, x: float, n: int, fit: Fit | None = None) -> None:
        n = min(n, self.left)
        successes, ran = self.simulate(x, self.first, n)
        if not (0 <= successes <= ran and ran > 0):  # also catches NaN
            raise ValueError(f"simulate({x:g}, {self.first}, {n}) gave {successes} successes of {ran}")
        before = self.done.get(x, (0, 0))
        self.done[x] = (before[0] + int(successes), before[1] + int(ran))
        self.first, self.left = self.first + n, self.left - n
        if self.progress is not None:
            u = fit.crossing(self.eta) if _rises(fit) else math.nan
            known = (self.axis.x(u), fit.power(u)[1]) if _rises(fit) else (math.nan, math.nan)
            self.progress(self.first, *known)

    def _power(self, x: float) -> Power:
        successes, n = self.done[x]
        p = successes / n
        inside = min(max(p, 1 / (n + 2)), 1 - 1 / (n + 2))
        return Power(p, math.sqrt(inside * (1 - inside) / n))

    def _arrays(self) -> tuple[Floats, Floats, Floats, Floats]:
        """x, u, successes and replicates of the points, by x."""
        x = np.array(sorted(self.done))
        counts = np.array([self.done[value] for value in x], dtype=float).reshape(-1, 2)
        return x, np.array([self.axis.u(value) for value in x]), counts[:, 0], counts[:, 1]

    # --- where next ---------------------------------------------------------------------------------------------------

    def _bracket(self, x: float) -> None:
        """Small batches at twice or half until the target has been passed or a limit met."""
        self._add(x, max(self.batch // 4, 1))
        way = -1 if self._power(x).value >= self.target else 1
        while self.left and x != self.axis.limit(way):
            x = self.axis.step(x, way)
            self._add(x, max(self.batch // 4, 1))
            if (self._power(x).value >= self.target) == (way == 1):
                return

    def _wrong_limit(self) -> float | None:
        """The limit with most power if even there it is below the target, or with least if even there above."""
        for way in (1, -1):
            limit = self.axis.limit(way)
            if limit in self.done and way * self._above(limit) < -CLEAR:
                return limit
        return None

    def _above(self, x: float) -> float:
        """Distance of the power at x from the target, in standard errors as they are at the target."""
        successes, n = self.done[x]
        return (successes / n - self.target) / math.sqrt(self.target * (1 - self.target) / n)

    def _fit(self) -> Fit | None:
        _, u, successes, n = self._arrays()
        return search_curve.fit(u, successes, n, self.eta) if len(u) > 1 else None

    def _next(self, fit: Fit | None) -> float:
        wrong = self._wrong_limit()
        if wrong is not None:
            return wrong
        if not _rises(fit):
            return self._outward()
        offset = ANCHORS[self.turn] if self.turn < len(ANCHORS) else OFFSETS[self.turn % len(OFFSETS)]
        self.turn += 1
        aim = fit.crossing(self.eta) + offset / fit.slope
        return self._gathered(aim, fit)

    def _gathered(self, u: float, fit: Fit) -> float:
        """A point at u, not much beyond those tried, or the one tried before that is as good as there."""
        tried = sorted(self.done, key=self.axis.u)
        for beyond, way in ((tried[0], -1), (tried[-1], 1)):
            furthest = self.axis.step(beyond, way)
            if way * (u - self.axis.u(furthest)) >= 0:
                return furthest
        nearest = min(tried, key=lambda x: abs(self.axis.u(x) - u))
        return nearest if abs(self.axis.u(nearest) - u) * fit.slope < SAME else self.axis.point(self.axis.x(u))

    def _outward(self) -> float:
        """Power does not yet depend on x: look again at a limit that seems to be on the wrong side of the target, else
        go beyond what was tried, then to the limit with fewer replicates."""
        tried = sorted(self.done, key=self.axis.u)
        ends = {-1: self.axis.step(tried[0], -1), 1: self.axis.step(tried[-1], 1)}
        for way, end in ends.items():
            if end in self.done and way * self._above(end) < -SEEMS:
                return end
        return min(ends.values(), key=lambda x: self.done.get(x, (0, 0))[1])

    # --- the end ------------------------------------------------------------------------------------------------------

    def _reason_to_stop(self, fit: Fit | None) -> str | None:
        if fit is not None and fit.slope < 0 and fit.gain > BACKWARDS:
            return f"power {'falls' if self.axis.sign > 0 else 'rises'} as x grows: it goes the other way"
        wrong = self._wrong_limit()
        if wrong is not None and self._power(wrong).mcse <= 2 * self.mcse:
            return self._limit_words(wrong, self._power(wrong))
        if _rises(fit) and self._precise(fit):
            return self._beyond(fit) or "mcse reached"
        if not _rises(fit) and self._limits_known():
            return self._flat_words()
        return None if self.left else "budget used"

    def _precise(self, fit: Fit) -> bool:
        return fit.power(fit.crossing(self.eta))[1] <= self.mcse or self._settled(fit) is not None

    def _settled(self, fit: Fit) -> float | None:
        """The answer if the curve crosses between two points, known to be below and above, with no other between."""
        u = fit.crossing(self.eta)
        below = [x for x in self.done if self.axis.u(x) < u and self._above(x) < -CLEAR]
        above = [x for x in self.done if self.axis.u(x) >= u and self._above(x) > CLEAR]
        if not below or not above:
            return None
        last, next_ = max(below, key=self.axis.u), min(above, key=self.axis.u)
        together = self.axis.point((last + next_) / 2) in (last, next_)
        return next_ if together and self._power(next_).mcse <= self.mcse else None

    def _limits_known(self) -> bool:
        limits = [self.axis.limit(way) for way in (-1, 1)]
        return all(x in self.done and self._power(x).mcse <= self.mcse for x in limits)

    def _limit_words(self, x: float, power: Power) -> str:
        if x == self.axis.limit(1):
            return f"not reachable: even at the {self._side(x)} limit power is {_words(power)}"
        return f"already above the target at the {self._side(x)} limit: power is {_words(power)}"

    def _side(self, x: float) -> str:
        return "upper" if x == self.axis.limit(self.axis.sign) else "lower"

    def _flat_words(self) -> str:
        parts = [f"{_words(self._power(x))} at {x:g}" for x in map(self.axis.limit, (-self.axis.sign, self.axis.sign))]
        return "flat: power is " + " and ".join(parts)

    def _beyond(self, fit: Fit) -> str | None:
        """The curve crosses outside the limits."""
        u = fit.crossing(self.eta)
        for way in (1, -1):
            limit = self.axis.limit(way)
            if way * (u - self.axis.u(limit)) > 0:
                return self._limit_words(limit, Power(*fit.power(self.axis.u(limit))))
        return None

    def _answer(self, fit: Fit | None, stopped: str) -> Answer:
        reached = _rises(fit) and fit.crossing(self.eta) <= self.axis.u(self.axis.limit(1))
        if _rises(fit) and reached and stopped in ("mcse reached", "budget used"):
            x, x_hat, low, high, power = self._crossing(fit)
        else:
            x, x_hat, low, high, power = self._no_crossing(fit, stopped)
        return Answer(
            x=x,
            x_hat=x_hat,
            ci_low=low,
            ci_high=high,
            power_at=power,
            points=self._points(),
            curve=self._curve(fit),
            n_replicates=self.first,
            stopped=stopped,
        )

    def _crossing(self, fit: Fit) -> tuple[float, float, float, float, Power]:
        """x, x_hat, its interval, and the power at x."""
        x_hat = self.axis.x(fit.crossing(self.eta))
        ends = sorted(self._between(x_hat) if fit.doubtful else map(self.axis.x, fit.interval(self.eta, Z95)))
        settled = self._settled(fit)
        if settled is not None:
            return settled, x_hat, ends[0], ends[1], self._power(settled)
        x = self.axis.whole(x_hat)
        return x, x_hat, ends[0], ends[1], Power(*fit.power(self.axis.u(x)))

    def _between(self, x_hat: float) -> tuple[float, float]:
        """The points around x_hat that are below and above the target for certain, or the limits: no curve assumed."""
        u = self.axis.u(x_hat)
        below = [x for x in self.done if self.axis.u(x) < u and self._above(x) < -Z95]
        above = [x for x in self.done if self.axis.u(x) > u and self._above(x) > Z95]
        return (
            max(below, key=self.axis.u, default=self.axis.limit(-1)),
            min(above, key=self.axis.u, default=self.axis.limit(1)),
        )

    def _no_crossing(self, fit: Fit | None, stopped: str) -> tuple[float, float, float, float, Power]:
        way = -1 if stopped.startswith("already") else 1
        limit = self.axis.limit(way)
        power = Power(math.nan, math.nan)
        if limit in self.done:
            power = self._power(limit)
        elif _rises(fit):
            power = Power(*fit.power(self.axis.u(limit)))
        return limit if way == -1 else math.nan, math.nan, math.nan, math.nan, power

    def _points(self) -> Points:
        x, _, successes, n = self._arrays()
        powers = [self._power(value) for value in x]
        return Points(
            x=x,
            n_replicates=n.astype(np.int64),
            successes=successes.astype(np.int64),
            power=np.array([p.value for p in powers]),
            mcse=np.array([p.mcse for p in powers]),
        )

    def _curve(self, fit: Fit | None, n: int = 61) -> Curve:
        if not _rises(fit):
            return Curve(*(np.zeros(0) for _ in range(4)))
        _, u, _, _ = self._arrays()
        reach = 1 / fit.slope if fit.curved else math.inf
        ends = np.clip(np.array([-reach, reach]) + fit.crossing(self.eta), u.min(), u.max())
        places = np.linspace(ends[0], ends[1], n)[:: self.axis.sign]
        eta, error = fit.eta(places)
        band = special.ndtr(eta), special.ndtr(eta - Z95 * error), special.ndtr(eta + Z95 * error)
        return Curve(np.array([self.axis.x(float(place)) for place in places]), *band)


def _rises(fit: Fit | None) -> TypeGuard[Fit]:
    """Whether power clearly rises with u."""
    return fit is not None and fit.slope > 0 and fit.gain > SLOPED


def _words(power: Power) -> str:
    """A power with its 95 % interval."""
    low, high = max(power.value - Z95 * power.mcse, 0.0), min(power.value + Z95 * power.mcse, 1.0)
    return f"{power.value:.2f} ({low:.2f} to {high:.2f})"
