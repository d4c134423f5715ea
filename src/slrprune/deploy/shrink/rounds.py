"""shrink: a model without its dead filters, channels and neurons, equal to the original but for rounding."""

import torch
from torch import Tensor, nn

from slrprune.deploy.shrink.copies import Model, Reference, give_back, prepare, refer
from slrprune.deploy.shrink.coupling import Coupling, Role
from slrprune.deploy.shrink.cut import Cut, apply_cuts_
from slrprune.deploy.shrink.example import relative_difference
from slrprune.deploy.shrink.findings import Findings
from slrprune.deploy.shrink.kinds import is_weighted, live_connections
from slrprune.deploy.shrink.ledger import Ledger, Reasons
from slrprune.deploy.shrink.probe import path_of
from slrprune.deploy.shrink.reader import Reader
from slrprune.deploy.shrink.report import ShrinkReport, Side
from slrprune.deploy.shrink.select import select
from slrprune.deploy.shrink.verify import Trial
from slrprune.errors import UsageError
from slrprune.macs import macs_per_weight


def shrink(model: Model, example_inputs: object) -> tuple[Model, ShrinkReport]:
    """A copy of `model` without its dead filters, channels and neurons; in eval mode it computes the same.

    A channel goes if every layer that reads it has zero weights there, or finds a constant there: the bias of a neuron
    whose weights are all zero, or what BatchNorm and activation make of a filter of zeros. The constant is folded into
    the bias of the layer that reads it, or into the running mean of the BatchNorm behind that layer. Where it cannot
    be folded, because zeros are padded around it or there is neither bias nor BatchNorm, a few such channels (mostly
    one) stay and carry the constants of all. Channels that a sum or a concatenation ties together go together or not at
    all.

    Every cut is tried on a copy in float64, on the example and on a shuffled one; a cut that changes the outputs is
    left out, and reported. Names in the state dict do not change, only shapes: `resize_model_` gives them to a freshly
    built model.

    Args:
        model: any module whose zeros are in its weights, on any device, in any floating dtype. It is copied, worked on
            in eval mode, and not changed; the copy returned has its training flags.
        example_inputs: a tensor, a tuple of positional arguments, or a dict of keyword arguments of `model`, on its
            device.

    Returns:
        The new model, and what was removed and what was not. Without dead channels the new model equals the original.

    Raises:
        MissingExtraError: torch-pruning is not installed (extra `shrink`).
        ArgumentError: the model does not take the example.
        NonFiniteError: the model gives NaN on the example.
        UsageError: the output does not depend on the input, since a layer on the only way is all zero; the forward
            pass takes another path for other inputs, is random, or cannot be followed; masks of torch.nn.utils.prune
            are not yet permanent; or the new model's outputs differ by more than 1e-5 relative (16 roundings for dtypes
            coarser than float32).

    Examples:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        >>> model[0].weight.data[1] = 0
        >>> smaller, report = shrink(model, torch.randn(1, 8))
        >>> smaller[0], report.layers[0].outputs
        (Linear(in_features=8, out_features=3, bias=True), (1,))
    """
    with torch.inference_mode(False):
        reference = refer(model, example_inputs)
        work = prepare(reference)
        trial = Trial(work.examples, work.references, work.tolerance)
        ledger = Ledger(work.model)
        refused: dict[str, str] = {}
        while True:
            findings = work.findings()
            _refuse_cut_network(work.model, findings)
            round_ = _Round(Coupling(work.model, work.examples[0]), findings)
            cuts, problems = trial.sift(work.model, round_.cuts(refused))
            refused |= problems
            if not cuts:
                break
            apply_cuts_(work.model, cuts)
            ledger.note(cuts)
        smaller = give_back(work.model, model)
        return smaller, _report(reference, smaller, ledger, round_.reasons(refused), findings)


class _Round:
    """One look at the model as it is now. Cutting it may make more channels useless, so there are several.

    Args:
        coupling: the graph of the model as it is now.
        findings: what its layers read.
    """

    def __init__(self, coupling: Coupling, findings: Findings) -> None:
        model = coupling.model
        self.readers = {
            name: Reader(name, module, findings.readings.get(name), coupling.norm_after(name))
            for name, module in model.named_modules()
            if is_weighted(module)
        }
        self.groups = coupling.groups()
        self.selections = [select(coupling, group, self.readers) for group in self.groups]

    def cuts(self, refused: dict[str, str]) -> list[Cut]:
        """The cuts of all groups but those that were tried in vain, by root."""
        return [chosen.cut for chosen in self.selections if chosen.cut is not None and chosen.cut.root not in refused]

    def reasons(self, refused: dict[str, str]) -> Reasons:
        """Why the channels of each layer stay."""
        reasons: dict[tuple[str, Side, int], str] = {}
        for group, chosen in zip(self.groups, self.selections, strict=True):
            for link in group.readers() + group.writers():
                side: Side = "inputs" if link.role is Role.READS else "outputs"
                for channel, index in link.pairs:
                    why = chosen.reasons.get(channel, refused.get(group.root, ""))
                    reasons.setdefault((link.name, side, index), why)
        return reasons


def _refuse_cut_network(model: nn.Module, findings: Findings) -> None:
    if findings.output_depends:
        return
    dead = [name for name, m in model.named_modules() if is_weighted(m) and not bool(live_connections(m).any())]
    because = f", since all weights of {', '.join(dead)} are zero" if dead else ""
    problem = f"the model's output does not depend on its input{because}"
    raise UsageError("shrink", problem, "Prune again with a lower sparsity there.")


def _report(
    reference: Reference, smaller: nn.Module, ledger: Ledger, reasons: Reasons, called: Findings
) -> ShrinkReport:
    flags = {module: module.training for module in smaller.modules()}
    smaller.eval()
    outputs, _ = path_of(smaller, reference.inputs)
    for module, training in flags.items():
        module.training = training
    difference = relative_difference(reference.outputs, outputs)
    if difference > (limit := reference.tolerance()):
        problem = f"the smaller model's outputs differ by {difference:.1e} relative, more than {limit:.1e}"
        raise UsageError("shrink", problem, "Nothing was changed; shrink a float64 copy if the model is very deep.")
    return ShrinkReport(
        layers=ledger.layers(smaller),
        leftovers=ledger.leftovers(smaller, reasons),
        parameters_before=_parameter_count(reference.model),
        parameters_after=_parameter_count(smaller),
        macs_before=_macs(reference.model, reference.inputs, called),
        macs_after=_macs(smaller, reference.inputs, called),
        relative_difference=difference,
        shapes={name: tuple(value.shape) for name, value in smaller.state_dict().items() if isinstance(value, Tensor)},
    )


def _parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _macs(model: nn.Module, inputs: object, called: Findings) -> int:
    """Of all layers that the forward pass calls."""
    weights = {f"{name}.weight": model.get_submodule(name).get_parameter("weight") for name in called.readings}
    costs = macs_per_weight(model, weights, inputs)
    return sum(cost * weight.numel() for cost, weight in zip(costs, weights.values(), strict=True))
