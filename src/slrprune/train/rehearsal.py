"""What would end a run hours later, looked for before it takes its folder."""

from slrprune.config.targets import pruning_rules
from slrprune.distributed import Replicas
from slrprune.pruner import Pruner
from slrprune.seeding import seeded, seeded_everywhere
from slrprune.train.dense import fresh_model
from slrprune.train.distillation import check_teachable
from slrprune.train.plan import Plan


def rehearse(plan: Plan) -> None:
    """Builds the pruner once on a model of its own; all random generators are put back.

    Raises:
        SlrpruneError: rules that do not fit the model, a run too short for its method, a task without an example input,
            a model that cannot be distilled.
    """
    seed = plan.config.seed
    with seeded_everywhere(seed), seeded(seed, plan.task.device):
        plan.task.example_input()  # the final files need it
        model = fresh_model(plan.task, seed)
        if plan.distillation is not None:
            check_teachable(model, plan.task, plan.distillation)
        rules = pruning_rules(plan.config, model).rules
        world = Replicas() if plan.engine.processes > 1 else None
        steps = plan.recipe.epochs * (plan.task.steps_per_epoch // plan.config.accumulation)
        Pruner(model, plan.recipe.optimizer(model), rules, total_steps=steps, method=plan.method, world=world)
