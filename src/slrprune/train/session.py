"""A run under way: its phases one after the other, what it writes meanwhile, and how it goes on after a stop."""

import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from slrprune.config.targets import PruningRules, pruning_rules
from slrprune.errors import StateError
from slrprune.records import UpdateRecord
from slrprune.tasks.base import Split
from slrprune.train.checkpoint import Checkpoints, Found
from slrprune.train.dense import DenseFigures, fresh_model, given_model, load_dense, save_dense
from slrprune.train.distillation import Teacher
from slrprune.train.figures import measured
from slrprune.train.interruption import Interrupted, Interruption
from slrprune.train.observer import Observer
from slrprune.train.phases import Phase, PrunePhase, RetrainPhase
from slrprune.train.plan import Plan
from slrprune.train.rundir.folder import RunFolder, write_model
from slrprune.train.rundir.history import History
from slrprune.train.rundir.layers import residual_of
from slrprune.train.trackers import Tracker

_AGREE_EVERY = 8
"""Steps between two questions to the other processes whether one was asked to stop."""


class Session:
    """What happens between the start of a run and its final files.

    Args:
        plan: the run.
        folder: where it writes.
        tracker: where scalars go.
        observer: who follows.
        interruption: whether someone asked to stop.

    Attributes:
        facts: what is known so far for the summary; saved in checkpoints.
    """

    def __init__(
        self, plan: Plan, folder: RunFolder, *, tracker: Tracker, observer: Observer, interruption: Interruption
    ) -> None:
        self.plan, self.folder, self.tracker = plan, folder, tracker
        self.observer, self.interruption = observer, interruption
        self.history = History(folder / "history.jsonl", is_main=plan.engine.is_main)
        self.checkpoints = Checkpoints(folder.checkpoints, plan.config.checkpoint.keep)
        self.facts: dict[str, Any] = {"seconds_before": 0.0}
        self._written = 0
        self._saved_at = -1
        self._seconds_at: dict[int, float] = {}
        self._epoch_began = 0.0

    def train(self) -> tuple[PrunePhase, PruningRules]:
        """All phases; afterwards the model has been cut, and retrained where that was asked for.

        Raises:
            Interrupted: after a signal, with everything saved.
            NonFiniteError: the run diverged; its last checkpoint is there.
            StateError, DataError: a checkpoint that cannot be gone on with.
            CheckpointWriteError: a checkpoint could not be written.
        """
        model, figures = self._dense_start()
        distillation = self.plan.distillation
        teacher = None if distillation is None else Teacher(model, distillation)
        rules = pruning_rules(self.plan.config, model)
        prune = PrunePhase(self.plan, model, rules.rules, teacher)
        found = self.checkpoints.newest()
        retrain: RetrainPhase | None = None
        if found is None:
            self._begin(prune, figures)
        else:
            self._check_processes(found)
            prune.load_state_dict(found.state)
            if self.plan.config.retrain and found.state["phase"] == RetrainPhase.name:
                retrain = RetrainPhase(prune, teacher)
                retrain.load_state_dict(found.state)
            self._go_on(prune, found)  # nothing is written before every part has taken its state
        if found is None or found.state["phase"] == prune.name:
            self._drive(prune)
            self._cut(prune)
        if self.plan.config.retrain:
            retrain = retrain or RetrainPhase(prune, teacher)
            self._drive(retrain)
            self._end(retrain)
        return prune, rules

    @property
    def steps(self) -> int:
        """Optimizer steps that the whole run makes, dense training left out."""
        per_epoch = self.plan.task.steps_per_epoch // self.plan.config.accumulation
        return (self.plan.recipe.epochs + self.plan.config.retrain) * per_epoch

    def _dense_start(self) -> tuple[nn.Module, DenseFigures]:
        """The dense model and its figures, trained or loaded only once in the life of a run."""
        plan, path = self.plan, self.folder.dense
        if plan.engine.any(not path.exists()):  # all processes have looked before the first one writes
            given = None if plan.config.dense is None else Path(plan.config.dense)
            model = given_model(plan.task, plan.config.seed, given) or self._train_dense()
            val = self._evaluate(model, "val") if plan.curve_split == "val" else None
            final = measured(plan.task, model, plan.final_split)
            figures = DenseFigures(final.metric, val, final.details)
            plan.engine.by_main(lambda: save_dense(model, figures, path))  # the others wait until the file is there
            plan.engine.by_main(Checkpoints(self.folder.dense_checkpoints).remove)
        return load_dense(plan.task, plan.config.seed, path)

    def _train_dense(self) -> nn.Module:
        phase = Phase.dense(self.plan, fresh_model(self.plan.task, self.plan.config.seed))
        final, self.checkpoints = self.checkpoints, Checkpoints(self.folder.dense_checkpoints)
        found = self.checkpoints.newest()
        if found is not None:
            self._check_processes(found)
            phase.load_state_dict(found.state)
        self._drive(phase)
        self.checkpoints = final
        return phase.model

    def _begin(self, prune: PrunePhase, figures: DenseFigures) -> None:
        split = self.plan.curve_split
        curve = figures.final if figures.val is None else figures.val
        self.facts |= {"dense_accuracy": figures.final, "dense_val_accuracy": figures.val}
        self.facts["details"] = {"dense": dict(figures.details)}
        self.history.begin()
        fields = {
            "dense_accuracy": curve,
            "split": split,
            "metric": self.plan.task.metric,
            "total_steps": self.steps,
            "steps_per_epoch": prune.loop.steps_per_epoch,
            "phase": prune.name,
        }
        self.history.add("start", 0, 0.0, **fields)
        self._start_tracker(0)
        self.tracker.log(0, fields)

    def _go_on(self, prune: PrunePhase, found: Found) -> None:
        state = found.state
        self.facts = dict(state["facts"])
        self._written = len(prune.pruner.records())
        step = state["step"]
        self.history.go_on(step, state["history_lines"])
        self._start_tracker(step)
        for sentence in found.damaged:
            self._note("fallback", step, state["seconds"], f"{sentence} Going on from {found.path.name}.")
        self._note("resumed", step, state["seconds"], f"Going on from {found.path.name}.")

    def _start_tracker(self, step: int) -> None:
        self.tracker.start(self.plan.engine.accelerator, self.plan.config.model_dump(mode="json"), step)

    def _check_processes(self, found: Found) -> None:
        saved, here = found.state["processes"], self.plan.engine.processes
        if saved != here:
            problem = f"it was written by a run on {saved} processes, and {here} are running"
            way_out = (
                f"Resume it on {saved}; a run that changes the number of processes needs the distributed format "
                "(torch.distributed.checkpoint, docs/scale.md)."
            )
            raise StateError(str(found.path), problem, way_out)

    def _drive(self, phase: Phase) -> None:
        self.observer.phase_began(phase.name, phase.loop.total_steps, phase.loop.at.steps)
        self._saved_at = -1
        self._epoch_began = 0.0 if not phase.loop.at.step else phase.loop.at.seconds
        phase.loop.run(on_epoch=lambda loss: self._epoch(phase, loss), on_step=lambda: self._step(phase))

    def _step(self, phase: Phase) -> None:
        phase.step_made()
        made = phase.loop.at.steps
        if isinstance(phase, PrunePhase):  # for the lines of its updates
            self._seconds_at[made] = phase.loop.at.seconds
        self.observer.step_made(made)
        if self._must_stop(made):
            self._stop(phase)

    def _epoch(self, phase: Phase, loss: float) -> None:
        number, config = phase.loop.at.epoch, self.plan.config
        is_last = number == phase.loop.epochs
        accuracy = None
        if phase.name != "dense":
            accuracy = self._write_epoch(phase, loss, is_last=is_last)
        self.observer.epoch_ended(number, phase.loop.epochs, loss, accuracy)
        if number % config.checkpoint.every == 0 or is_last:
            self._save(phase)
        if self._must_stop(0) and not is_last:
            self._stop(phase)

    def _write_epoch(self, phase: Phase, loss: float, *, is_last: bool) -> float | None:
        """The lines of an epoch, and the accuracy after a cut on a copy where it is due."""
        self._write_updates(phase)
        copy, every, at = phase.cut_copy(), self.plan.config.evaluate_every, phase.loop.at
        is_due = bool(every) and (at.epoch % every == 0 or is_last)
        accuracy = self._evaluate(copy, self.plan.curve_split) if is_due else None
        masks = phase.masks()
        numel = sum(mask.numel() for mask in masks.values())
        kept = sum(int(mask.sum()) for mask in masks.values())
        step, time, number = self._step_of(phase), self._time_of(phase), phase.first_epoch + at.epoch
        fields = {
            "epoch": number,
            "phase": phase.name,
            "loss": loss,
            "lr": phase.loop.optimizer.param_groups[0]["lr"],
            "accuracy_after_cut": accuracy,
            "split": self.plan.curve_split,
            "sparsity": 1 - kept / numel,
            "seconds": at.seconds - self._epoch_began,
        }
        self._epoch_began = at.seconds
        self.history.add("epoch", step, time, **fields)
        residuals = self._residuals(phase, copy)
        layers = [
            {"name": name, "sparsity": 1 - int(mask.sum()) / mask.numel(), "primal_residual": residuals.get(name)}
            for name, mask in masks.items()
        ]
        self.history.add("layers", step, time, epoch=number, layers=layers)
        self.tracker.log(step, fields)
        return accuracy

    def _write_updates(self, phase: Phase) -> None:
        if not isinstance(phase, PrunePhase):
            return
        records: tuple[UpdateRecord, ...] = phase.pruner.records()
        for record in records[self._written :]:
            fields = asdict(record)
            step = fields.pop("step")
            self.history.add("update", step, self._seconds_at.get(step, phase.loop.at.seconds), **fields)
            self.tracker.log(step, {name: value for name, value in fields.items() if name != "loss"})
        self._written = len(records)
        self._seconds_at.clear()

    def _residuals(self, phase: Phase, cut: nn.Module) -> dict[str, float]:
        """What a cut would take from every weight now; nothing where the cut has been made."""
        if not isinstance(phase, PrunePhase):
            return {}
        # With an average of the weights `cut` is that average, and not what the pruner would leave.
        left = cut if phase.average is None else phase.pruner.preview()
        return residual_of(phase.weights(phase.model), phase.weights(left))

    def _cut(self, prune: PrunePhase) -> None:
        task, plan = self.plan.task, self.plan
        before = {name: weight.detach().clone() for name, weight in prune.weights(prune.model).items()}
        prune.finish()
        self.facts["residuals"] = residual_of(before, prune.weights(prune.model))
        self.facts["seconds_before"] = prune.loop.at.seconds
        final = self._judge(prune.model, "after_cut")
        if plan.config.retrain:  # without, it is the final model
            plan.engine.by_main(lambda: write_model(prune.model, self.folder.after_cut))
        text = f"The hard cut: {final:.2f}% {task.metric} on the {plan.final_split} split."
        self._note("cut", prune.loop.total_steps, prune.loop.at.seconds, text)

    def _end(self, retrain: RetrainPhase) -> None:
        retrain.finish()
        self.facts["seconds_before"] += retrain.loop.at.seconds
        self.facts["retraining_seconds"] = retrain.loop.at.seconds
        self._judge(retrain.model, "after_retraining")

    def _save(self, phase: Phase) -> None:
        """A checkpoint, written by the main process."""
        step = self._step_of(phase)
        if phase.name != "dense":
            self._write_updates(phase)
        self.history.sync()
        state = phase.state_dict() | {
            "step": step,
            "seconds": self._time_of(phase),
            "processes": self.plan.engine.processes,
            "facts": self.facts,
            "history_lines": self.history.lines,
        }
        path = self.plan.engine.by_main(lambda: self.checkpoints.save(step, state))
        if path is not None and phase.name != "dense":
            self._note("checkpoint", step, self._time_of(phase), path.name)
        self._saved_at = step

    def _must_stop(self, made: int) -> bool:
        engine = self.plan.engine
        if engine.processes > 1 and made % _AGREE_EVERY:
            return False
        return engine.any(self.interruption.is_requested)

    def _stop(self, phase: Phase) -> None:
        signum = self.interruption.signum or signal.SIGTERM
        if self._saved_at != self._step_of(phase):
            self._save(phase)
        if phase.name != "dense":
            text = f"{signal.Signals(signum).name} after step {self._step_of(phase)}."
            self._note("interrupted", self._step_of(phase), self._time_of(phase), text)
        raise Interrupted(signum, self.folder.path)

    def _note(self, event: str, step: int, time: float, text: str) -> None:
        self.history.add("event", step, time, event=event, text=text)
        self.observer.noted(event, text)

    def _evaluate(self, model: nn.Module, split: Split) -> float:
        return self.plan.task.evaluate(model, split)

    def _judge(self, model: nn.Module, when: str) -> float:
        """The metric on the split of the final figures; this and all other figures of the model become facts."""
        plan = self.plan
        found = measured(plan.task, model, plan.final_split)
        self.facts[f"accuracy_{when}"] = found.metric
        self.facts[f"val_accuracy_{when}"] = self._evaluate(model, "val") if plan.curve_split == "val" else None
        self.facts.setdefault("details", {})[when] = dict(found.details)
        return found.metric

    def _step_of(self, phase: Phase) -> int:
        return phase.first_step + phase.loop.at.steps

    def _time_of(self, phase: Phase) -> float:
        before: float = self.facts["seconds_before"] if isinstance(phase, RetrainPhase) else 0.0
        return before + phase.loop.at.seconds
