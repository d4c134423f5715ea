"""The stages of a run: dense training, pruning, retraining under fixed masks."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from slrprune.distributed import Replicas
from slrprune.errors import StateError
from slrprune.masks import keeper_of
from slrprune.pruner import Pruner
from slrprune.rules import Rules, targets_by_name
from slrprune.train.average import Average
from slrprune.train.distillation import Teacher
from slrprune.train.loop import DataOrder, Loop
from slrprune.train.plan import Plan
from slrprune.train.trainer import DenseTrainer, PruningTrainer, Trainer


class Phase:
    """A loop with the model that it trains; alone, the dense training.

    Attributes:
        name: in checkpoints and in the history.
        first_step, first_epoch: how many the phases before made.
        pruned: names of the weights that are cut.
    """

    name: ClassVar[str] = "dense"
    first_step = 0
    first_epoch = 0

    def __init__(self, plan: Plan, model: nn.Module, loop: Loop) -> None:
        self.plan = plan
        self.model = model
        self.loop = loop
        self.pruned: list[str] = []
        decay = plan.config.ema
        self.average = None if decay is None or self.name == "dense" else Average(model, decay)

    @classmethod
    def dense(cls, plan: Plan, model: nn.Module) -> "Phase":
        """The dense training of a task that has no trained weights."""
        task, engine = plan.task, plan.engine

        def trainer(model: nn.Module, optimizer: Optimizer, steps: int) -> Trainer:
            return DenseTrainer(model, optimizer, steps, engine)

        order = DataOrder(plan.config.seed)
        return cls(plan, model, Loop(model, task, task.dense_recipe, order=order, trainer=trainer, engine=engine))

    def step_made(self) -> None:
        """Called after every optimizer step."""
        if self.average is not None and not self.plan.engine.has_skipped:
            self.average.update(self.model)

    def masks(self) -> dict[str, Tensor]:
        """Masks of the moment, by name."""
        return {name: weight.detach() != 0 for name, weight in self.weights(self.model).items()}

    def weights(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Of the phase's model, or of a copy of it, the weights that are cut, by the names that the pruner uses."""
        targets = targets_by_name(model)
        return {name: targets[name].parameter for name in self.pruned}

    def cut_copy(self) -> nn.Module:
        """What the run would leave if it ended now."""
        copy = self._cut_copy()
        if self.average is not None:
            self.average.copy_to_(copy, self.pruned)
        return copy

    def state_dict(self) -> dict[str, Any]:
        """Everything to go on from: plain values and tensors."""
        return {
            "phase": self.name,
            "model": dict(self.model.state_dict()),
            "loop": self.loop.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` returned, after checking it.

        Raises:
            StateError: the state of another model, method or run.
        """
        load_model_state(self.model, state["model"])
        self.loop.load_state_dict(state["loop"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def _cut_copy(self) -> nn.Module:
        return deepcopy(self.model)


class PrunePhase(Phase):
    """Training with a pruner, up to the hard cut.

    Args:
        plan: the run.
        model: dense.
        rules: for the pruner.
        teacher: the dense net, if it teaches.
    """

    name: ClassVar[str] = "prune"

    def __init__(self, plan: Plan, model: nn.Module, rules: Rules, teacher: Teacher | None) -> None:
        made: list[Pruner] = []

        def trainer(model: nn.Module, optimizer: Optimizer, steps: int) -> Trainer:
            # The model itself, not the wrapper around it: copies of it are evaluated.
            world = Replicas() if plan.engine.processes > 1 else None
            made.append(Pruner(model, optimizer, rules, total_steps=steps, method=plan.method, world=world))
            return PruningTrainer(optimizer, made[0], plan.engine)

        order = DataOrder(plan.config.seed)
        parts = {"order": order, "trainer": trainer, "teacher": teacher, "engine": plan.engine}
        super().__init__(plan, model, Loop(model, plan.task, plan.recipe, **parts))  # type: ignore[arg-type]
        (self.pruner,) = made
        self.pruned = list(self.pruner.problem.names)

    def masks(self) -> dict[str, Tensor]:
        """Those of the pruner."""
        return self.pruner.masks()

    def finish(self) -> None:
        """The hard cut, in place; with an average the model takes that, with the zeros of the cut."""
        self.pruner.finalize()
        if self.average is not None:
            self.average.copy_to_(self.model, self.pruned)

    def state_dict(self) -> dict[str, Any]:
        """With the pruner's."""
        return super().state_dict() | {"pruner": self.pruner.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The pruner first: it refuses what belongs to another model or method, before anything is changed."""
        self.pruner.load_state_dict(state["pruner"])
        if state["phase"] == self.name:
            super().load_state_dict(state)
        else:
            load_model_state(self.model, state["model"])

    def _cut_copy(self) -> nn.Module:
        return self.pruner.preview()


class RetrainPhase(Phase):
    """Training on with the zeros fixed.

    Args:
        pruning: the phase before, which has made its cut.
        teacher: the dense net, if it teaches.
    """

    name: ClassVar[str] = "retrain"

    def __init__(self, pruning: PrunePhase, teacher: Teacher | None) -> None:
        plan = pruning.plan
        self.first_step = pruning.loop.total_steps
        self.first_epoch = pruning.loop.epochs
        self._pruning = pruning

        def trainer(model: nn.Module, optimizer: Optimizer, steps: int) -> Trainer:
            return DenseTrainer(model, optimizer, steps, plan.engine)

        order = DataOrder(plan.config.seed, self.first_epoch)
        parts = {"order": order, "trainer": trainer, "teacher": teacher, "engine": plan.engine}
        loop = Loop(pruning.model, plan.task, plan.retraining_recipe, **parts)  # type: ignore[arg-type]
        super().__init__(plan, pruning.model, loop)
        self.pruned = pruning.pruned
        self._keeper = keeper_of(self.model, loop.optimizer, pruning.pruner.masks())

    def finish(self) -> None:
        """Lets the weights go; with an average the model takes that."""
        if self._keeper is not None:
            self._keeper.remove()
        if self.average is not None:
            self.average.copy_to_(self.model, self.pruned)

    def state_dict(self) -> dict[str, Any]:
        """With the pruner's, which holds the masks."""
        return super().state_dict() | {"pruner": self._pruning.pruner.state_dict()}


def load_model_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads weights and buffers, all of them or none.

    Raises:
        StateError: names or shapes differ.
    """
    here = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    there = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if here != there:
        differing = [name for name in (*here, *there) if here.get(name) != there.get(name)][:3]
        problem = f"the checkpoint is of another model, it differs in {differing}"
        raise StateError("resume", problem, "Resume with the code that the run began with.")
    model.load_state_dict(dict(state))
