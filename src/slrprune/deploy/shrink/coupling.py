"""Which channels can only go together: torch-pruning's dependency graph, told by names.

G. Fang, X. Ma, M. Song, M. B. Mi, X. Wang, "DepGraph: towards any structural pruning", CVPR 2023. The graph says which
channels belong together; what is cut, and how, is decided and done here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from slrprune.deploy.shrink.kinds import is_depthwise, is_per_channel, is_plain_embedding, is_weighted, width
from slrprune.deploy.shrink.trace import all_groups, group_of, map_pads, operation, trace

if TYPE_CHECKING:
    from torch_pruning.dependency import Group as TorchPruningGroup


class Role(Enum):
    """What a layer does with the channels of a group."""

    WRITES = "its outputs are the channels"
    READS = "its inputs are the channels"
    PASSES = "it has values per channel and mixes none"
    HOLDS = "a parameter outside the known layers, with the channels along one dimension"


@dataclass(frozen=True)
class Link:
    """The part of one layer, or one parameter, in a group.

    Attributes:
        name: of the module, or of the parameter where the role is HOLDS.
        role: what it does with the channels.
        pairs: (root, index) for each of its channels in the group: the channel of the group's root, and its own.
        dim: the dimension of a parameter that holds the channels.
    """

    name: str
    role: Role
    pairs: tuple[tuple[int, int], ...]
    dim: int = 0

    def indices(self) -> tuple[int, ...]:
        """Its own channels, ascending."""
        return tuple(sorted({index for _, index in self.pairs}))


@dataclass(frozen=True)
class Group:
    """Channels that layers share, numbered as the outputs of one of these layers, the root.

    Attributes:
        root: name of the root.
        channels: those of its outputs that belong here.
        links: every layer and parameter in the group.
        blocked: why a channel of the root can never go, by channel.
    """

    root: str
    channels: tuple[int, ...]
    links: tuple[Link, ...]
    blocked: dict[int, str] = field(default_factory=dict)

    def having(self, role: Role) -> list[Link]:
        """The links of one role."""
        return [link for link in self.links if link.role is role]

    def readers(self) -> list[Link]:
        """The layers that read the channels, and so decide."""
        return self.having(Role.READS)

    def writers(self) -> list[Link]:
        """The layers whose outputs are the channels, or have one value or filter for each."""
        return self.having(Role.WRITES) + self.having(Role.PASSES)


class Coupling:
    """The dependency graph of a model.

    Args:
        model: in eval mode, all floating parameters with gradients.
        inputs: an example.

    Raises:
        MissingExtraError: torch-pruning is not installed.
        UsageError: torch-pruning cannot follow the forward pass.
    """

    def __init__(self, model: nn.Module, inputs: object) -> None:
        self.model = model
        self.graph = trace(model, inputs)
        self._names = {id(module): name for name, module in model.named_modules()}
        self._pads = map_pads(self.graph)
        self._shared = _sharing_modules(model)

    def groups(self) -> list[Group]:
        """All groups; together they have every output of every layer that can be cut."""
        groups = [self._told(group) for group in all_groups(self.graph)]
        covered = {(link.name, index) for group in groups for link in group.writers() for index in link.indices()}
        # A layer of which one group has only some channels, as behind a padded shortcut, is no root any more.
        for name, module in self.model.named_modules():
            outputs = [index for index in range(width(module, of_outputs=True)) if (name, index) not in covered]
            if outputs and module in self.graph.module2node and not is_per_channel(module):
                groups.append(self.closure(name, outputs))
                covered |= {(link.name, index) for link in groups[-1].writers() for index in link.indices()}
        return groups

    def closure(self, root: str, channels: Sequence[int]) -> Group:
        """These outputs of a layer, with everything that has to go with them."""
        return self._told(group_of(self.graph, self.model.get_submodule(root), channels))

    def norm_after(self, name: str) -> str | None:
        """The BatchNorm with running statistics that alone reads a layer's output, each called once; or None."""
        node = self.graph.module2node.get(self.model.get_submodule(name))
        for _ in range(2):  # a BatchNorm with an activation inside is two nodes
            if node is None or len(node.outputs) != 1:
                return None
            (node,) = node.outputs
            if len(node.inputs) != 1:
                return None
            if isinstance(node.module, _BatchNorm):
                usable = node.module.running_mean is not None and id(node.module) not in self._shared
                return self._names.get(id(node.module)) if usable else None
            if "BatchNorm" not in operation(node):
                return None
        return None

    def _told(self, group: "TorchPruningGroup") -> Group:
        root = self._names[id(group[0].dep.target.module)]
        links: list[Link] = []
        blocked: dict[int, str] = {}
        for item in group.items:
            target = item.dep.target
            pairs = tuple(zip(item.root_idxs, item.idxs, strict=True))
            if id(target) in self._pads:
                before, end = self._pads[id(target)]
                reason = "the forward pass pads the channels with zeros there, by a fixed number"
                blocked |= {root: reason for root, index in pairs if not before <= index < end}
            link, obstacle = self._link(item.dep, pairs)
            if obstacle:
                blocked |= {root: obstacle for root, _ in pairs if root not in blocked}
            if link is not None:
                links.append(link)
        channels = tuple(sorted(set(group[0].root_idxs)))
        if any(channel is None for link in links for channel, _ in link.pairs):
            blocked = dict.fromkeys(channels, "torch-pruning cannot number its channels there")
        return Group(root, channels, tuple(links), blocked)

    def _link(self, dependency: Any, pairs: tuple[tuple[int, int], ...]) -> tuple[Link | None, str]:
        """One item of torch-pruning's group, and why it cannot be cut if so."""
        target, module = dependency.target, dependency.target.module
        if isinstance(module, nn.Parameter):
            return Link(self.graph._param_to_name[module], Role.HOLDS, pairs, target.pruning_dim), ""
        name = self._names.get(id(module))
        if name is None:  # a sum, a reshape, a concatenation: nothing to cut
            return None, "the model returns it" if target.type.name == "OUTPUT" else ""
        unlike = target.type.name == "DEPTHWISE_CONV" and not is_depthwise(module)  # their notion is wider than ours
        if unlike or not (is_weighted(module) or is_plain_embedding(module) or is_per_channel(module)):
            return None, f"it passes {name}, and shrink cannot cut a {type(module).__name__} exactly"
        role = self._role(dependency)
        limit = width(module, of_outputs=role is not Role.READS)
        if any(not 0 <= index < limit for _, index in pairs) and not isinstance(module, nn.PReLU):
            return None, f"torch-pruning's numbers do not fit {name}"
        shared = f"{name} shares a parameter with another layer" if id(module) in self._shared else ""
        return Link(name, role, pairs), shared

    def _role(self, dependency: Any) -> Role:
        module = dependency.target.module
        if is_per_channel(module) or is_depthwise(module):
            return Role.PASSES
        reads = dependency.handler == self.graph.get_pruner_of_module(module).prune_in_channels
        return Role.READS if reads and is_weighted(module) else Role.WRITES


def _sharing_modules(model: nn.Module) -> set[int]:
    """Ids of the modules that own a parameter which another module owns too."""
    owners: dict[int, list[int]] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append(id(module))
    return {module for modules in owners.values() if len(modules) > 1 for module in modules}
