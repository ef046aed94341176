"""Several ranks hold the same weights, as if one had seen every frame."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from trainer.training.parallel import Ranks, join_ranks

PROGRAM = """
import torch
from torch import nn
from trainer.training.parallel import join_ranks
ranks = join_ranks()
model = nn.Linear(2, 1)
nn.init.ones_(model.weight)
(model(torch.tensor([1.0, 3.0]) * (ranks.rank + 1))).backward()
ranks.average_gradients(model)
print(f"rank {ranks.rank} of {ranks.world}: {model.weight.grad.tolist()}", flush=True)
"""


def test_without_torchrun_there_is_one_rank() -> None:
    assert join_ranks() == Ranks(0, 1)
    assert join_ranks().leads


def test_one_rank_keeps_its_gradients() -> None:
    model = nn.Linear(2, 1)
    model(torch.ones(2)).backward()
    before = model.weight.grad.clone()
    Ranks().average_gradients(model)
    assert torch.equal(model.weight.grad, before)


def test_two_ranks_average_their_gradients(tmp_path: Path, repository: Path) -> None:
    program = tmp_path / "ranks.py"
    program.write_text(PROGRAM)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = [
        subprocess.Popen(
            [sys.executable, str(program)],
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(repository),
                "RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[0].strip() for process in started]
    assert said == ["rank 0 of 2: [[1.5, 4.5]]", "rank 1 of 2: [[1.5, 4.5]]"]
