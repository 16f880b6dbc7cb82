"""Progress of long work on standard error: a bar on a terminal, now and then a plain line in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

LINE_EVERY_SECONDS = 30.0


@contextmanager
def progress_on(total: int, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A function (done, total) to call as work goes on. Work of a single item shows nothing."""
    if total <= 1:
        yield lambda done, of: None
    elif sys.stderr.isatty():
        with _bar(total, unit) as update:
            yield update
    else:
        yield _lines(unit)


@contextmanager
def _bar(total: int, unit: str) -> Iterator[Callable[[int, int], None]]:
    with click.progressbar(length=total, label=unit, file=sys.stderr, show_pos=True) as bar:

        def update(done: int, of: int) -> None:
            if of != bar.length:
                bar.length, bar.pos = of, 0
            bar.update(max(0, done - bar.pos))

        yield update


def _lines(unit: str) -> Callable[[int, int], None]:
    started = time.monotonic()
    last = [started]

    def update(done: int, of: int) -> None:
        now = time.monotonic()
        if now - last[0] >= LINE_EVERY_SECONDS:
            last[0] = now
            rate = done / (now - started)
            left = (of - done) / rate if rate > 0 else 0.0
            click.echo(f"{done} of {of} {unit}, {rate:.1f} per second, {left:.0f} s left", err=True)

    return update
