"""`prune`: one-shot pruning of a whole model."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from slrprune.errors import UsageError
from slrprune.oneshot.batches import Batch, checked_batches, digest
from slrprune.oneshot.collect import GramCollector
from slrprune.oneshot.gram import Gram
from slrprune.oneshot.identity import fingerprint, tensor_digests
from slrprune.oneshot.journal import Journal
from slrprune.oneshot.layers import PrunableLayer, prunable_layers
from slrprune.oneshot.plan import plan_stages
from slrprune.oneshot.price import cost_histogram, resolved
from slrprune.oneshot.problem import LayerProblem
from slrprune.oneshot.report import LayerRecord, OneShotReport, Progress, peak_memory
from slrprune.oneshot.slr import SLR
from slrprune.oneshot.solver import Solver
from slrprune.oneshot.streamed import StreamedWeights
from slrprune.oneshot.walk import Stage
from slrprune.rules import Rules, canonical_name
from slrprune.sets.base import ConstraintSet
from slrprune.sets.global_ import Global

_log = logging.getLogger(__name__)


def prune(
    model: nn.Module,
    calibration: Iterable[Batch],
    rules: Rules,
    solver: Solver | None = None,
    *,
    blocks: str | None = None,
    folder: str | Path | None = None,
    weights: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> OneShotReport:
    """Prunes a trained model in place, layer by layer, without training.

    The walk goes through the model's blocks in order. For every block it passes the calibration data through, with the
    outputs of the blocks pruned so far as inputs, and accumulates H = X^T X of every layer; solves the layers'
    problems; passes the data through again to get the next block's inputs. A model without a chain of blocks is walked
    layer by layer, with one partial pass of the whole model per layer.

    Memory beside the model (or beside one block, see `weights`): H of the layers of one block, 8 n^2 bytes for n
    inputs, once for layers that share their input; some copies of one layer's weight and of its H in the solver; the
    hidden states of all calibration data between two blocks.

    Args:
        model: in eval mode, on any device. Weights are replaced by sparse ones of the same shape and dtype.
        calibration: batches on the model's device: a tensor (`model(batch)`), a mapping (`model(**batch)`) or another
            sequence (`model(*batch)`). They are all kept. Every row counts in H, so give batches without padding.
        rules: one set for all prunable weights, or a mapping from pattern to set, or to None for what stays dense; as a
            `Pruner` takes them. The tensors of a `Global` share one budget by one price per weight, which takes one
            more walk.
        solver: `SLR()` by default.
        blocks: name of the `nn.ModuleList` or `nn.Sequential` that holds the blocks. By default the model's greatest
            list of modules of one class, if each gets what the one before returns; '' walks layer by layer.
        folder: where every finished stage is written, so that a killed run, called again with the dense model, goes on
            from there. In the end the folder is a checkpoint of the pruned model in safetensors.
        weights: a safetensors file or folder, for a model whose parameters are on `meta`: blocks are loaded one at a
            time and released, so that one block is in memory at once. Needs `folder`, where the result is.
        progress: called after every stage.

    Returns:
        A report with a record per layer.

    Raises:
        UsageError: a model in training mode, a layer without a layer problem, blocks that are none, `weights` without
            `folder`, or a model on `meta` without `weights`.
        DataError: no calibration rows, a layer that was never called, a checkpoint that is not there.
        NonFiniteError: NaN or infinity in an activation or a weight, with the layer's name.
        RuleError, ShapeError: rules that do not fit the model.
        StateError: a folder of another run, or of one that began with other weights.
    """
    started = time.monotonic()
    if model.training:
        raise UsageError("prune", "the model is in training mode, and dropout would spoil H", "Call model.eval().")
    batches = checked_batches(calibration)
    layers, skipped = prunable_layers(model, rules)
    streamed = _streamed(model, weights, folder)
    run = _Run(model, solver or SLR())
    with torch.no_grad(), _without_cache(model):
        stages = plan_stages(model, batches, layers, blocks, streamed)
        journal = None
        if folder is not None:
            settings = fingerprint(model, layers, run.solver, batches, stages)
            journal = Journal(Path(folder), settings, tensor_digests(model, streamed))
        constraints = run.constraints(stages, layers, journal)
        records = run.walk(stages, constraints, journal, progress)
    if journal is not None:
        _close(journal, model, stages)
    device = next(model.parameters()).device
    return OneShotReport(
        tuple(records), tuple(skipped), tuple(run.notes), time.monotonic() - started, peak_memory(device)
    )


class _Run:
    """One walk, and what it has to say."""

    def __init__(self, model: nn.Module, solver: Solver) -> None:
        self.model = model
        self.solver = solver
        self.notes: list[str] = []

    def constraints(
        self, stages: Sequence[Stage], layers: Sequence[PrunableLayer], journal: Journal | None
    ) -> dict[str, ConstraintSet]:
        """The set of every layer alone; the budgets of joint sets are shared out, with a walk of their own."""
        alone = {layer.name: layer.constraint for layer in layers}
        joint = [layer for layer in layers if layer.constraint.is_joint]
        if not joint:
            return alone
        if journal is not None and journal.counts:
            return {**alone, **{name: Global(params=count) for name, count in journal.counts.items()}}
        histograms = self._histograms(stages, joint)
        weights: dict[str, Tensor] = {layer.name: layer.weight for layer in layers}
        for constraint in {id(layer.constraint): layer.constraint for layer in joint}.values():
            assert isinstance(constraint, Global)  # as prunable_layers has checked
            names = [layer.name for layer in joint if layer.constraint is constraint]
            alone.update(resolved(constraint, names, weights, histograms))
        if journal is not None:
            counts = {layer.name: alone[layer.name] for layer in joint}
            journal.counts = {name: each.params or 0 for name, each in counts.items() if isinstance(each, Global)}
        return alone

    def _histograms(self, stages: Sequence[Stage], joint: Sequence[PrunableLayer]) -> dict[str, Tensor]:
        """Of the layers whose budget goes by price, from a walk through the dense model."""
        names = {layer.name for layer in joint if _goes_by_price(layer.constraint)}
        found: dict[str, Tensor] = {}
        for stage in stages if names else ():
            stage.open()
            chosen = [layer for layer in stage.layers if layer.name in names]
            collector = collect(stage, chosen)
            for layer in chosen:
                found[layer.name] = cost_histogram(_problem(layer, collector.gram(layer.name)))
            stage.close()
        return found

    def walk(
        self,
        stages: Sequence[Stage],
        constraints: dict[str, ConstraintSet],
        journal: Journal | None,
        progress: Callable[[Progress], None] | None,
    ) -> list[LayerRecord]:
        """Prunes stage after stage, or restores what an earlier run has pruned."""
        done = journal.finished if journal is not None else 0
        records: list[LayerRecord] = []
        for number, stage in enumerate(stages):
            stage.open()
            if journal is not None and number < done:
                _restore(stage, journal.load(number))
                new = journal.records(number)
            else:
                new = tuple(self._solve(stage, constraints))
                if journal is not None:
                    pruned = {layer.name: digest([layer.weight]) for layer in stage.layers}
                    journal.add(stage.tensors(), new, pruned)
            stage.close()
            records.extend(new)
            if progress is not None:
                progress(Progress(stage.name, number + 1, len(stages), new, number < done))
        return records

    def _solve(self, stage: Stage, constraints: dict[str, ConstraintSet]) -> list[LayerRecord]:
        collector = collect(stage, stage.layers)
        records = []
        for layer in stage.layers:
            gram = collector.gram(layer.name)
            problem = _problem(layer, gram)
            self._note_few(layer.name, gram.samples, problem.gram.shape[-1])
            started = time.monotonic()
            found = self.solver.solve(problem, constraints[layer.name])
            seconds = time.monotonic() - started
            nnz, error = int(found.mask.sum()), problem.error(found.weight)
            layer.weight.copy_(found.weight)  # last: the problem refers to the old weight
            shape, samples = tuple(found.weight.shape), gram.samples
            records.append(
                LayerRecord(layer.name, shape, nnz, error, samples, found.iterations, found.is_converged, seconds)
            )
        return records

    def _note_few(self, name: str, samples: int, inputs: int) -> None:
        """Says once that there is less data than unknowns."""
        if samples < inputs and not self.notes:
            note = (
                f"{name} and perhaps others: {samples} calibration rows for {inputs} inputs, so H is singular and is "
                "damped. Give more data: an error on so few rows says little about others."
            )
            self.notes.append(note)
            _log.warning(note)


def collect(stage: Stage, layers: Sequence[PrunableLayer]) -> GramCollector:
    """H of some layers of an open stage, from one pass; from two where layers only seemed to share their inputs."""
    for shares in (True, False):
        collector = GramCollector(layers, shares=shares)
        if layers:
            with collector:
                stage.run(collector)
        if collector.is_sound:
            break
    return collector


def _problem(layer: PrunableLayer, gram: Gram) -> LayerProblem:
    return LayerProblem(layer.weight.detach(), gram.mean, layer.layout, layer.name)


def _goes_by_price(constraint: ConstraintSet) -> bool:
    return isinstance(constraint, Global) and constraint.allocation == "magnitude"


def _restore(stage: Stage, saved: dict[str, Tensor]) -> None:
    for name, tensor in stage.tensors().items():
        tensor.copy_(saved[name])


def _streamed(model: nn.Module, weights: str | Path | None, folder: str | Path | None) -> StreamedWeights | None:
    if weights is None:
        if any(parameter.is_meta for parameter in model.parameters()):
            raise UsageError("prune", "the model's parameters are on meta", "Say with weights=... where they are.")
        return None
    if folder is None:
        problem = "weights=... leaves nothing in memory, so the result needs a place"
        raise UsageError("prune", problem, "Give folder=..., too.")
    return StreamedWeights(Path(weights))


@contextmanager
def _without_cache(model: nn.Module) -> Iterator[None]:
    """Keeps a transformers model from filling a key-value cache, which a second pass through a block would extend."""
    config = getattr(model, "config", None)
    if not getattr(config, "use_cache", False):
        yield
        return
    config.use_cache = False  # type: ignore[union-attr]  # it has the attribute
    try:
        yield
    finally:
        config.use_cache = True  # type: ignore[union-attr]


def _close(journal: Journal, model: nn.Module, stages: Sequence[Stage]) -> None:
    names = [sorted(stage.tensors()) for stage in stages]
    held = {name for own in names for name in own}
    rest: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        known = canonical_name(name)
        if known not in held and not tensor.is_meta and id(tensor) not in seen:
            rest[known] = tensor
            seen.add(id(tensor))
    journal.close(rest, names)
