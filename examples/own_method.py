"""A method of your own: iterative hard thresholding. Run with `python examples/own_method.py`."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import slrprune as slr
from slrprune.methods import MethodState, Moment, Observation, Problem, Ramp, all_true, keep_, mask_counts


@dataclass(frozen=True, kw_only=True)
class HardThresholding(slr.Method):
    """Every `interval` steps the weights are projected; between two projections they move freely (Blumensath, 2009)."""

    interval: int = 4
    ramp: Ramp = field(default_factory=slr.CubicRamp)
    is_sparse_throughout = False

    def start(self, problem: Problem) -> MethodState:
        return MethodState({"mask": all_true(problem.weights)})

    def hold(self, problem: Problem, state: MethodState, moment: Moment) -> None:
        pass

    def update(self, problem: Problem, state: MethodState, moment: Moment) -> Observation:
        old, progress = state.tensors["mask"], self.ramp.progress(moment.time)
        masks = problem.masks([weight.detach() for weight in problem.weights], progress)
        if moment.is_usable is not None:  # on accelerators: after a NaN the state stays the last good one
            masks = [torch.where(moment.is_usable, new, kept) for new, kept in zip(masks, old, strict=True)]
        for weight, mask in zip(problem.weights, masks, strict=True):
            keep_(weight, mask)
        state.tensors["mask"], state.progress, state.iteration = masks, progress, state.iteration + 1
        return Observation({}, {"loss": moment.loss, **mask_counts(old, masks, problem.device)})

    def masks(self, problem: Problem, state: MethodState) -> list[Tensor]:
        return state.tensors["mask"]

    def final_masks(self, problem: Problem, state: MethodState) -> list[Tensor]:
        return problem.masks(problem.weights, 1.0)


torch.manual_seed(0)
truth = torch.randn(8, 64) * (torch.arange(512).view(8, 64) % 10 == 0)  # a sparse matrix, to be found again
model = nn.Linear(64, 8, bias=False)
optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
pruner = slr.Pruner(model, optimizer, slr.Global(params=52), total_steps=400, method=HardThresholding())
for _ in range(400):
    loss = (model(x := torch.randn(32, 64)) - x @ truth.T).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    pruner.step(loss)
print(pruner.finalize(), f"the right support: {torch.equal(model.weight != 0, truth != 0)}", sep="\n")
