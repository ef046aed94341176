"""The expected result of a control: one sealed file, made from a run that somebody accepted."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from edge_daemon import __version__
from edge_daemon.contract.base import Digest, StrictModel, UtcTime
from edge_daemon.contract.control import ControlFigures, ControlKind, ControlRun
from edge_daemon.contract.envelope import utc_now
from edge_daemon.control_settings import ControlTolerances
from edge_daemon.errors import ControlError
from edge_daemon.whole_files import write_whole

_MAX_BYTES = 1 << 20
_UNSEALED = "sha256:" + "0" * 64


class Expectation(StrictModel):
    """What a control must come to, and how far it may be off."""

    schema_: Literal["leukoedge.control-expected/1"] = Field(
        default="leukoedge.control-expected/1", alias="schema"
    )
    software: str
    """Version of LeukoEdge that wrote it."""
    accepted_at: UtcTime
    kind: ControlKind
    run: int
    """Of this device: the run that was accepted."""
    source: str
    pictures: Digest | None
    """SHA-256 over the pictures of a stored control; null of a slide."""
    bundle: Digest
    engines: str
    setup: Digest
    figures: ControlFigures
    tolerances: ControlTolerances
    digest: Digest
    """SHA-256 of everything else: proves that nothing was altered or lost."""

    def content_digest(self) -> str:
        """The digest that ``digest`` must be."""
        content = self.model_dump(mode="json", by_alias=True, exclude={"digest"})
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def expectation_of(run: ControlRun, tolerances: ControlTolerances) -> Expectation:
    """What is expected from now on, from a run that somebody accepts.

    Raises:
        ControlError: the run has no result, or one of too few cells.
    """
    found = run.found
    if found is None or run.bundle is None:
        raise ControlError(
            f"control run {run.run} was not run to its end ({run.reasons[0]}): nothing can be "
            "expected from it: run the control again"
        )
    if found.nucleated_cells < tolerances.min_cells:
        raise ControlError(
            f"control run {run.run} counted {found.nucleated_cells} nucleated cells, "
            f"{tolerances.min_cells} are needed: take more pictures, or lower min_cells in "
            "[control.tolerances]"
        )
    draft = Expectation(
        software=__version__,
        accepted_at=utc_now(),
        kind=run.kind,
        run=run.run,
        source=run.source,
        pictures=run.pictures,
        bundle=run.bundle,
        engines=run.engines,
        setup=run.setup,
        figures=found,
        tolerances=tolerances,
        digest=_UNSEALED,
    )
    return draft.model_copy(update={"digest": draft.content_digest()})


def expectation_file(folder: Path, kind: ControlKind) -> Path:
    """Where the expected result of a control lies."""
    return folder / f"{kind}.json"


def read_expectation(file: Path) -> Expectation | None:
    """What is expected; None where nothing was accepted yet.

    Raises:
        ControlError: it is not what was written there; one line that says so.
    """
    again = "put back what was there, or accept a run again: leuko-edge control accept"
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ControlError(f"{file} is over 1 MiB: not an expected result; {again}")
        expectation = Expectation.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ControlError(f"cannot read {file}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise ControlError(f"{file}: {where}: {first['msg']}; {again}") from None
    if expectation.digest != expectation.content_digest():
        raise ControlError(f"{file} does not have the digest that it names: altered; {again}")
    return expectation


def write_expectation(file: Path, expectation: Expectation) -> None:
    """Write it: all of it under its name, or nothing.

    Raises:
        ControlError: it cannot be written there.
    """
    text = expectation.model_dump_json(by_alias=True, indent=2) + "\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text.encode())
    except OSError as error:
        raise ControlError(
            f"cannot write {file}: {error.strerror}; choose another folder: [control] expected"
        ) from None
