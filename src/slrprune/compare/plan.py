"""Which runs make up a comparison, and whether all of them can be run at all."""

from dataclasses import dataclass

from slrprune.compare.arm import Arm
from slrprune.compare.run import Run, Setting
from slrprune.errors import ArgumentError
from slrprune.seeding import seeded
from slrprune.target import Target
from slrprune.tasks.base import Split


@dataclass(frozen=True)
class Plan:
    """Every arm at every target with every seed, at the same total budget.

    Args:
        arms: at least one; an arm that does not prune runs once per seed.
        targets: at least one, unless no arm prunes.
        epochs: length of every run, at least 1.
        seeds: at least one, each at least 0, each once.
        curve_split: where the curves are taken; None takes "val" where the task has it, and no curve elsewhere.

    Raises:
        ArgumentError: a value outside its range.
    """

    arms: tuple[Arm, ...]
    targets: tuple[Target, ...]
    epochs: int
    seeds: tuple[int, ...] = (0, 1, 2)
    curve_split: Split | None = None

    def __post_init__(self) -> None:
        if not self.arms:
            raise ArgumentError("Plan", "arms", self.arms, "must hold at least one")
        if not self.targets and any(arm.prunes for arm in self.arms):
            raise ArgumentError("Plan", "targets", self.targets, "must hold at least one")
        if self.epochs < 1:
            raise ArgumentError("Plan", "epochs", self.epochs, "must be at least 1")
        if not self.seeds or min(self.seeds) < 0:
            raise ArgumentError("Plan", "seeds", self.seeds, "must hold at least one, each at least 0")
        for name, labels in (
            ("arms", [arm.name for arm in self.arms]),
            ("targets", [target.label for target in self.targets]),
            ("seeds", list(self.seeds)),
        ):
            if len(dict.fromkeys(labels)) < len(labels):
                raise ArgumentError("Plan", name, labels, "must differ from each other")

    def runs(self) -> tuple[Run, ...]:
        """All runs, seed by seed, so that a comparison stopped early has whole seeds to show."""
        found: list[Run] = []
        for seed in self.seeds:
            found += [Run(arm, None, seed) for arm in self.arms if not arm.prunes]
            found += [Run(arm, target, seed) for target in self.targets for arm in self.arms if arm.prunes]
        return tuple(found)

    def check(self, setting: Setting) -> None:
        """Builds every arm once on fresh weights, at its own length, so that nothing is refused after hours of work.

        Raises:
            SlrpruneError: what the arm says, for example that the run is too short for its schedule; or the task,
                about a split for the curves that it does not have.
        """
        task, recipe = setting.task, setting.recipe
        if self.curve_split is not None:
            next(iter(task.batches(self.curve_split)))
        for run in self.runs():
            if run.seed != self.seeds[0]:
                continue
            with seeded(0, task.device):
                model = task.build_model()
            run.arm.extras.check(model, task)
            rules = run.target.rules if run.target else {}
            run.arm.trainer(model, recipe.optimizer(model), rules, run.steps(setting))
