"""BatchNorm folded into the layer before it, ReLU left to the layer before it: in a graph, or in each Sequential."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from torch import fx, nn

from slrprune.deploy.accelerate.copying import shallow_copy
from slrprune.deploy.accelerate.fold import has_hooks
from slrprune.deploy.accelerate.graph import drop_identities_, fold_, is_read, take_relus_
from slrprune.deploy.accelerate.layer import Calls, Layer, find_layers, obstacle
from slrprune.deploy.accelerate.sequential import fuse_sequentials_
from slrprune.deploy.shrink.example import described

_FUSED_BY_TORCH = (nn.TransformerEncoderLayer, nn.MultiheadAttention)


@dataclass(frozen=True)
class Fused:
    """A model whose layers can be replaced by name.

    Args:
        model: a graph where torch.fx can follow the model, otherwise a copy of the model.
        layers: those that can be replaced; those with `relu` lack it as long as they are not.
        folded: how many BatchNorms went into the layer before them.
        kept_dense: name to reason, for the layers that cannot be replaced.
        untraced: why there is no graph; empty where there is one.
    """

    model: nn.Module
    layers: tuple[Layer, ...]
    folded: int
    kept_dense: dict[str, str]
    untraced: str = ""

    @property
    def is_unchanged(self) -> bool:
        """Whether nothing was folded or fused, and the forward pass is the model's own."""
        return bool(self.untraced) and not self.folded and not any(layer.relu for layer in self.layers)


def fuse(model: nn.Module, calls: Calls, problem_of: Callable[[Fused], str]) -> Fused:
    """The model with as much folded and fused as leaves its outputs as they are; tensors are shared with `model`.

    Args:
        model: a frozen copy.
        calls: what its linear and convolution layers are called with.
        problem_of: says why a fused model is not the model; empty if it is.
    """
    names, kept_dense = _sort(model, calls)
    layers = {name: calls[name] for name in names}
    graph, why = None, _lost_hooks(model)
    if not why:
        try:
            graph = _in_graph(model, layers, kept_dense)
            why = problem_of(graph)
        except Exception as error:  # whatever a stranger's forward pass does with a proxy
            why = f"torch.fx cannot follow the forward pass ({described(error)})"
    if graph is not None and not why:
        return graph
    parts = replace(_in_sequentials(model, layers, kept_dense), untraced=why)
    return parts if not problem_of(parts) else Fused(model, _layers(model, layers, ()), 0, kept_dense, why)


def _lost_hooks(model: nn.Module) -> str:
    """Which module has hooks that a graph would not call, since it holds what is inside of the module only."""
    tracer = fx.Tracer()
    for name, module in model.named_modules():
        if has_hooks(module) and not (name and tracer.is_leaf_module(module, name)):
            return f"{name or type(model).__name__} has forward hooks, which a graph would not call"
    return ""


def _in_graph(model: nn.Module, layers: Calls, kept_dense: dict[str, str]) -> Fused:
    traced = fx.symbolic_trace(shallow_copy(model))
    read = {name: "the forward pass reads its weight directly" for name in layers if is_read(traced, name)}
    layers = {name: calls for name, calls in layers.items() if name not in read}
    drop_identities_(traced)
    folded = fold_(traced, layers)
    relus = take_relus_(traced, layers)
    traced.graph.lint()
    traced.recompile()
    traced.delete_all_unused_submodules()
    return Fused(traced, _layers(traced, layers, relus), folded, kept_dense | read)


def _in_sequentials(model: nn.Module, layers: Calls, kept_dense: dict[str, str]) -> Fused:
    copied = shallow_copy(model)
    folded, relus = fuse_sequentials_(copied, layers)
    return Fused(copied, _layers(copied, layers, relus), folded, kept_dense)


def _layers(model: nn.Module, layers: Calls, relus: Collection[str]) -> tuple[Layer, ...]:
    modules = dict(find_layers(model))
    return tuple(Layer(name, modules[name], relu=name in relus, calls=calls) for name, calls in layers.items())


def _sort(model: nn.Module, calls: Calls) -> tuple[list[str], dict[str, str]]:
    """The names of the layers that can be replaced, and why the others cannot."""
    found, kept_dense = [], {}
    names = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    fused = [name + "." * bool(name) for name, module in model.named_modules() if isinstance(module, _FUSED_BY_TORCH)]
    for name, module in find_layers(model):
        why = obstacle(module)
        if not why and name.startswith(tuple(fused)):
            why = "it is part of a module whose fast path in torch reads the weight directly"
        if not why and names[id(module)] > 1:
            why = "the model knows it under several names"
        if not why and not calls[name]:
            why = "the forward pass does not call it"
        if not why and not Layer(name, module, calls=calls[name]).is_called_alike:
            why = "it is called with several kinds of tensors"
        if why:
            kept_dense[name] = why
        else:
            found.append(name)
    return found, kept_dense
