"""Weights that bear INT8: quantisation-aware fine-tuning, for what calibration alone cannot save.

While it learns, every convolution reads its input and its weights rounded as INT8 rounds them, and
the gradient goes through the rounding as if it were not there (Jacob et al. 2018,
arXiv:1712.05877). What it learns is to say what the same network says in float32 (Hinton et al.
2015, arXiv:1503.02531): no label takes part, so nothing is learnt of the cells that was not there.
The result is a network in float32; it is quantised and judged like any other.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exporter.errors import ExportError

if TYPE_CHECKING:
    from torch import Tensor, nn

_MOST = 127
"""Of a step of INT8, to either side of nothing."""
_LEAST_RANGE = 1e-8


@dataclass(frozen=True)
class FineTuning:
    """How long and how boldly."""

    steps: int = 400
    batch: int = 16
    """Pictures a step; a detector's frames go one by one and count as so many."""
    rate: float = 3e-5
    """Of Adam (Kingma & Ba 2015) at the first step; it falls to nothing as a cosine."""
    seed: int = 0


def fine_tuned(
    graph: nn.Module,
    pictures: Iterable[NDArray[np.uint8]],
    how: FineTuning = FineTuning(),
    tick: Callable[[int, int], None] = lambda _done, _all: None,
) -> nn.Module:
    """A copy of ``graph`` that says in INT8 more nearly what ``graph`` says in float32.

    Args:
        graph: module in inference mode, uint8 NHWC in, one or several float outputs out.
        pictures: batches of training pictures, uint8 ``[N, H, W, 3]`` of one size; those that INT8
            is calibrated with.
        how: see there.
        tick: told how many steps are done, and of how many.

    Raises:
        ExportError: there are no pictures, or nothing in ``graph`` could be rounded.
    """
    import torch

    shown = [torch.from_numpy(np.ascontiguousarray(batch)) for batch in pictures]
    if not shown:
        raise ExportError("no pictures to fine-tune on: give training data")
    if not _convolutions(graph):
        raise ExportError(f"{type(graph).__name__} has no convolution that could be rounded")
    teacher = graph.cpu().eval()
    student = copy.deepcopy(teacher)
    everything, spreads = torch.cat(shown), _spreads(teacher, shown)
    learning = [one for one in student.parameters() if one.is_floating_point()]
    for one in learning:
        one.requires_grad_(True)
    adam = torch.optim.Adam(learning, lr=how.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, how.steps)
    chance = np.random.default_rng(how.seed)
    one_by_one = len(shown[0]) == 1
    with _rounded(student):
        for step in range(how.steps):
            chosen = chance.integers(len(everything), size=how.batch)
            adam.zero_grad(set_to_none=True)
            for part in np.split(chosen, how.batch if one_by_one else 1):
                batch = _turned(everything[part], chance)
                with torch.no_grad():
                    wanted = _outputs(teacher(batch))
                said = _outputs(student(batch))
                losses = [
                    ((one - other) / spread).square().mean()
                    for one, other, spread in zip(said, wanted, spreads, strict=True)
                ]
                (torch.stack(losses).mean() * len(part) / how.batch).backward()
            adam.step()
            schedule.step()
            tick(step + 1, how.steps)
    return student.requires_grad_(False).eval()


def _outputs(said: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return said if isinstance(said, tuple) else (said,)


def _turned(batch: Tensor, chance: np.random.Generator) -> Tensor:
    """Mirrored at random, and laid on its side where it is square."""
    for side in (1, 2):
        if chance.random() < 0.5:
            batch = batch.flip(side)
    if batch.shape[1] == batch.shape[2] and chance.random() < 0.5:
        batch = batch.transpose(1, 2)
    return batch.contiguous()


def _in_steps(values: Tensor, most: Tensor) -> Tensor:
    """``values`` to the nearest of 127 steps to either side of nothing, ``most`` being the last.

    The step has a gradient: what drowns all else in it may learn to be smaller.
    """
    step = most.clamp(min=_LEAST_RANGE) / _MOST
    exact = values / step
    return (exact + (exact.round() - exact).detach()) * step


def _spreads(graph: nn.Module, shown: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """The deviation of each output."""
    import torch

    with torch.no_grad():
        answers = [_outputs(graph(batch)) for batch in shown]
    return tuple(
        torch.cat([one.flatten() for one in parts]).std().clamp(min=_LEAST_RANGE)
        for parts in zip(*answers, strict=True)
    )


@contextmanager
def _rounded(graph: nn.Module) -> Iterator[None]:
    """Within this, convolutions read inputs and weights rounded to INT8."""
    from torch import nn
    from torch.nn.utils import parametrize

    class RoundedWeights(nn.Module):
        """Each output channel by its own range."""

        def forward(self, weight: Tensor) -> Tensor:
            return _in_steps(weight, weight.abs().amax((1, 2, 3), keepdim=True))

    def round_input(_module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (_in_steps(inputs[0], inputs[0].abs().amax()),)

    hooks = []
    convolutions = _convolutions(graph)
    for one in convolutions:
        hooks.append(one.register_forward_pre_hook(round_input))
        parametrize.register_parametrization(one, "weight", RoundedWeights())
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for one in convolutions:
            parametrize.remove_parametrizations(one, "weight", leave_parametrized=False)


def _convolutions(graph: nn.Module) -> list[nn.Module]:
    from torch import nn

    return [one for one in graph.modules() if isinstance(one, nn.Conv2d)]
