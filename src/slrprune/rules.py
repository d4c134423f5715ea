"""Which parameter gets which set.

Rules are one set for everything prunable, or a mapping from a pattern to a set, or to None for "stays dense". A
pattern is a parameter or module name, a glob on it, a regular expression behind `re:` that fits it as a whole, or a
module class; a module, a block of many layers as well, stands for all that is inside. The first rule that matches
wins. Wrapper prefixes are not part of a name, neither here nor in a saved state.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.utils import parametrize

from slrprune.distributed.dtensors import is_dtensor
from slrprune.errors import ArgumentError, RuleError, closest
from slrprune.sets.base import ConstraintSet

Rules = ConstraintSet | Mapping[str | type[nn.Module], ConstraintSet | None]

_WRAPPERS = ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
_HOOKED = ("orig", "g", "v")
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, eq=False)
class Target:
    """One parameter of a model: its names (the first is the one we use), its module and how it is stored."""

    names: tuple[str, ...]
    parameter: nn.Parameter
    module: nn.Module
    attribute: str
    obstacle: str = ""
    """Why it cannot be pruned; empty where it can."""
    is_default: bool = True
    """Whether a rule without its full name may select it."""
    around: tuple[nn.Module, ...] = ()
    """The modules that it lies in, from the model to its own; of a tied weight those of every place."""

    @property
    def name(self) -> str:
        """The canonical parameter name."""
        return self.names[0]

    @property
    def is_replaced(self) -> bool:
        """Whether the module no longer holds this very parameter."""
        return not self.obstacle and getattr(self.module, self.attribute, None) is not self.parameter

    @property
    def is_transposed(self) -> bool:
        """Whether the weight is stored as (in, out, ...)."""
        return isinstance(self.module, _TRANSPOSED) or _is_transformers_conv1d(self.module)

    @property
    def unit_dim(self) -> int | None:
        """The dimension along which the output units lie, filters or neurons; None for vectors and for tables."""
        if self.parameter.dim() < 2 or isinstance(self.module, nn.Embedding | nn.EmbeddingBag):
            return None
        if not self.is_transposed:
            return 0
        # stored as (in, out / groups, ...): what lies along dimension 1 belongs to several filters
        return 1 if getattr(self.module, "groups", 1) == 1 else None


@dataclass(frozen=True)
class Assignment:
    """A set and the targets it constrains together: several for a joint set, one for any other."""

    constraint: ConstraintSet
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Skipped:
    """A parameter that stays dense, and why."""

    name: str
    numel: int
    reason: str


def canonical_name(name: str) -> str:
    """`name` without the prefixes that wrappers add (DataParallel, compile, checkpoint wrappers, FSDP).

    Examples:
        >>> canonical_name("module._orig_mod.layer1._checkpoint_wrapped_module.conv.weight")
        'layer1.conv.weight'
    """
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    while len(parts) > 1 and parts[0] == "module":
        parts = parts[1:]
    return ".".join(parts)


def find_targets(model: nn.Module) -> list[Target]:
    """All parameters of `model`, each once, in registration order.

    Raises:
        RuleError: two parameters that only a wrapper prefix tells apart.
    """
    found: dict[int, Target] = {}
    around: dict[str, tuple[nn.Module, ...]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        around[path] = (*around.get(path.rpartition(".")[0], ()), module)
        for attribute, parameter in module.named_parameters(recurse=False):
            target = replace(_target(model, path, module, attribute, parameter), around=around[path])
            known = found.get(id(parameter))
            found[id(parameter)] = _merged(known, target) if known else target
    taken: dict[str, Target] = {}
    for target in found.values():
        for name in () if target.obstacle else target.names:
            if taken.setdefault(name, target) is not target:
                problem = "is the name of two parameters, once wrapper prefixes such as 'module.' are left out"
                raise RuleError(name, problem, "Rename the attribute 'module' of your model.")
    return list(found.values())


def targets_by_name(model: nn.Module) -> dict[str, Target]:
    """All parameters of `model` by canonical name, tied ones under each of theirs.

    What a pruner calls a weight is looked up here: `named_parameters()` has the prefixes of wrappers in its names.

    Raises:
        RuleError: as `find_targets`.
    """
    return {name: target for target in find_targets(model) for name in target.names}


def assign(model: nn.Module, rules: Rules) -> tuple[list[Assignment], list[Skipped]]:
    """Applies `rules` to `model`.

    Returns:
        The assignments in registration order of their first target, and every parameter left dense with the reason.
        Tensors share one budget exactly when the *same object* of a joint set governs them.

    Raises:
        ArgumentError: `rules` is neither a set nor a mapping from patterns to sets.
        RuleError: a pattern without match, a rule that an earlier one covers completely, a selected parameter that
            cannot be pruned, nothing selected at all.
    """
    targets = find_targets(model)
    table = _checked_table(rules)
    chosen, skipped = _choose(targets, table)
    if not chosen:
        listing = "; ".join(f"{entry.name}: {entry.reason}" for entry in skipped[:3])
        raise RuleError("rules", f"nothing to prune in {type(model).__name__}", listing)
    return _group(chosen), skipped


def matched_rules(model: nn.Module, rules: Rules) -> dict[str, str]:
    """The pattern that decides over each parameter, by the parameter's name; none where no rule selects it.

    Raises:
        ArgumentError, RuleError: as `assign`.
    """
    targets, found = find_targets(model), dict[str, str]()
    for pattern in _checked_table(rules):
        for target in _matching(pattern, targets):
            found.setdefault(target.name, pattern.__name__ if isinstance(pattern, type) else pattern)
    return found


def _checked_table(rules: Rules) -> Mapping[str | type[nn.Module], ConstraintSet | None]:
    if isinstance(rules, ConstraintSet):
        return {nn.Module: rules}
    if not isinstance(rules, Mapping):
        rule = "must be a set, or a mapping from pattern to set or None"
        raise ArgumentError("Pruner", "rules", rules, rule, "For example Global(0.9), or {'fc': None, '*': NM(2, 4)}.")
    for pattern, constraint in rules.items():
        if not isinstance(pattern, str) and not (isinstance(pattern, type) and issubclass(pattern, nn.Module)):
            rule = "must have keys that are name patterns or module classes"
            raise ArgumentError("Pruner", "rules", [type(pattern).__name__], rule)
        if constraint is not None and not isinstance(constraint, ConstraintSet):
            raise ArgumentError("Pruner", "rules", {pattern: constraint}, "must have values that are sets or None")
    return dict(rules)


def _choose(
    targets: list[Target], table: Mapping[str | type[nn.Module], ConstraintSet | None]
) -> tuple[list[tuple[Target, ConstraintSet]], list[Skipped]]:
    matches = {pattern: _matching(pattern, targets) for pattern in table}
    _refuse_shadowed(matches)
    chosen: list[tuple[Target, ConstraintSet]] = []
    skipped: list[Skipped] = []
    for target in targets:
        pattern = next((pattern for pattern, found in matches.items() if target in found), None)
        constraint = None if pattern is None else table[pattern]
        is_named = isinstance(pattern, str) and canonical_name(pattern) in target.names
        if constraint is None:
            skipped.append(Skipped(target.name, _numel(target.parameter), _reason(target, pattern)))
        elif not target.parameter.requires_grad and not is_named:
            skipped.append(Skipped(target.name, target.parameter.numel(), "is frozen (requires_grad is False)"))
        elif target.obstacle:
            way_out = f"Or leave it out with the rule {target.name!r}: None, placed first."
            raise RuleError(target.name, target.obstacle, way_out)
        else:
            chosen.append((target, constraint))
    return chosen, skipped


def _matching(pattern: str | type[nn.Module], targets: list[Target]) -> list[Target]:
    """What `pattern` selects; raises where that is nothing."""
    if isinstance(pattern, type):
        prunable = [target for target in targets if target.is_default]
        found = [target for target in prunable if any(isinstance(module, pattern) for module in target.around)]
        if not found and pattern is not nn.Module:
            kinds = sorted({type(target.module).__name__ for target in prunable})
            raise RuleError(f"rule {pattern.__name__}", "no prunable module of this class", f"There are: {kinds}.")
        return found
    exact = [target for target in targets if canonical_name(pattern) in target.names]
    if exact:
        return exact
    hits = [target for target in targets if any(_fits(pattern, name) for name in target.names)]
    found = [target for target in hits if target.is_default]
    if found:
        return found
    if hits:
        way_out = "Such parameters are pruned only where a rule gives the full name."
        raise RuleError(f"rule {pattern!r}", f"selects only {[hit.name for hit in hits[:3]]}", way_out)
    names = [name for target in targets if target.is_default for name in target.names]
    raise RuleError(f"rule {pattern!r}", "matches no parameter", f"The closest names are {closest(pattern, names)}.")


def _fits(pattern: str, name: str) -> bool:
    """Whether a string pattern fits a parameter name, or the name of a module around it."""
    parts = name.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    if pattern.startswith("re:"):
        try:
            return any(re.fullmatch(pattern[3:], name) for name in names)
        except re.error as error:
            raise RuleError(f"rule {pattern!r}", f"is no regular expression ({error})") from None
    pattern = canonical_name(pattern)
    if not _GLOB.search(pattern):
        return pattern in names
    return any(fnmatchcase(name, pattern) for name in names)


def _refuse_shadowed(matches: Mapping[str | type[nn.Module], list[Target]]) -> None:
    taken: dict[int, str | type[nn.Module]] = {}
    for pattern, found in matches.items():
        earlier = [taken[id(target.parameter)] for target in found if id(target.parameter) in taken]
        if found and len(earlier) == len(found):
            covering = list(dict.fromkeys(_show(other) for other in earlier))
            problem = f"can never match, {', '.join(covering)} before it covers all it selects"
            raise RuleError(f"rule {_show(pattern)}", problem, "The first match wins: put the special rule first.")
        for target in found:
            taken.setdefault(id(target.parameter), pattern)


def _group(chosen: list[tuple[Target, ConstraintSet]]) -> list[Assignment]:
    """One assignment per tensor, except that one joint set object makes one assignment of all its tensors."""
    groups: dict[int, tuple[ConstraintSet, list[Target]]] = {}
    for target, constraint in chosen:
        if constraint.is_joint:
            groups.setdefault(id(constraint), (constraint, []))[1].append(target)
        else:
            oriented = constraint.transposed() if target.is_transposed else constraint
            groups[id(target)] = (oriented, [target])
    return [Assignment(constraint, tuple(targets)) for constraint, targets in groups.values()]


def _numel(parameter: nn.Parameter) -> int:
    """Number of entries; 0 while a lazy module has not made them yet."""
    return 0 if nn.parameter.is_lazy(parameter) else parameter.numel()


def _reason(target: Target, pattern: str | type[nn.Module] | None) -> str:
    if pattern is not None:
        return f"rule {_show(pattern)}: None"
    if target.is_default:
        return "no rule selects it"
    return target.obstacle or f"{target.attribute} of {type(target.module).__name__} is not pruned by default"


def _show(pattern: str | type[nn.Module]) -> str:
    return pattern.__name__ if isinstance(pattern, type) else repr(pattern)


def _is_prunable(module: nn.Module, attribute: str) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return attribute in _PROJECTIONS
    kinds = (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)
    return attribute == "weight" and (isinstance(module, kinds) or _is_transformers_conv1d(module))


def _is_transformers_conv1d(module: nn.Module) -> bool:
    """By name, since importing transformers for this would be dear; its module path keeps other Conv1D apart."""
    kinds = type(module).__mro__  # fully_shard makes a subclass of another name
    return any(kind.__name__ == "Conv1D" and kind.__module__.startswith("transformers.") for kind in kinds)


def _target(model: nn.Module, path: str, module: nn.Module, attribute: str, parameter: nn.Parameter) -> Target:
    """A parameter with the name a user knows it by, also where a parametrization or a hook has moved it."""
    name = canonical_name(f"{path}.{attribute}" if path else attribute)
    if isinstance(module, parametrize.ParametrizationList):
        owner_path, _, base = f".{path}".rpartition(".parametrizations.")
        owner_path = owner_path.removeprefix(".")
        owner, names = model.get_submodule(owner_path), (canonical_name(f"{owner_path}.{base}".lstrip(".")), name)
        obstacle = "is parametrized, remove the parametrization before building the pruner"
        return Target(names, parameter, owner, base, obstacle, _is_prunable(owner, base))
    base, _, suffix = attribute.rpartition("_")
    if suffix in _HOOKED and base not in module._parameters and isinstance(getattr(module, base, None), Tensor):
        obstacle = f"is what a hook (prune, weight_norm, spectral_norm) makes {base} from, remove that first"
        return Target((name,), parameter, module, attribute, obstacle, _is_prunable(module, base))
    return Target((name,), parameter, module, attribute, _obstacle(parameter), _is_prunable(module, attribute))


def _obstacle(parameter: nn.Parameter) -> str:
    """Why this parameter cannot be pruned as it stands, or an empty string."""
    if nn.parameter.is_lazy(parameter):
        return "is not initialized yet, run one batch through the model before building the pruner"
    if not parameter.requires_grad:
        return "is frozen (requires_grad is False)"
    if type(parameter.data) is not Tensor and not is_dtensor(parameter):
        return f"is a {type(parameter.data).__name__}, prune before sharding or quantizing"
    if not parameter.is_floating_point():
        return f"has dtype {parameter.dtype}, only floating weights can be pruned"
    return ""


def _merged(known: Target, alias: Target) -> Target:
    """A tied weight: one target with all its names, pruned by default only if every owner's weight would be."""
    names = tuple(dict.fromkeys((*known.names, *alias.names)))
    obstacle, is_default = known.obstacle or alias.obstacle, known.is_default and alias.is_default
    around = (*known.around, *alias.around)
    return Target(names, known.parameter, known.module, known.attribute, obstacle, is_default, around)
