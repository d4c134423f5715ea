"""Masked retraining inside one run: prune first, cut, then train on with the zeros fixed."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune.errors import ArgumentError
from slrprune.masks import MaskKeeper, keeper_of
from slrprune.rules import Rules, assign
from slrprune.train.trainer import DenseTrainer, Trainer


class RetrainingTrainer:
    """The steps of another trainer until its hard cut, then plain steps, with the zeros that it left, if any, held.

    Both phases share optimizer and learning-rate schedule, as in every other run of the budget.

    Args:
        model: what is trained.
        optimizer: the owner of its weights.
        rules: what is pruned; these weights keep their zeros.
        pruning: makes the trainer of the first phase from the number of its steps.
        steps: of both phases.
        share: fraction of the steps that retrain, in (0, 1).

    Raises:
        ArgumentError: a share that leaves one of the phases without a step.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        rules: Rules,
        *,
        pruning: Callable[[int], Trainer],
        steps: int,
        share: float,
    ) -> None:
        retraining = int(share * steps)
        if not 0 < retraining < steps:
            rule = f"must leave both phases at least one of the {steps} steps"
            raise ArgumentError("RetrainingTrainer", "share", share, rule)
        self.model = model
        self.optimizer = optimizer
        self.rules = rules
        self._left = steps - retraining
        self._pruning = pruning(self._left)
        self._is_cut = False
        self._keeper: MaskKeeper | None = None

    def step(self, loss: Tensor, /) -> None:
        """One step of the phase of the moment; the last one of the first phase is followed by the cut."""
        if self._is_cut:
            DenseTrainer(self.model, self.optimizer, 1).step(loss)
            return
        self._pruning.step(loss)
        self._left -= 1
        if self._left == 0:
            self._cut()

    def preview(self) -> nn.Module | None:
        """Before the cut what the first trainer shows, after it the model itself."""
        return self.model if self._is_cut else self._pruning.preview()

    def finalize(self) -> None:
        """Cuts if that has not been done, and lets the weights go."""
        if not self._is_cut:
            self._cut()
        if self._keeper is not None:
            self._keeper.remove()

    def _cut(self) -> None:
        self._pruning.finalize()
        targets = [target for assignment in assign(self.model, self.rules)[0] for target in assignment.targets]
        masks = {target.name: target.parameter.detach() != 0 for target in targets}
        self._keeper = keeper_of(self.model, self.optimizer, masks)
        self._is_cut = True
