"""The model card of a bundle: what it is for, what it must not be used for, and how good it is.

Follows the sections of Mitchell et al. 2019 (arXiv:1810.03993). It is written for the person who
decides whether to run the bundle, so the limits come before the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_daemon.contract.roles import ClassifierRole, DetectorRole
from edge_daemon.contract.terms import RED_CELL_DIAMETER_UM
from exporter.bundle.draft import BundleDraft, RoleDraft
from exporter.gate.verdict import LIMITS, Verdict
from exporter.graphs.from_torch import OPSET, PARITY_TOLERANCE, Parity

_INTENDED_USE = """\
LeukoEdge looks at camera frames of stained blood smears, finds the cells, and tells leukaemic
blasts from other nucleated cells. It puts slides in an order for a human reader and says how sure
it is.

**Research use only.** This is not a medical device. It makes no diagnosis, it has not been
assessed by any authority, and no slide may go unread because of what it says."""

_LIMITS = """\
- **Blasts of one disease only.** The blasts it learned are B-lymphoblasts (B-ALL) of C-NMC 2019,
  from one institution. Myeloid blasts, T-lymphoblasts and reactive lymphocytes were not in it.
- **Pictures unlike a live camera's.** C-NMC cells are cut out on black and stain-normalised. For
  training they were also pasted onto real smear background, which narrows the gap and does not
  close it.
- **Normal blood as background.** The frames of BCCD and TXL-PBC show normal blood under few
  microscopes. The stain, camera and preparation of a new site have not been seen: measure there
  before relying on any figure below.
- **Scale matters.** Size tells a blast from a small lymphocyte. Where the scale of a frame is not
  configured it is estimated from its red cells, taken to be {red_cell_um} um wide; in microcytosis
  or macrocytosis that estimate is off by 10 to 15 %. C-NMC publishes no scale: {cnmc_um_per_px}
  um per pixel is nominal.
- **Cells, not patients.** The figures are per cell. Nothing follows from them about a patient."""

_SPLIT = """\
C-NMC is split by patient group: subjects that share a cell, byte for byte or in two pictures of it,
form one group (`leuko-train data import` finds them), and a group is either in training or in
validation, never in both. Frames of BCCD and TXL-PBC keep their
published split; composited crops of a split use cells and backgrounds of that split only."""

_FIGURES = """\
Measured on validation data, which chose epoch, thresholds and temperature as well, so they are a
little kind. A site's own slides are the only test that counts for the site."""


_PRECISIONS = """\
Every precision is judged against float32 on the held-out data, in ONNX Runtime; one that loses
more than {limits} is not in the bundle."""


def model_card(
    draft: BundleDraft, parities: Mapping[str, Parity], verdicts: Sequence[Verdict] = ()
) -> str:
    """The text of ``MODEL_CARD.md``.

    Args:
        draft: the bundle.
        parities: how far each role's ONNX file is from PyTorch, by file name.
        verdicts: the gate's, on precisions other than float32, passed or not.
    """
    sections = {
        "What it is for": _INTENDED_USE,
        "What is in it": "\n".join(map(_role_line, draft.roles)),
        "Limits": _limits(draft),
        "Data, licences, credit": _sources(draft),
        "How the data were split": _split(draft),
        "Figures": _figures(draft),
        "Precisions": _precisions(verdicts),
        "How it was made": _making(draft, parities),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"# {draft.label}\n\n{body}\n"


def _role_line(role: RoleDraft) -> str:
    spec = role.spec
    if isinstance(spec, DetectorRole):
        thresholds = ", ".join(f"{kind} {spec.score_thresholds[kind]:.3g}" for kind in spec.kinds)
        return (
            f"- **{role.name}**: {', '.join(spec.kinds)} in a frame of {spec.input_width} x "
            f"{spec.input_height} pixels; reported from score {thresholds}; at most "
            f"{spec.max_detections} cells a frame."
        )
    low, high = spec.abstain_band
    return (
        f"- **{role.name}**: {' or '.join(spec.classes)}, from a square of {spec.crop_um:g} um "
        f"around a cell at {spec.size} x {spec.size} pixels; temperature {spec.temperature:.3g}; "
        f"normal below {low:.3g}, blast from {high:.3g}, uncertain between{_unfamiliar(spec)}."
    )


def _unfamiliar(spec: ClassifierRole) -> str:
    if spec.novelty_limit is None:
        return ""
    return (
        f" and where a crop is unlike the training cells (novelty above {spec.novelty_limit:.3g})"
    )


def _limits(draft: BundleDraft) -> str:
    scales = {
        role.spec.single_cell_um_per_px
        for role in draft.roles
        if isinstance(role.spec, ClassifierRole)
    }
    return _LIMITS.format(
        red_cell_um=RED_CELL_DIAMETER_UM,
        cnmc_um_per_px=" or ".join(f"{scale:g}" for scale in sorted(scales)),
    )


def _sources(draft: BundleDraft) -> str:
    lines = [
        f"- **{source.name}**, {source.licence}: {source.citation}"
        for source in draft.provenance.data
    ]
    return "\n".join([*lines, "", "The golden set holds rendered cells only, nobody's pictures."])


def _split(draft: BundleDraft) -> str:
    digest = draft.provenance.train_groups_sha256
    text = _SPLIT
    if digest is not None:
        text += f"\nSHA-256 of the sorted list of training groups: `{digest}`."
    if draft.data is None:
        return text
    rows = [
        f"| {one.name} | {', '.join(f'{count} {what}' for what, count in one.counts.items())} | "
        f"`{one.digest[:23]}...` |"
        for one in draft.data.sets
    ]
    return "\n".join(
        [text, "", "| set | found | digest, whole in data.json |", "|---|---|---|", *rows]
    )


def _figures(draft: BundleDraft) -> str:
    rows = [f"| `{name}` | {value:.4g} |" for name, value in draft.metrics.items()]
    return "\n".join([_FIGURES, "", "| figure | value |", "|---|---|", *rows])


def _precisions(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return "Float32 only."
    blocks = [_PRECISIONS.format(limits=_limits_in_words(verdicts))]
    for verdict in verdicts:
        rows = [f"| `{name}` | {full:.4f} | {less:.4f} |" for name, full, less in verdict.rows]
        blocks.append(
            "\n".join(
                [
                    f"{verdict}.",
                    *([f"{verdict.reading}."] if verdict.reading else []),
                    "",
                    f"| figure | fp32 | {verdict.precision} |",
                    "|---|---|---|",
                    *rows,
                ]
            )
        )
    return "\n\n".join(blocks)


def _limits_in_words(verdicts: Sequence[Verdict]) -> str:
    return "; ".join(
        f"in {precision} " + ", ".join(f"{loss:g} of {n}" for n, loss in LIMITS[precision].items())
        for precision in dict.fromkeys(verdict.precision for verdict in verdicts)
    )


def _making(draft: BundleDraft, parities: Mapping[str, Parity]) -> str:
    provenance = draft.provenance
    proofs = [
        f"- `{file}`: largest difference from PyTorch {parity.max_abs:.1e} over {parity.pictures} "
        f"pictures (allowed {PARITY_TOLERANCE:.0e}), ONNX opset {OPSET}"
        for file, parity in sorted(parities.items())
    ]
    software = ", ".join(f"{name} {version}" for name, version in provenance.software.items())
    return "\n".join(
        [
            f"Trained until {provenance.created:%Y-%m-%d %H:%M} UTC. The commands:",
            "",
            "```",
            provenance.command,
            "```",
            "",
            *(line for text in draft.history for line in (text, "")),
            f"Software: {software}.",
            "",
            *proofs,
        ]
    )
