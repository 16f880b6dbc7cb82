"""A sweep file becomes a checked Sweep: every mistake is found before anything runs, for every point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trialsim.design.library import SourceError, locate, read_bytes
from trialsim.design.overrides import mark_of, overridden
from trialsim.design.reader import File, checked, read_file, refusal, resolved_yaml
from trialsim.design.yamltree import Finding, Node, printable, read_tree, read_value, shown
from trialsim.sweeps.axes import Expansion, Row
from trialsim.sweeps.parts import SweepFile
from trialsim.sweeps.points import Origin, points_of
from trialsim.sweeps.sweep import Sweep

SHELF = "sweeps"
"""The library's folder of sweep files."""


def read_sweep(source: str | Path, *, overrides: Sequence[str] = ()) -> Sweep:
    """The sweep of a file (a path ending in .yaml or .yml) or of the library (a bare name), with every point's design.

    Each override is "key=VALUE" on the keys of the sweep file; "set.a.b=VALUE" sets a value of every design. Raises
    DesignError with every fault of the sweep file; where it has none, of the base design's file, then of the axes,
    then of all points. Raises TrialsimError if there is no such file.
    """
    path = locate(source, shelf=SHELF)
    names = [printable(str(path)), *(str(mark_of(text)) for text in overrides)]
    root, file = _read(path, names, overrides)
    origin = Origin(
        base=_base(root, file, folder=path.parent, names=names),
        always=_under(root, "set"),
        packs={name: _under(root, "scenarios", name) for name in file.scenarios},
        seed=file.seed,
        common_random_numbers=file.common_random_numbers,
    )
    expansion = Expansion(file, root, base=origin.root, folder=path.parent)
    names += expansion.sources
    if expansion.findings:
        raise refusal(expansion.findings, names)
    points = points_of(origin, expansion.points(), names=names, at=_under(root)["axes"].key_mark)
    return Sweep(
        name=file.name,
        points=points,
        replicates=file.most_replicates,
        target_mcse=file.target_mcse,
        seed=file.seed,
        common_random_numbers=file.common_random_numbers,
        tables=file.tables,
        text=resolved_yaml(file.model_copy(update={"replicates": file.most_replicates})),
    )


def sweep_schema() -> dict[str, Any]:
    """JSON Schema (Draft 2020-12) of a sweep file, for editors that complete and check YAML."""
    schema = SweepFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "trialsim sweep"}


def _read(path: Path, names: Sequence[str], overrides: Sequence[str]) -> tuple[Node, SweepFile]:
    """The sweep file as a tree, and checked by itself."""
    root, findings = read_tree(read_bytes(path), source=names[0])
    if root is None:
        raise refusal(findings, names)
    for text in overrides:
        root, found = _overridden(root, text)
        findings.extend(found)
    return root, checked(SweepFile, root, findings=findings, names=names)


def _overridden(root: Node, text: str) -> tuple[Node, list[Finding]]:
    """The sweep file with an override applied; what stands after "set." is one key of `set`."""
    where, equals, value = text.partition("=")
    head, _, path = where.strip().partition(".")
    if head != "set" or not path or not equals or not isinstance(root.content, dict):
        return overridden(root, text, model=SweepFile)
    read = read_value(value, mark=mark_of(text))
    findings = [replace(finding, path=("set", path, *finding.path)) for finding in read.findings]
    if read.root is None:
        return root, findings
    always = root.child("set") or Node({}, read.root.mark, read.root.mark)
    if isinstance(always.content, dict):  # else the file's own `set` is at fault, and is told
        always = replace(always, content={**always.content, path: read.root})
    return replace(root, content={**root.content, "set": always}), findings


def _base(root: Node, file: SweepFile, *, folder: Path, names: Sequence[str]) -> File:
    """The base design's data, readable but not checked: a point may need more than the base has."""
    try:
        base = read_file(locate(file.base, base=folder))
    except SourceError as error:
        fault = Finding(_under(root)["base"].mark, ("base",), error.rule, error.hint, shown(file.base))
        raise refusal([fault], names) from error
    if base.findings:
        raise refusal(base.findings, base.names)
    return base


def _under(root: Node, *path: str) -> Row:
    """The values by key of a mapping of the file; empty if it is not there."""
    node: Node | None = root
    for part in path:
        node = node.child(part) if node else None
    return node.content if node is not None and isinstance(node.content, dict) else {}
