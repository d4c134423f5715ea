"""The copies that shrink works on: one that stays as the reference, one in float64 that is cut, and the way back."""

import copy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from slrprune.deploy.shrink.example import cast, described, refused_example, relative_difference, shuffled
from slrprune.deploy.shrink.findings import Findings
from slrprune.deploy.shrink.kinds import is_stateless_norm
from slrprune.deploy.shrink.probe import Fill, noise, nothing, path_of, probe
from slrprune.deploy.shrink.resize import resize_model_
from slrprune.errors import NonFiniteError, UsageError

Model = TypeVar("Model", bound=nn.Module)

TOLERANCE = 1e-5
"""Greatest relative difference of the outputs in float32, the issue's bound; in float64 a ten-thousandth of it."""


@dataclass(frozen=True)
class Reference:
    """The model as it was, in eval mode, with what it gives on the example."""

    model: nn.Module
    inputs: object
    outputs: list[Tensor]
    path: list[str]

    def tolerance(self) -> float:
        """1e-5, or 16 roundings of the model's coarsest dtype where these are more."""
        kinds = {tensor.dtype for tensor in self.model.parameters() if tensor.is_floating_point()}
        return max(TOLERANCE, *(16 * torch.finfo(kind).eps for kind in kinds), 0.0)


@dataclass(frozen=True)
class Workpiece:
    """The copy that is cut: in eval mode, in float64 if it runs so, with gradients for torch-pruning.

    Attributes:
        model: the copy.
        examples: the example, and where the model takes it another input of the same kind.
        references: what the model gave on each of them before the first cut.
        path: names of the modules that the forward pass calls.
        tolerance: greatest relative difference that is still rounding.
    """

    model: nn.Module
    examples: list[object]
    references: list[list[Tensor]]
    path: list[str]
    tolerance: float

    def findings(self) -> Findings:
        """What depends on the input, whatever integers are in it.

        Raises:
            UsageError: the forward pass calls other modules for other values.
        """
        found = self._probe(self.examples[0])
        for sign in (1, -1):  # on other integers than before, where there are any
            found.widen(self._probe(self.examples[-1], noise(sign), found))
        return found

    def _probe(self, inputs: object, fill: Fill = nothing, known: Findings | None = None) -> Findings:
        try:
            found = probe(self.model, inputs, fill, known)
        except Exception as error:  # the forward pass may ask for values, and NaN are none
            raise _dynamic(f"it fails ({described(error)})") from error
        if found.path != self.path:
            raise _dynamic("it calls other modules")
        return found


def refer(model: nn.Module, inputs: object) -> Reference:
    """Copies `model` and runs the copy on the example.

    Raises:
        ArgumentError: the model does not take the example.
        NonFiniteError: it gives NaN.
        UsageError: its masks or parametrizations are still there, it cannot be copied, or it gives something else each
            time.
    """
    _refuse_masks(model)
    try:
        reference = copy.deepcopy(model).eval()
    except Exception as error:  # any module may refuse to be copied
        problem = f"the model cannot be copied ({described(error)})"
        raise UsageError("shrink", problem, "Detach the tensors that it keeps beside its parameters.") from error
    try:
        outputs, path = path_of(reference, inputs)
    except Exception as error:  # a wrong example fails anywhere in the forward pass
        raise refused_example("shrink", inputs, error) from error
    if any(bool(tensor.isnan().any()) for tensor in outputs):
        raise NonFiniteError("shrink", "the model's output on the example")
    if relative_difference(outputs, path_of(reference, inputs)[0]) > 0:
        problem = "two passes over the example in eval mode give different outputs"
        raise UsageError("shrink", problem, "Remove what is random, or keeps state, from the forward pass.")
    return Reference(reference, inputs, outputs, path)


def prepare(reference: Reference) -> Workpiece:
    """The copy to cut; in the model's own dtype where it does not run in float64 (a dtype is fixed, or has none there).

    Raises:
        UsageError: the forward pass calls other modules for other inputs.
    """
    try:
        model, inputs = copy.deepcopy(reference.model).double(), cast(reference.inputs, torch.float64)
        expected, _ = path_of(model, inputs)
        tolerance = TOLERANCE * 1e-4
    except (RuntimeError, TypeError, ValueError):
        model, inputs, expected = copy.deepcopy(reference.model), reference.inputs, reference.outputs
        tolerance = reference.tolerance()
    examples, references = [inputs], [expected]
    other = shuffled(inputs)
    try:
        outputs, path = path_of(model, other)
    except Exception:  # the values of the example meant something: lengths, positions
        outputs, path = [], reference.path
    if path != reference.path:
        raise _dynamic("it calls other modules")
    if outputs and not any(bool(tensor.isnan().any()) for tensor in outputs):
        examples.append(other)
        references.append(outputs)
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return Workpiece(model, examples, references, path, tolerance)


def give_back(work: nn.Module, original: Model) -> Model:
    """A copy of the original with the sizes and values of `work`, in its own dtypes."""
    result = copy.deepcopy(original)
    state = work.state_dict()
    resize_model_(result, {name: value.shape for name, value in state.items() if isinstance(value, Tensor)})
    result.load_state_dict(state)
    for name, module in work.named_modules():
        if is_stateless_norm(module):
            its_copy = result.get_submodule(name)
            assert is_stateless_norm(its_copy)
            its_copy.num_features = module.num_features
    return result


def _refuse_masks(model: nn.Module) -> None:
    for name, module in model.named_modules():
        where = name or "the model"
        if any(isinstance(hook, prune.BasePruningMethod) for hook in module._forward_pre_hooks.values()):
            way_out = "Make them permanent first: torch.nn.utils.prune.remove(module, 'weight')."
            raise UsageError("shrink", f"{where} still has masks of torch.nn.utils.prune", way_out)
        if parametrize.is_parametrized(module):
            way_out = "Make them permanent first: torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')."
            raise UsageError("shrink", f"{where} has parametrizations", way_out)


def _dynamic(problem: str) -> UsageError:
    way_out = "Shrink the parts whose path is fixed."
    return UsageError("shrink", f"the forward pass depends on the values of the input: for others {problem}", way_out)
