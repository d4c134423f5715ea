"""Which channels of a group can go, and why the others cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from slrprune.deploy.shrink.coupling import Coupling, Group, Link, Role
from slrprune.deploy.shrink.cut import Cut, Fold, Merge, Shift
from slrprune.deploy.shrink.kinds import blocks, width
from slrprune.deploy.shrink.reader import Reader

Columns = dict[int, list[int]]
"""Channel of the root -> the inputs of a layer that it becomes; several after a flatten."""

Merges = dict[str, dict[int, list[tuple[int, int, float]]]]
"""Layer -> channel of the root -> (input, the input that carries it from now on, factor)."""


@dataclass(frozen=True)
class Selection:
    """What goes of one group.

    Attributes:
        cut: the channels that can go, or None where there are none.
        reasons: channel of the root -> why it stays; for all that do.
    """

    cut: Cut | None
    reasons: Mapping[int, str]


def select(coupling: Coupling, group: Group, readers: Mapping[str, Reader]) -> Selection:
    """Chooses the channels of `group` that can go without changing anything but rounding.

    A channel can go if every layer that reads it has zero weights there, or finds a constant there. Where the constant
    is not zero it is folded into the layer's bias, into the BatchNorm behind it, or into another constant channel,
    which stays and carries it.

    Args:
        coupling: the graph.
        group: a group of it.
        readers: every layer that reads, by name.
    """
    read = {channel for link in group.readers() for channel, _ in link.pairs}
    reasons = dict.fromkeys(set(group.channels) - read, "no layer reads it: the model returns it, or hides its way")
    reasons |= group.blocked
    channels = _unopposed(coupling, group, readers, reasons)
    columns = {link.name: _columns(link) for link in group.readers()}
    channels, merges = _merge(channels, columns, readers, reasons)
    channels = _spare(channels, coupling.model, group, reasons)
    if not channels:
        return Selection(None, reasons)
    closure = coupling.closure(group.root, channels)
    folds: list[Fold] = [*_merged(channels, merges), *_shifts(closure, readers)]
    return Selection(_cut(closure, folds), reasons)


def _unopposed(coupling: Coupling, group: Group, readers: Mapping[str, Reader], reasons: dict[int, str]) -> list[int]:
    """The channels to which no reader objects, with all that has to go with them."""
    _object(group, readers, reasons)
    channels = [channel for channel in group.channels if channel not in reasons]
    while channels:
        closure = coupling.closure(group.root, channels)
        reasons |= {channel: why for channel, why in closure.blocked.items() if channel not in reasons}
        _object(closure, readers, reasons)
        left = [channel for channel in channels if channel not in reasons]
        if left == channels:
            break
        channels = left
    return channels


def _object(group: Group, readers: Mapping[str, Reader], reasons: dict[int, str]) -> None:
    """Adds to `reasons` the first objection against each channel."""
    tied = _tied(group)
    for link in group.readers():
        reader = readers[link.name]
        for channel, index in link.pairs:
            if channel not in reasons and (objection := reader.objection(index)):
                reasons[channel] = tied if tied and reader.depends(index) else objection


def _tied(group: Group) -> str:
    """Why a channel that is dead in one layer of several is alive; empty where there is one layer."""
    names = [link.name for link in group.having(Role.WRITES)]
    if len(names) < 2:
        return ""
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"a sum or product ties it to channels of {listed}, and not all of these are dead"


def _columns(link: Link) -> Columns:
    columns: Columns = {}
    for channel, index in sorted(link.pairs):
        columns.setdefault(channel, []).append(index)
    return columns


def _merge(
    channels: list[int], columns: Mapping[str, Columns], readers: Mapping[str, Reader], reasons: dict[int, str]
) -> tuple[list[int], Merges]:
    """Keeps a few channels as carriers of the constants that some layers can take in no other way."""
    needs: dict[int, list[str]] = {}
    for name, own in columns.items():
        if not readers[name].can_shift:
            for channel in channels:
                if any(readers[name].contribution(index) for index in own.get(channel, ())):
                    needs.setdefault(channel, []).append(name)
    carriers = _carriers(needs, columns, readers)
    merges: Merges = {}
    for channel, names in needs.items():
        if channel in carriers.values() or not carriers.keys() >= set(names):
            reasons[channel] = readers[names[0]].carrier_reason()
            continue
        for name in names:
            pairs = zip(columns[name][channel], columns[name][carriers[name]], strict=True)
            factors = [(i, j, readers[name].contribution(i) / readers[name].constant(j)) for i, j in pairs]
            merges.setdefault(name, {})[channel] = factors
    return [channel for channel in channels if channel not in reasons], merges


def _carriers(
    needs: Mapping[int, Sequence[str]], columns: Mapping[str, Columns], readers: Mapping[str, Reader]
) -> dict[str, int]:
    """For each layer in need a channel that is a constant other than zero there; greedily, so that they are few."""
    uncovered = list(dict.fromkeys(name for names in needs.values() for name in names))
    strengths = {
        channel: {name: _strength(columns[name].get(channel, ()), readers[name]) for name in uncovered}
        for channel in needs
    }
    carriers: dict[str, int] = {}
    while uncovered:
        # The one that serves most layers, and is far from zero where it is nearest: factors stay small.
        serves = {channel: [own[name] for name in uncovered if own[name]] for channel, own in strengths.items()}
        best = max(serves, key=lambda channel: (len(serves[channel]), min(serves[channel], default=0), -channel))
        served = [name for name in uncovered if strengths[best][name]]
        if not served:
            break
        carriers |= dict.fromkeys(served, best)
        uncovered = [name for name in uncovered if name not in served]
    return carriers


def _strength(indices: Sequence[int], reader: Reader) -> float:
    """The smallest magnitude of a channel's constants in a layer; 0 if it has none, or one is zero."""
    magnitudes = [abs(reader.constant(index)) for index in indices]
    return min(magnitudes, default=0.0) if all(magnitude > 0 for magnitude in magnitudes) else 0.0


def _spare(channels: list[int], model: nn.Module, group: Group, reasons: dict[int, str]) -> list[int]:
    """Spares channels until every layer has one left, and grouped convolutions have groups of equal size."""
    links = group.readers() + group.having(Role.WRITES)
    spared: set[int] | None = None
    while spared != set():
        spared = set()
        for link in links:
            layer = model.get_submodule(link.name)
            own = _too_many(set(channels) - spared, link, width(layer, link.role is Role.WRITES), blocks(layer))
            why = "would have no channel left" if blocks(layer) == 1 else "would have groups of unequal size, or empty"
            reasons |= dict.fromkeys(own, f"{link.name} {why}")
            spared |= own
        channels = [channel for channel in channels if channel not in spared]
    return channels


def _too_many(channels: set[int], link: Link, total: int, count: int) -> set[int]:
    """The lowest channels of each block, as many as it would lose beyond what all blocks can lose."""
    size = total // count
    gone: list[dict[int, int]] = [{} for _ in range(count)]  # per block: index -> channel
    for channel, index in link.pairs:
        if channel in channels:
            gone[index // size][index] = channel
    allowed = min(size - 1, *map(len, gone))
    return {channel for block in gone for channel in sorted(block.values())[: len(block) - allowed]}


def _cut(closure: Group, folds: Sequence[Fold]) -> Cut:
    return Cut(
        root=closure.root,
        outputs={link.name: link.indices() for link in closure.writers()},
        inputs={link.name: link.indices() for link in closure.readers()},
        parameters={link.name: (link.dim, link.indices()) for link in closure.having(Role.HOLDS)},
        folds=tuple(folds),
    )


def _merged(channels: Sequence[int], merges: Merges) -> list[Merge]:
    chosen = {
        name: tuple(part for channel in channels for part in by_channel.get(channel, ()))
        for name, by_channel in merges.items()
    }
    return [Merge(name, parts) for name, parts in chosen.items() if parts]


def _shifts(closure: Group, readers: Mapping[str, Reader]) -> list[Shift]:
    shifts = []
    for link in closure.readers():
        reader = readers[link.name]
        constants = {index: value for index in link.indices() if (value := reader.contribution(index))}
        if reader.can_shift and constants:
            shifts.append(Shift(link.name, constants, reader.norm))
    return shifts
