"""What is different in another bundle: contents, calibration, figures, and what it would decide.

For whoever is asked to roll out a version: two model cards side by side tell less than the lines in
which they differ, and neither tells whether the same cell is called something else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.bundle import ROLES, Bundle, RoleName, load_bundle
from edge_daemon.contract.golden import INPUT, golden_set
from edge_daemon.contract.roles import ClassifierRole, DetectorRole
from edge_daemon.contract.terms import KINDS
from edge_daemon.vision.classify import judge_cells
from edge_daemon.vision.detect import decode
from exporter.graphs.reference import ReferenceSession

_SHOWN_DIGITS = 4


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same."""

    topic: str
    """``contents``, ``calibration``, ``figures`` or ``decisions``."""
    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.what}: {self.before} -> {self.after}"


def differences(before: Path, after: Path) -> tuple[Difference, ...]:
    """All that is different in ``after``, topic by topic.

    Raises:
        BundleError: one of them is not a sound bundle.
        ExportError: a graph in it cannot be run.
    """
    old, new = load_bundle(before), load_bundle(after)
    return (
        *_contents(old, new),
        *_calibration(old, new),
        *_figures(old, new),
        *_decisions(old, new),
    )


def _contents(old: Bundle, new: Bundle) -> Iterator[Difference]:
    names = [f"{role} {precision}" for role in ROLES for precision in ("fp32", "fp16", "int8")]
    for name in names:
        before, after = (_graph(bundle, *name.split()) for bundle in (old, new))
        if before != after:
            yield Difference("contents", f"graph of {name}", before, after)
    sizes = [sum(entry.bytes for entry in b.manifest.files.values()) / 1e6 for b in (old, new)]
    if abs(sizes[0] - sizes[1]) >= 0.05:
        yield Difference("contents", "size", *(f"{size:.1f} MB" for size in sizes))
    groups = [bundle.manifest.provenance.train_groups_sha256 or "unknown" for bundle in (old, new)]
    if groups[0] != groups[1]:
        yield Difference("contents", "patients in training", *(one[:12] for one in groups))
    stains = [_stain(bundle) for bundle in (old, new)]
    if stains[0] != stains[1]:
        yield Difference("contents", "stain taught", *stains)


def _graph(bundle: Bundle, role: str, precision: str) -> str:
    """Digest of a graph, short; devices build their engines anew where it changes."""
    models = getattr(bundle.manifest.roles, role)
    if models is None or precision not in models.models:
        return "none"
    return bundle.manifest.files[models.models[precision]].sha256[:12]


def _stain(bundle: Bundle) -> str:
    """Colour of red cells and how far it spreads: enough to see that it is another stain."""
    stain = bundle.manifest.stain
    if stain is None:
        return "none"
    lab = ", ".join(f"{value:.1f}" for value in stain.red_cells.lab)
    return f"red cells Lab {lab} +- {stain.red_cells.spread:.1f}, {stain.frames} frames"


def _calibration(old: Bundle, new: Bundle) -> Iterator[Difference]:
    for role in _in_both(old, new):
        before, after = (_flat(_read_by(b, role)) for b in (old, new))
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                values = (str(one.get(name, "none")) for one in (before, after))
                yield Difference("calibration", f"{role} {name}", *values)


def _read_by(bundle: Bundle, role: RoleName) -> dict[str, Any]:
    """How the answers of a role are read, in each precision that is read in its own way."""
    content = bundle.role(role).model_dump(mode="json", exclude={"models"})
    return {**content.pop("spec"), **content.pop("calibrations", {})}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    return {
        name: inner
        for key, one in value.items()
        for name, inner in _flat(one, f"{path}.{key}" if path else key).items()
    }


def _figures(old: Bundle, new: Bundle) -> Iterator[Difference]:
    before, after = old.manifest.metrics, new.manifest.metrics
    for name in sorted(before.keys() | after.keys()):
        values = before.get(name, math.nan), after.get(name, math.nan)
        shown = tuple("none" if math.isnan(v) else f"{v:.{_SHOWN_DIGITS}g}" for v in values)
        if shown[0] != shown[1]:
            yield Difference("figures", name, *shown)


def _decisions(old: Bundle, new: Bundle) -> Iterator[Difference]:
    """What each says of both golden sets, where both take such pictures."""
    for role in _in_both(old, new):
        for pictures in _pictures(role, old, new):
            before, after = (_said(bundle, role, pictures) for bundle in (old, new))
            changed = Counter(
                pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]
            )
            for (was, becomes), count in sorted(changed.items()):
                what = f"{role}, {count} of {len(before)} golden answers"
                yield Difference("decisions", what, was, becomes)


def _in_both(old: Bundle, new: Bundle) -> Iterator[RoleName]:
    yield from (role for role in ROLES if role in old.roles and role in new.roles)


def _pictures(role: RoleName, old: Bundle, new: Bundle) -> list[NDArray[np.uint8]]:
    """The golden inputs of both, each once; none where the two take different shapes."""
    sets = [golden_set(bundle.golden, role)[INPUT] for bundle in (old, new)]
    if sets[0].shape[1:] != sets[1].shape[1:]:
        return []
    return sets[:1] if np.array_equal(sets[0], sets[1]) else sets


def _said(bundle: Bundle, role: RoleName, pictures: NDArray[np.uint8]) -> list[str]:
    """Of each crop its label, of a frame how many cells of each kind."""
    spec = bundle.role(role).spec
    session = ReferenceSession(bundle.model(role, "fp32"))
    if isinstance(spec, ClassifierRole):
        answers = session.run(pictures)
        return list(judge_cells(answers["logits"], spec, answers.get("novelty")).labels)
    return [_cells(session, spec, picture) for picture in pictures]


def _cells(session: ReferenceSession, spec: DetectorRole, picture: NDArray[np.uint8]) -> str:
    found = decode(session.run(picture[None]), spec, 1.0, *picture.shape[:2])
    counts = np.bincount(found.kinds, minlength=len(KINDS))
    return ", ".join(f"{count} {kind}" for kind, count in zip(KINDS, counts, strict=True))
