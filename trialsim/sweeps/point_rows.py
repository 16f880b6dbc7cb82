"""The table of a sweep's design points."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from trialsim.sweeps.sweep import DesignPoint
from trialsim.tables import DESIGN_POINT


def points_table(points: Sequence[DesignPoint], per_file: Sequence[int]) -> pa.Table:
    """A row per design point: number, label, digest, seed, what the axes set, and its design."""
    columns: dict[str, pa.Array] = {
        "design_point": pa.array([point.number for point in points], type=pa.int32()),
        "label": pa.array([point.label for point in points], type=pa.string()),
        "design_digest": pa.array([point.digest for point in points], type=pa.string()),
        "seed": pa.array([str(point.seed) for point in points], type=pa.string()),
    }
    for path in dict.fromkeys(path for point in points for path in point.values):
        columns[path] = _axis([point.values.get(path) for point in points])
    columns["replicates_per_file"] = pa.array(per_file, type=pa.int32())
    columns["design"] = pa.array([point.design.model_dump_json() for point in points], type=pa.string())
    fields = [
        pa.field(name, column.type, metadata={"meaning": _POINT_COLUMNS.get(name, _OF_AXIS), "unit": ""})
        for name, column in columns.items()
    ]
    return pa.table(list(columns.values()), schema=pa.schema(fields))


_OF_AXIS = "value set by the sweep"
_POINT_COLUMNS = {
    "design_point": DESIGN_POINT.meaning,
    "label": "what distinguishes it from the others",
    "design_digest": "identifies the resolved design",
    "seed": "seed of its replicates",
    "replicates_per_file": "replicates of a full file",
    "design": "resolved design, as JSON",
    "scenario": "scenario pack",
}


def _axis(values: list[Any]) -> pa.Array:
    """Numbers as float64, true and false as bool, anything else as text; null where a point does not set it."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return pa.array(values, type=pa.bool_())
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return pa.array([None if value is None else float(value) for value in values], type=pa.float64())
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pa.array(texts, type=pa.string())
