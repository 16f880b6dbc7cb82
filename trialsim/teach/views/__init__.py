"""What lessons compute: for each lesson the views of its page, by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from trialsim.teach.questions import View

LESSONS = (
    "why_randomize",
    "regression_to_the_mean",
    "power_and_p",
    "itt_and_compliers",
    "missing_data",
    "clusters_and_coaches",
    "too_few_coaches",
    "multiplicity",
    "published_and_simulated",
    "forty_percent_better",
)
"""The lessons in the order in which a course would have them; each has a module here."""


def views_of(lesson: str) -> Mapping[str, View]:
    """The views of a lesson, by name, in the order of the page."""
    views: Mapping[str, View] = import_module(f"{__name__}.{lesson}").VIEWS
    return views
