"""Which parameter gets which set: patterns, precedence, refusals, names without wrapper prefixes."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.utils import parametrizations, parametrize, prune

from slrprune import Channel, Global, Unstructured
from slrprune.errors import ArgumentError, RuleError
from slrprune.rules import Assignment, Skipped, assign, canonical_name, find_targets

HALF, MOST = Unstructured(0.5), Unstructured(0.9)


class Net(nn.Module):
    """Two stages of a convolution and a BatchNorm, a head, an embedding, attention and a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 8)
        self.stage1 = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        self.stage2 = nn.Sequential(nn.ConvTranspose2d(8, 4, 3, bias=False))
        self.attention = nn.MultiheadAttention(8, 2)
        self.recurrent = nn.LSTM(8, 8)
        self.fc = nn.Linear(8, 2)


DEFAULT = ["stage1.0.weight", "stage2.0.weight", "attention.in_proj_weight", "attention.out_proj.weight", "fc.weight"]


def _table(model: nn.Module, rules: Any) -> dict[str, object]:
    """Parameter name to the set it got."""
    assignments, _ = assign(model, rules)
    return {target.name: assignment.constraint for assignment in assignments for target in assignment.targets}


def _names(assignments: list[Assignment]) -> list[str]:
    return [target.name for assignment in assignments for target in assignment.targets]


def test_default_selection_and_the_reason_for_the_rest() -> None:
    model = Net()
    assignments, skipped = assign(model, HALF)
    assert _names(assignments) == DEFAULT
    everything = {name: parameter.numel() for name, parameter in model.named_parameters()}
    assert {entry.name: entry.numel for entry in skipped} == {k: v for k, v in everything.items() if k not in DEFAULT}
    reasons = {entry.name: entry.reason for entry in skipped}
    assert reasons["embedding.weight"] == "weight of Embedding is not pruned by default"
    assert reasons["stage1.0.bias"] == "bias of Conv2d is not pruned by default"
    assert reasons["stage1.1.weight"] == "weight of BatchNorm2d is not pruned by default"
    assert reasons["recurrent.weight_ih_l0"] == "weight_ih_l0 of LSTM is not pruned by default"


@pytest.mark.parametrize(
    ("rules", "selected"),
    [
        ({"fc.weight": HALF}, ["fc.weight"]),  # a parameter's name
        ({"fc": HALF}, ["fc.weight"]),  # its module's name
        ({"stage1.*": HALF}, ["stage1.0.weight"]),  # a glob on names
        ({"stage?.0": HALF}, ["stage1.0.weight", "stage2.0.weight"]),  # a glob on module names
        ({"stage[12].*": HALF}, ["stage1.0.weight", "stage2.0.weight"]),
        ({"*": HALF}, DEFAULT),
        ({r"re:stage\d\.0\.weight": HALF}, ["stage1.0.weight", "stage2.0.weight"]),
        ({r"re:.*_proj.*": HALF}, ["attention.in_proj_weight", "attention.out_proj.weight"]),
        ({r"re:fc|stage1\.0": HALF}, ["stage1.0.weight", "fc.weight"]),  # a regex on module names
        ({nn.Conv2d: HALF}, ["stage1.0.weight"]),
        ({nn.Linear: HALF}, ["attention.out_proj.weight", "fc.weight"]),  # subclasses too
        ({nn.Module: HALF}, DEFAULT),
        ({"module.fc": HALF}, ["fc.weight"]),  # wrapper prefixes do not matter
        ({"module._orig_mod.fc.weight": HALF}, ["fc.weight"]),
        ({"embedding.weight": HALF}, ["embedding.weight"]),  # the full name selects what is dense by default
        ({"fc.bias": HALF, "fc.weight": MOST}, ["fc.weight", "fc.bias"]),
    ],
    ids=str,
)
def test_patterns(rules: Mapping[Any, Unstructured], selected: list[str]) -> None:
    assignments, skipped = assign(Net(), rules)
    assert _names(assignments) == selected
    reasons = {entry.name: entry.reason for entry in skipped}
    assert all(reasons[name] == "no rule selects it" for name in DEFAULT if name not in selected)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        self.fc = nn.Linear(4, 4)


BLOCKS = [f"h.{block}.{name}.weight" for block in (0, 1) for name in ("attn.0", "attn.1", "fc")]


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("h", BLOCKS),
        ("h.0", BLOCKS[:3]),
        ("h.0.attn", BLOCKS[:2]),
        ("h.?.attn", [*BLOCKS[:2], *BLOCKS[3:5]]),
        ("*.attn", [*BLOCKS[:2], *BLOCKS[3:5]]),
        (r"re:h\.0", BLOCKS[:3]),
        (r"re:h\.\d\.attn", [*BLOCKS[:2], *BLOCKS[3:5]]),
        ("module.h.1", BLOCKS[3:]),
        (Block, BLOCKS),
        (nn.Sequential, [*BLOCKS[:2], *BLOCKS[3:5]]),
        (nn.ModuleDict, [*BLOCKS, "head.weight"]),  # the model itself
    ],
)
def test_a_block_stands_for_all_that_is_inside(pattern: Any, selected: list[str]) -> None:
    model = nn.ModuleDict({"h": nn.ModuleList([Block(), Block()]), "head": nn.Linear(4, 2)})
    assert list(_table(model, {pattern: HALF})) == selected
    rest = [name for name in [*BLOCKS, "head.weight"] if name not in selected]
    if rest:
        assert list(_table(model, {pattern: None, "*": MOST})) == rest


def test_a_weight_tied_across_blocks_lies_in_both() -> None:
    model = nn.ModuleDict({"a": nn.Sequential(nn.Linear(4, 4)), "b": Block(), "c": nn.Linear(4, 4)})
    model["b"].fc.weight = model["a"][0].weight
    for pattern in ("a", "b.fc", nn.Sequential, Block):
        assert "a.0.weight" in _table(model, {pattern: HALF})


def test_first_match_wins() -> None:
    table = _table(Net(), {"fc": None, "stage1.*": MOST, nn.ConvTranspose2d: Unstructured(0.1), "*": HALF})
    assert table == {
        "stage1.0.weight": MOST,
        "stage2.0.weight": Unstructured(0.1),
        "attention.in_proj_weight": HALF,
        "attention.out_proj.weight": HALF,
    }
    _, skipped = assign(Net(), {"fc": None, "*": HALF})
    assert Skipped("fc.weight", 16, "rule 'fc': None") in skipped


def test_same_joint_object_is_one_budget_and_equal_objects_are_two() -> None:
    shared = Global(0.5)
    together, _ = assign(Net(), {"stage1.*": shared, "fc": shared, "stage2.*": HALF})
    assert [_names([assignment]) for assignment in together] == [["stage1.0.weight", "fc.weight"], ["stage2.0.weight"]]
    apart, _ = assign(Net(), {"stage1.*": Global(0.5), "fc": Global(0.5)})
    assert [_names([assignment]) for assignment in apart] == [["stage1.0.weight"], ["fc.weight"]]


def test_transposed_convolutions_get_the_set_the_other_way_round() -> None:
    table = _table(Net(), {"stage1.*": Channel(0.5), "stage2.*": Channel(0.5)})
    assert table == {"stage1.0.weight": Channel(0.5, dim=0), "stage2.0.weight": Channel(0.5, dim=1)}


@pytest.mark.parametrize(("package", "is_theirs"), [("transformers.pytorch_utils", True), ("mine.layers", False)])
def test_transformers_conv1d(package: str, is_theirs: bool) -> None:
    """Known by its name, for transformers is not imported; a Conv1D from elsewhere is somebody else's layer."""

    def __init__(self: nn.Module) -> None:  # noqa: N807
        nn.Module.__init__(self)
        self.weight = nn.Parameter(torch.ones(4, 6))  # (in, out)

    kind = type("Conv1D", (nn.Module,), {"__init__": __init__, "__module__": package})
    model = nn.Sequential(kind(), nn.Linear(4, 4))
    table = _table(model, Channel(0.5))
    if is_theirs:
        assert table == {"0.weight": Channel(0.5, dim=1), "1.weight": Channel(0.5, dim=0)}
    else:
        assert list(table) == ["1.weight"]


def test_attention_with_separate_projections() -> None:
    names = list(_table(nn.MultiheadAttention(8, 2, kdim=4, vdim=6), HALF))
    assert names == ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]


class Tied(nn.Module):
    """A decoder that shares its weight with a first layer."""

    def __init__(self, first: nn.Module) -> None:
        super().__init__()
        self.first, self.decoder = first, nn.Linear(4, 6, bias=False)
        self.decoder.weight = first.weight  # type: ignore[assignment]


def test_tied_linear_layers_are_one_target_with_two_names() -> None:
    model = Tied(nn.Linear(4, 6))
    targets = [target for target in find_targets(model) if target.is_default]
    assert [target.names for target in targets] == [("first.weight", "decoder.weight")]
    for rules in (HALF, {"first.*": HALF}, {"decoder": HALF}, {"decoder.weight": HALF}):
        assert _table(model, rules) == {"first.weight": HALF}
    with pytest.raises(RuleError, match=r"rule 'decoder': can never match, 'first' before it covers all it selects"):
        assign(model, {"first": HALF, "decoder": MOST})


def test_a_weight_tied_to_an_embedding_is_pruned_only_by_name() -> None:
    model = Tied(nn.Embedding(6, 4))
    with pytest.raises(RuleError, match=r"first\.weight: weight of Embedding is not pruned by default"):
        assign(model, HALF)
    with pytest.raises(RuleError, match=r"rule 'decoder\*': selects only \['first\.weight'\].*gives the full name"):
        assign(model, {"decoder*": HALF})
    assert _table(model, {"decoder.weight": HALF}) == {"first.weight": HALF}


class Sharded(Tensor):
    """What stands for DTensor and the quantized tensors: a subclass that is not plain memory."""


def _sharded() -> nn.Module:
    layer = nn.Linear(4, 4)
    layer.weight = nn.Parameter(layer.weight.detach().as_subclass(Sharded))
    return layer


class Halved(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


def _parametrized() -> nn.Module:
    layer = nn.Linear(4, 4)
    parametrize.register_parametrization(layer, "weight", Halved())
    return layer


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    ("layer", "name", "reason"),
    [
        (_parametrized, "weight", "is parametrized, remove the parametrization before building the pruner"),
        (lambda: parametrizations.weight_norm(nn.Linear(4, 4)), "weight", "is parametrized"),
        (lambda: parametrizations.orthogonal(nn.Linear(4, 4)), "weight", "is parametrized"),
        (lambda: prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5), "weight_orig", r"is what a hook \(prune, "),
        (lambda: nn.utils.weight_norm(nn.Linear(4, 4)), "weight_g", r"makes weight from, remove that first"),
        (lambda: nn.utils.spectral_norm(nn.Linear(4, 4)), "weight_orig", r"makes weight from, remove that first"),
        (_sharded, "weight", "is a Sharded, prune before sharding or quantizing"),
        (lambda: nn.LazyLinear(4), "weight", "is not initialized yet, run one batch through the model before"),
        (lambda: nn.Linear(4, 4, dtype=torch.complex64), "weight", r"has dtype torch\.complex64, only floating"),
    ],
)
def test_what_cannot_be_pruned_is_refused_by_name(layer: Callable[[], nn.Module], name: str, reason: str) -> None:
    for model, prefix in ((layer(), ""), (nn.Sequential(layer(), nn.Linear(4, 4)), "0.")):
        kinds = [nn.Linear] if isinstance(model, nn.Linear | nn.Sequential) else []
        for rules in (HALF, {"*": HALF}, *({kind: HALF} for kind in kinds)):
            with pytest.raises(RuleError, match=rf"^{prefix}{name}: .*{reason}.*{prefix}{name}': None, placed first"):
                assign(model, rules)
    # The way out works.
    exceptions = dict.fromkeys([f"0.{name}", *(["0.weight_v"] if name == "weight_g" else [])])
    assert list(_table(model, {**exceptions, "*": HALF})) == ["1.weight"]


def test_frozen_weights_stay_dense_unless_named() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[0].weight.requires_grad_(False)
    assignments, skipped = assign(model, HALF)
    assert _names(assignments) == ["1.weight"]
    assert Skipped("0.weight", 16, "is frozen (requires_grad is False)") in skipped
    with pytest.raises(RuleError, match=r"0\.weight: is frozen \(requires_grad is False\)"):
        assign(model, {"0.weight": HALF})


def test_no_match_names_the_three_closest() -> None:
    message = (
        r"rule 'stage1\.0\.wieght': matches no parameter\. The closest names are \['stage1\.0\.weight', .*, .*\]\.$"
    )
    with pytest.raises(RuleError, match=message):
        assign(Net(), {"stage1.0.wieght": HALF})
    with pytest.raises(RuleError, match=r"rule 're:conv.*': matches no parameter"):
        assign(Net(), {"re:conv.*": HALF})
    with pytest.raises(RuleError, match=r"rule Conv3d: no prunable module of this class. There are: \['Conv2d', "):
        assign(Net(), {nn.Conv3d: HALF})
    with pytest.raises(RuleError, match=r"rule Embedding: no prunable module of this class"):
        assign(Net(), {nn.Embedding: HALF})


def test_a_pattern_that_selects_only_what_stays_dense() -> None:
    with pytest.raises(RuleError, match=r"rule '\*\.bias': selects only \['stage1\.0\.bias', .*gives the full name"):
        assign(Net(), {"*.bias": HALF})


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            {"*": HALF, "fc": MOST},
            r"rule 'fc': can never match, '\*' before it covers all it selects\. The first match",
        ),
        ({nn.Linear: HALF, "fc.weight": None}, r"rule 'fc\.weight': can never match, Linear before it"),
        (
            {"stage1.*": HALF, "stage2.*": None, "stage*": MOST},
            r"can never match, 'stage1\.\*', 'stage2\.\*' before it",
        ),
    ],
)
def test_a_covered_rule_is_an_error(rules: Mapping[Any, Any], message: str) -> None:
    with pytest.raises(RuleError, match=message):
        assign(Net(), rules)


def test_a_partly_covered_rule_is_fine() -> None:
    assert _table(Net(), {"fc": MOST, nn.Linear: HALF}) == {"attention.out_proj.weight": HALF, "fc.weight": MOST}


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (0.9, r"Pruner\(rules=0\.9\): rules must be a set, or a mapping from pattern to set or None\. For example"),
        (None, r"Pruner\(rules=None\): rules must be a set"),
        (Unstructured, r"rules must be a set"),
        ([HALF], r"rules must be a set"),
        ({"fc": 0.9}, r"Pruner\(rules=\{'fc': 0\.9\}\): rules must have values that are sets or None"),
        ({3: HALF}, r"Pruner\(rules=\['int'\]\): rules must have keys that are name patterns or module classes"),
        ({nn.Linear(2, 2): HALF}, r"Pruner\(rules=\['Linear'\]\): rules must have keys"),
        ({int: HALF}, r"rules must have keys that are name patterns or module classes"),
    ],
)
def test_rules_of_another_type(rules: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        assign(Net(), rules)


def test_a_broken_regular_expression() -> None:
    with pytest.raises(RuleError, match=r"rule 're:\(': is no regular expression \(missing \)"):
        assign(Net(), {"re:(": HALF})


@pytest.mark.parametrize("rules", [{}, {"fc": None}, {"*": None}], ids=str)
def test_nothing_to_prune(rules: Mapping[Any, Any]) -> None:
    with pytest.raises(RuleError, match=r"^rules: nothing to prune in Net\. embedding\.weight: "):
        assign(Net(), rules)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("conv.weight", "conv.weight"),
        ("module.conv.weight", "conv.weight"),
        ("module.module.conv.weight", "conv.weight"),
        ("_orig_mod.module.conv.weight", "conv.weight"),
        ("module._orig_mod.conv._checkpoint_wrapped_module.weight", "conv.weight"),
        ("_fsdp_wrapped_module.conv._fsdp_wrapped_module.weight", "conv.weight"),
        ("encoder.module.weight", "encoder.module.weight"),  # an attribute of the user's, not a wrapper
        ("module", "module"),
        ("weight", "weight"),
    ],
)
def test_canonical_names(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        lambda model: torch.compile(model, backend="eager"),
        checkpoint_wrapper,
        lambda model: nn.Sequential(*(checkpoint_wrapper(layer) for layer in model)),
        lambda model: nn.DataParallel(checkpoint_wrapper(model)),
    ],
    ids=["DataParallel", "compile", "checkpoint", "checkpoint inside", "both"],
)
def test_wrappers_change_no_name(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    plain, wrapped = find_targets(model), find_targets(wrap(model))
    assert [target.names for target in wrapped] == [target.names for target in plain]
    assert all(a.parameter is b.parameter for a, b in zip(wrapped, plain, strict=True))
    assert _table(wrap(model), {"0.*": None, "1": HALF}) == {"1.weight": HALF}


def test_two_parameters_that_only_a_prefix_tells_apart() -> None:
    class Clash(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 2)
            self.weight = nn.Parameter(torch.ones(2))

    with pytest.raises(RuleError, match=r"^weight: is the name of two parameters.*Rename the attribute 'module'"):
        assign(Clash(), HALF)


def test_frozen_normalization_of_a_weight_norm_model_is_no_clash() -> None:
    """Both halves of a weight-normed weight carry its name; neither can be selected."""
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 4))
    assert list(_table(model, {"0.weight": None, "*": HALF})) == ["1.weight"]
