"""One uniform for several sessions: what follows is as likely, whatever came before."""

from __future__ import annotations

import numpy as np
from designs import coached, design, online, usual
from helpers import run
from numpy.typing import NDArray

from trialsim.world import formulas
from trialsim.world.courses import Course

Z = 4.5


def course(arm: object) -> Course:
    """Courses of 16,000 people in an arm of 20 sessions."""
    block = run(design(arms={"a": arm, "usual": usual()}, sample_size=1_000), n=16)
    found = block.plan.courses[0]
    assert found is not None
    return found


def near(flags: NDArray[np.bool_], prob: float) -> bool:
    """Whether a share is as expected, within chance."""
    assert len(flags) > 200
    return bool(abs(flags.mean() - prob) <= Z * np.sqrt(prob * (1 - prob) / len(flags)))


def test_what_is_left_of_a_uniform_is_uniform() -> None:
    grid = (np.arange(200_000) + 0.5) / 200_000
    failures = formulas.geometric_failures(grid, 0.4, 5)
    rest = formulas.geometric_rest(grid, 0.4, failures)
    for k in range(5):
        mine = np.sort(rest[failures == k])
        assert np.abs(mine - (np.arange(len(mine)) + 0.5) / len(mine)).max() < 2 / len(mine)


def test_missed_appointments_of_a_long_course_are_independent() -> None:
    found = course(coached(sessions=20, no_show_prob=0.3, max_reschedules=2, arm={"stop_prob": 0.0}))
    missed = np.diff(found.day, axis=0) // 7 - 1  # (19, N, R) before each session but the first
    for k in range(1, 19):
        goes_on = found.n_held > k + 1
        for before in range(3):
            some = goes_on & (missed[k - 1] == before)
            if some.sum() > 200:  # of at most two missed, for three end the course
                assert near((missed[k] >= 1)[some], (0.3 - 0.3**3) / (1 - 0.3**3)), (k, before)
        assert near((found.n_held == k + 1)[found.n_held >= k + 1], 0.3**3)


def test_stopping_does_not_depend_on_the_session() -> None:
    found = course(coached(sessions=20, arm={"stop_prob": 0.1}))
    for k in range(1, 20):
        assert near((found.n_held == k)[found.n_held >= k], 0.1), k


def test_who_is_brought_back_stalls_again_as_likely_as_others() -> None:
    calls = {"max_calls": 3, "call_success_prob": 0.6, "call_after_days": 1, "access_days": 20_000}
    found = course(online(sessions=20, **calls, arm={"start_prob": 0.7, "stop_prob": 0.2}))
    for first, then in zip(found.stalls, found.stalls[1:], strict=False):
        assert near(first.n_calls == 1, 0.6), first.session
        assert near((first.n_calls == 2)[first.n_calls > 1], 0.6), first.session
        stalls = np.zeros(found.n_held.size, dtype=bool)
        stalls[then.who] = True
        goes_on = (found.n_held > first.session).ravel()
        back = np.zeros_like(goes_on)
        back[first.who] = True
        for some in (goes_on & back, goes_on & ~back):
            assert near(stalls[some], 0.2), first.session
