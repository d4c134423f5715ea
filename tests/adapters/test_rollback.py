"""Going back, within one run, to a state that was saved before: only the zeros of that state are held."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from engine_task import KEPT, RULES, Net, optimizer_of
from methods_table import same_bits
from torch import Tensor, nn

from slrprune.adapters import AcceleratePruning

CUT = 4


@dataclass
class Run:
    """A loop under Accelerate that can be asked for any of its steps."""

    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    pruning: AcceleratePruning
    seed: int

    def train(self, first: int, last: int) -> list[dict[str, Tensor]]:
        """The steps from `first` to before `last`; the weights as the optimizer left each of them."""
        seen = []
        for step in range(first, last):
            generator = torch.Generator().manual_seed(100 * self.seed + step)
            inputs, labels = torch.randn(4, 6, generator=generator), torch.randn(4, 4, generator=generator)
            with self.accelerator.accumulate(self.model):
                loss = self.model(inputs=inputs, labels=labels)["loss"]
                self.accelerator.backward(loss)
                self.optimizer.step()
                seen.append({name: tensor.clone() for name, tensor in self.model.state_dict().items()})
                self.pruning.step(loss)
                self.optimizer.zero_grad()
        return seen


def _started(seed: int = 0) -> Run:
    accelerator, inner = Accelerator(cpu=True), Net()
    model, optimizer = accelerator.prepare(inner, optimizer_of(inner))
    pruning = AcceleratePruning(accelerator, model, optimizer, RULES, total_steps=CUT)
    return Run(accelerator, model, optimizer, pruning, seed)


@pytest.mark.parametrize("back_to", [CUT - 2, CUT + 1], ids=["before the cut", "after it"])
def test_the_steps_made_twice_are_the_same(back_to: int, tmp_path: Path) -> None:
    run = _started()
    run.train(0, back_to)
    run.accelerator.save_state(tmp_path)
    once = run.train(back_to, CUT + 3)
    run.accelerator.load_state(tmp_path)
    assert run.pruning.pruner.is_finalized == (back_to > CUT)
    twice = run.train(back_to, CUT + 3)
    assert same_bits(once, twice)
    assert run.pruning.finalize().nnz == KEPT


def test_the_zeros_of_the_state_take_the_place_of_those_of_a_later_cut(tmp_path: Path) -> None:
    other = _started(seed=1)
    other.train(0, CUT)
    other.accelerator.save_state(tmp_path)
    run = _started()
    run.train(0, CUT)
    masks = other.pruning.pruner.masks()
    assert not same_bits(run.pruning.pruner.masks(), masks)
    run.accelerator.load_state(tmp_path)
    run.train(CUT, CUT + 2)
    weights = dict(run.model.named_parameters())
    assert all(torch.equal(weights[name] != 0, mask) for name, mask in masks.items())
