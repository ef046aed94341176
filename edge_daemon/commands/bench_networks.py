"""``leuko-edge bench --networks``: every precision of every network, by turns in one run.

Absolute times of a shared machine move by a factor of two; what is timed in turns, one after the
other again and again, gives ratios that do not.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from edge_daemon.commands.models import find_bundle
from edge_daemon.contract.bundle import PRECISIONS, RoleName
from edge_daemon.contract.golden import INPUT, golden_set
from edge_daemon.contract.roles import Precision
from edge_daemon.engines.base import Array, Engine
from edge_daemon.engines.options import EngineOptions
from edge_daemon.engines.select import open_engine

ROUNDS = 25
_INPUTS = {"detector": "image", "classifier": "crops", "second_opinion": "crops"}


@dataclass(frozen=True)
class NetworkTime:
    """One network at one precision."""

    role: RoleName
    precision: Precision
    engine: str
    pictures: int
    """Pictures of a run."""
    least_ms: float
    """Shortest run of all rounds: what the network takes when nothing is in its way."""


def bench_networks(
    bundle: Path | None, options: EngineOptions, console: Console, rounds: int = ROUNDS
) -> list[NetworkTime]:
    """Time every network of a bundle at every precision that it ships, and print it.

    float32 is computed in float32; the others as ``auto`` would, in bfloat16 where the processor
    has it and the graph leaves it open.
    """
    found = find_bundle(bundle)
    timed: list[NetworkTime] = []
    for role in found.roles:
        pictures = golden_set(found.golden, role)[INPUT]
        batch = pictures[:1] if role == "detector" else pictures
        with ExitStack() as stack:
            engines: dict[Precision, Engine] = {}
            for precision in PRECISIONS:
                if precision in found.role(role).models:
                    engine = open_engine(found, role, replace(options, precision=precision))
                    stack.callback(engine.close)
                    engines[precision] = engine
            timed += _by_turns(role, engines, {_INPUTS[role]: batch}, rounds)
    _print(timed, console)
    return timed


def _by_turns(
    role: RoleName, engines: dict[Precision, Engine], given: dict[str, Array], rounds: int
) -> list[NetworkTime]:
    least = dict.fromkeys(engines, float("inf"))
    for _ in range(rounds + 2):  # the first choose kernels
        for precision, engine in engines.items():
            started = time.perf_counter()
            engine.run(given)
            least[precision] = min(least[precision], 1e3 * (time.perf_counter() - started))
    (batch,) = given.values()
    return [
        NetworkTime(role, precision, engine.name, len(batch), least[precision])
        for precision, engine in engines.items()
    ]


def _print(timed: list[NetworkTime], console: Console) -> None:
    engine = Column("engine", overflow="fold")
    table = Table("network", "precision", engine, "pictures", "ms", "times float32")
    for one in timed:
        whole = next(o.least_ms for o in timed if o.role == one.role and o.precision == "fp32")
        table.add_row(
            one.role,
            one.precision,
            one.engine,
            str(one.pictures),
            f"{one.least_ms:.2f}",
            f"{whole / one.least_ms:.2f}",
        )
    console.print(table)
