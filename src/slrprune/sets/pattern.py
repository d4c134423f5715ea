"""Kernel patterns: every kernel takes one shape of a small library, and some kernels go altogether."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from slrprune.distributed.slices import Slice
from slrprune.errors import ArgumentError, ShapeError
from slrprune.sets.base import PerTensorSet, check_progress, kept_count
from slrprune.sets.claims import Claim, Ranked, Settled
from slrprune.sets.groups import squares
from slrprune.sets.topk import top_k

Pattern = tuple[tuple[bool, ...], ...]


def compact_patterns(size: int = 3, entries: int = 4, count: int = 8) -> tuple[Pattern, ...]:
    """The most compact patterns that contain the centre.

    Trained kernels have most of their energy at the centre and near it, and the patterns that PatDNN finds best look
    like that. So: of all patterns of `entries` cells with the centre, the `count` with the least moment of inertia, the
    sum of squared distances between their cells; at equal moments those nearer to the centre. Of the 56 patterns of 4
    cells in 3 x 3 these are the four squares of 2 x 2 (moment 8) and the four T shapes around the centre (moment 11).
    Rotations and reflections map the library to itself.

    Args:
        size: side of the kernel, odd.
        entries: cells that stay, the centre included.
        count: how many patterns; the last tie is broken by the order of the cells.

    Examples:
        >>> [[int(cell) for cell in row] for row in compact_patterns()[0]]
        [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    """
    cells = [(row, column) for row in range(size) for column in range(size)]
    centre = (size // 2, size // 2)
    choices = [p for p in combinations(cells, entries) if centre in p]
    choices.sort(key=lambda p: (_moment(combinations(p, 2)), _moment((cell, centre) for cell in p)))
    return tuple(
        tuple(tuple((row, column) in choice for column in range(size)) for row in range(size))
        for choice in choices[:count]
    )


def _moment(pairs: Iterable[tuple[tuple[int, int], ...]]) -> int:
    return sum((a - c) ** 2 + (b - d) ** 2 for (a, b), (c, d) in pairs)


FOUR_OF_NINE = compact_patterns()
"""The default library: 8 patterns of 4 entries for 3 x 3 kernels; see `compact_patterns`."""

_PIECE = 1 << 15  # kernels whose squares and losses stay near the cache, about 2 MB
_SHORT_PIECE = 1 << 12  # the same where many passes are made over them


@dataclass(frozen=True)
class KernelPattern(PerTensorSet):
    """The tensors whose kernels each fit a pattern of a library, a given number of kernels being zero.

    S = {W : supp(W_g) within some P_j for every kernel g, #{g : W_g != 0} <= k}, k = kernels - round(connectivity *
    kernels), at least 1; g over all (out, in). With `fraction` below 1 only round(fraction * kernels) kernels obey.

    The projection gives every kernel the pattern that loses the least energy (sum of squares), the first of equal
    ones, and then keeps the k kernels with the most energy left (equation 5): the choice of a pattern does not depend
    on that of the others, so this order is exact. With a fraction those kernels obey that lose the least. Linear in
    kernels times patterns.

    Args:
        patterns: the library: matrices of bool (or 0 and 1) of one shape, True = stays. Default `FOUR_OF_NINE`.
        connectivity: fraction of the kernels that go as a whole, in [0, 1).
        fraction: part of the kernels that obey, in [0, 1]; `at` sets it. Below 1 only without connectivity.

    Raises:
        ArgumentError: an empty library, patterns of different shapes or without an entry, connectivity or fraction
            outside its range.
        ShapeError: a weight that is not (out, in, *kernel) with kernels of the patterns' shape.

    Examples:
        >>> import torch
        >>> KernelPattern().project(torch.arange(9.0).view(1, 1, 3, 3))
        tensor([[[[0., 0., 0.],
                  [0., 4., 5.],
                  [0., 7., 8.]]]])

    Reference:
        W. Niu, X. Ma, S. Lin, S. Wang, X. Qian, X. Lin, Y. Wang, B. Ren, "PatDNN", ASPLOS 2020, section 4.
    """

    patterns: tuple[Pattern, ...] = FOUR_OF_NINE
    connectivity: float = 0.0
    fraction: float = 1.0

    groups_decide_alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        library = tuple(tuple(tuple(bool(cell) for cell in row) for row in pattern) for pattern in self.patterns)
        shapes = {(len(pattern), *map(len, pattern)) for pattern in library}
        if len(shapes) != 1 or len(set(next(iter(shapes))[1:])) != 1 or not all(any(map(any, p)) for p in library):
            rule = "must be matrices of one shape, with at least one True each"
            raise ArgumentError("KernelPattern", "patterns", self.patterns, rule)
        object.__setattr__(self, "patterns", library)
        if not 0 <= self.connectivity < 1:
            rule = "must be in [0, 1), the fraction of kernels that go"
            raise ArgumentError("KernelPattern", "connectivity", self.connectivity, rule)
        if not 0 <= self.fraction <= 1:
            raise ArgumentError("KernelPattern", "fraction", self.fraction, "must be in [0, 1]")
        if self.fraction < 1 and self.connectivity:
            rule = "must be 1 where connectivity is not 0"
            raise ArgumentError("KernelPattern", "fraction", self.fraction, rule, "Use at(progress).")

    def __repr__(self) -> str:
        library = "" if self.patterns == FOUR_OF_NINE else f"patterns={self.patterns}, "
        fraction = f", fraction={self.fraction}" if self.fraction < 1 else ""
        return f"KernelPattern({library}connectivity={self.connectivity}{fraction})"

    def check(self, name: str, shape: Sequence[int]) -> None:
        """Raises `ShapeError` unless the last two of four dimensions are those of the patterns."""
        kernel = (len(self.patterns[0]), len(self.patterns[0][0]))
        if len(shape) != 4 or tuple(shape[2:]) != kernel:
            rule = f"KernelPattern needs a weight of shape (out, in, {kernel[0]}, {kernel[1]})"
            raise ShapeError(name, rule, shape, f"Use patterns of its kernel's shape, or leave {name} out.")

    def at(self, progress: float) -> "KernelPattern":
        """The looser set that zeros the fraction `progress` of what this one zeros: first patterns, then connectivity.

        One after the other, because with both in part the nearest point has no direct solution. While the
        patterns spread, no kernel goes: `fraction` grows, the cheapest kernels first. Then connectivity grows.
        """
        check_progress("KernelPattern.at", progress)
        if not self.connectivity or progress == 1:
            return replace(self, fraction=progress * self.fraction)
        cells = [cell for pattern in self.patterns for row in pattern for cell in row]
        density = sum(cells) / len(cells)
        zeros = progress * (1 - density * (1 - self.connectivity))  # of all entries
        if zeros < 1 - density:
            return replace(self, fraction=zeros / (1 - density), connectivity=0.0)
        return replace(self, connectivity=min(max(0.0, 1 - (1 - zeros) / density), self.connectivity))

    def select_one(self, weight: Tensor) -> Tensor:
        """The mask of the best pattern of every kernel, and of the kernels that stay."""
        mask, losses, kept = self._measured(weight)
        if self.fraction < 1:
            mask |= top_k([losses], self._spared(len(mask)))[0].unsqueeze(1)
        if self.connectivity:
            mask &= top_k([kept], kept_count(len(mask), self.connectivity))[0].unsqueeze(1)
        return mask.view(weight.shape)

    def thresholds(self, weight: Tensor, mask: Tensor) -> Tensor:
        """Where the best pattern without the entry loses as much as the kernel's own.

        t^2 = v^2 + (what the kernel's own pattern loses) - (the least that a pattern without the entry loses). 0 in the
        cell that every pattern has: nothing cuts it, but connectivity, which is left aside.
        """
        library = torch.tensor(self.patterns, device=weight.device).flatten(1)  # (patterns, cells)
        size = library.shape[1]
        flat = [[cell for row in pattern for cell in row] for pattern in self.patterns]
        without = [[index for index, pattern in enumerate(flat) if not pattern[cell]] for cell in range(size)]
        found = weight.new_empty(weight.numel() // size, size)
        piece = _SHORT_PIECE if weight.device.type == "cpu" else max(1, len(found))
        for kernels, kept, out in zip(
            weight.reshape(found.shape).split(piece),
            mask.reshape(found.shape).split(piece),
            found.split(piece),
            strict=True,
        ):
            energies = squares(kernels).t().contiguous()
            losses = (~library).to(energies.dtype) @ energies  # (patterns, kernels)
            own = energies.masked_fill(kept.t(), 0).sum(0)  # 0 for a kernel that need not obey yet, so that t is 0
            for cell in range(size):
                if without[cell]:
                    least = reduce(torch.minimum, [losses[index] for index in without[cell]])
                    energies[cell] += own - least
                else:
                    energies[cell] = 0
            out.copy_(energies.clamp_(min=0).sqrt_().t())
        return found.view(weight.shape)

    def check_slices(self, name: str, shape: tuple[int, ...], ranks: int) -> None:
        """Every slice will do: a kernel lies in one."""
        self.check(name, shape)

    def claim_one(self, part: Slice) -> Claim:
        """Every kernel decides for itself; with a fraction, or with connectivity, the kernels compete."""
        mask, losses, kept = self._measured(part.tensor)
        kernels = part.shape[0] * part.shape[1]

        def spare(masks: list[Tensor]) -> list[Tensor]:
            return [(mask | masks[0].unsqueeze(1)).view(part.tensor.shape)]

        def thin(masks: list[Tensor]) -> list[Tensor]:
            return [(mask & masks[0].unsqueeze(1)).view(part.tensor.shape)]

        if self.fraction < 1:
            return Ranked([losses], self._spared(kernels), kernels, finish=spare)
        if self.connectivity:
            return Ranked([kept], kept_count(kernels, self.connectivity), kernels, finish=thin)
        return Settled([mask.view(part.tensor.shape)])

    def _spared(self, kernels: int) -> int:
        """How many kernels need not obey."""
        return kernels - round(self.fraction * kernels)

    def _measured(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Per kernel the mask of its best pattern, (kernels, cells), what that loses, and what it keeps.

        The last is empty without connectivity.
        """
        library = torch.tensor(self.patterns, device=weight.device).flatten(1)  # (patterns, cells)
        size = library.shape[1]
        bests, losses, kept = [], [], [squares(weight.new_empty(0))]
        for kernels in weight.reshape(weight.numel() // size, size).split(_PIECE):
            energies = squares(kernels).t()
            best, loss = _best_patterns(energies, library)
            bests.append(best)
            losses.append(loss)
            if self.connectivity:
                kept.append((library.to(energies.dtype) @ energies).gather(0, best.unsqueeze(0))[0])
        return library.index_select(0, torch.cat(bests)), torch.cat(losses), torch.cat(kept)


def _best_patterns(energies: Tensor, library: Tensor) -> tuple[Tensor, Tensor]:
    """Per kernel the index of the pattern that loses least, and what it loses.

    What is lost is compared, not what is kept: a kernel that fits loses exactly 0 whatever the rounding, so it stays.
    The last bits of a loss carry the index of its pattern, so that one minimum finds both, and the lowest index of
    equal losses. For 8 patterns that rounds the loss to 2^-49 of itself.

    Args:
        energies: squared entries, (cells, kernels).
        library: (patterns, cells), bool.
    """
    losses = (~library).to(energies.dtype) @ energies  # (patterns, kernels)
    integer = torch.int64 if losses.dtype == torch.float64 else torch.int32
    index_bits = (1 << (len(library) - 1).bit_length()) - 1
    indices = torch.arange(len(library), dtype=integer, device=losses.device).unsqueeze(1)
    # Numbers of at least 0 are ordered like their bits. A loss of 0 with an index is a subnormal number, which
    # `torch.set_flush_denormal` would make 0. (`amin` of 64-bit integers is many times slower on CPUs.)
    least = reduce(torch.minimum, losses.view(integer).bitwise_and_(~index_bits).bitwise_or_(indices))
    return (least & index_bits).long(), (least & ~index_bits).view(losses.dtype)
