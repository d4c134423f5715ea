"""The blocks of a model: modules in a row, each of which gets what the one before returns."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from slrprune.errors import UsageError
from slrprune.oneshot.layers import PrunableLayer


@dataclass(frozen=True, eq=False)
class BlockSpec:
    """One block: its name in the model, its module, the layers to prune in it."""

    name: str
    module: nn.Module
    layers: tuple[PrunableLayer, ...]


def find_blocks(model: nn.Module, layers: Sequence[PrunableLayer], container: str | None) -> list[BlockSpec]:
    """The blocks, in order; an empty list where the model has none that can be recognized.

    A chain of blocks is an `nn.ModuleList` or `nn.Sequential` of two or more modules of one class. Of several the one
    whose blocks hold the most weights to prune is taken, if that is most of all of them.

    Args:
        model: whose blocks.
        layers: the layers to prune.
        container: name of the container, where the user gives one.

    Raises:
        UsageError: a container that the model does not have, or that holds no modules.
    """
    modules = dict(model.named_modules())
    if container is not None:
        if not isinstance(modules.get(container), (nn.ModuleList, nn.Sequential)):
            known = [name for name, module in modules.items() if isinstance(module, (nn.ModuleList, nn.Sequential))]
            way_out = f"There are: {known[:5]}."
            raise UsageError(f"prune(blocks={container!r})", "no ModuleList or Sequential of this name", way_out)
        return _specs(container, modules[container], layers)
    best: list[BlockSpec] = []
    for name, module in modules.items():
        if not isinstance(module, (nn.ModuleList, nn.Sequential)) or len(module) < 2:
            continue
        if len({type(child) for child in module}) > 1:
            continue
        specs = _specs(name, module, layers)
        if _numel(specs) > _numel(best):
            best = specs
    return best if 2 * _numel(best) > sum(layer.weight.numel() for layer in layers) else []


def _specs(name: str, container: nn.Module, layers: Sequence[PrunableLayer]) -> list[BlockSpec]:
    specs = []
    for key, child in container.named_children():
        inside = {id(module) for module in child.modules()}
        own = tuple(layer for layer in layers if all(id(owner) in inside for owner in layer.owners))
        specs.append(BlockSpec(f"{name}.{key}" if name else key, child, own))
    return specs


def _numel(specs: Sequence[BlockSpec]) -> int:
    return sum(layer.weight.numel() for spec in specs for layer in spec.layers)


@dataclass(frozen=True)
class Slot:
    """Where a block takes the hidden state: the position of an argument, or its keyword."""

    key: int | str

    def put(
        self, hidden: object, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """The arguments with `hidden` in its place."""
        if isinstance(self.key, int):
            return (*args[: self.key], hidden, *args[self.key + 1 :]), kwargs
        return args, {**kwargs, self.key: hidden}

    def get(self, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """What the arguments hold in that place."""
        return args[self.key] if isinstance(self.key, int) else kwargs[self.key]


def find_slot(hidden: object, args: tuple[object, ...], kwargs: dict[str, object]) -> Slot | None:
    """The slot that holds this very tensor, or None."""
    for position, value in enumerate(args):
        if value is hidden:
            return Slot(position)
    for keyword, value in kwargs.items():
        if value is hidden:
            return Slot(keyword)
    return None


def first_slot(args: tuple[object, ...], kwargs: dict[str, object]) -> Slot | None:
    """Where blocks take their hidden state by custom: the first positional argument, or `hidden_states`."""
    if args:
        return Slot(0)
    return Slot("hidden_states") if "hidden_states" in kwargs else None


def hidden_of(name: str, output: object) -> Tensor:
    """The hidden state that a block returns: its output, or the first entry of a tuple.

    Raises:
        UsageError: a block that returns something else.
    """
    first = output[0] if isinstance(output, (tuple, list)) and output else output
    if not isinstance(first, Tensor):
        problem = f"returns a {type(first).__name__} where the next block needs a tensor"
        raise UsageError(name, problem, "Name another container with blocks=..., or give blocks='' to do without.")
    return first
