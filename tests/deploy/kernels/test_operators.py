"""The kernels under torch.compile, torch.export and torch.library's own checks."""

import pytest
import torch
from torch import nn

from slrprune.deploy import kernels
from slrprune.deploy.kernels import build
from slrprune.errors import SlrpruneError
from slrprune.sets import Unstructured

pytestmark = pytest.mark.usefixtures("_library")


def model() -> nn.Sequential:
    """A small network of packed layers, with others between them."""
    filters = Unstructured(0.8).project(torch.randn(8, 3, 3, 3))
    weight = Unstructured(0.8).project(torch.randn(10, 8))
    return nn.Sequential(
        kernels.pack_conv2d(filters, torch.randn(8), stride=2, padding=1, relu=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        kernels.pack_linear(weight, torch.randn(10)),
    ).eval()


def operators(graph: torch.fx.Graph) -> set[str]:
    """Names of slrprune's operators in a graph."""
    return {str(node.target).split(".default")[0] for node in graph.nodes if "slrprune" in str(node.target)}


BOTH = {"slrprune.sparse_conv2d", "slrprune.sparse_linear"}


def test_compile_keeps_the_operators_in_one_graph():
    net, x, graphs = model(), torch.randn(2, 3, 12, 12), []

    def remember(module: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        graphs.append(module.graph)
        return module

    with torch.no_grad():
        torch.testing.assert_close(torch.compile(net, backend=remember, fullgraph=True)(x), net(x))
    assert len(graphs) == 1
    assert operators(graphs[0]) == BOTH


def test_compile_through_fakes():
    # aot_eager runs the fakes: a wrong shape there would show here. The second size is compiled as a symbolic one.
    net = model()
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        for batch, size in ((2, 12), (3, 17), (5, 9)):
            x = torch.randn(batch, 3, size, size)
            torch.testing.assert_close(compiled(x), net(x))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")  # torch's own, inside inductor
def test_compile_with_inductor():
    try:
        build.compiler()
    except build.BuildError as error:
        pytest.skip(f"inductor needs a compiler: {error}")
    net, x = model(), torch.randn(2, 3, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(net, fullgraph=True)(x), net(x))


def test_export_saved_and_loaded(tmp_path):
    net = model()
    batch = torch.export.Dim("batch", min=1, max=64)
    with torch.no_grad():
        program = torch.export.export(net, (torch.randn(4, 3, 12, 12),), dynamic_shapes=({0: batch},))
    assert operators(program.graph) == BOTH
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    for n in (1, 5):
        x = torch.randn(n, 3, 12, 12)
        with torch.no_grad():
            torch.testing.assert_close(loaded(x), net(x))


def test_torch_library_finds_no_fault():
    weight, filters = Unstructured(0.8).project(torch.randn(10, 8)), Unstructured(0.8).project(torch.randn(4, 3, 3, 3))
    linear = kernels.pack_linear(weight, torch.randn(10))
    torch.library.opcheck(torch.ops.slrprune.sparse_linear, (torch.randn(5, 8), linear.packed, 10, True))
    conv = kernels.pack_conv2d(filters, padding=1)
    arguments = ([3, 3], [2, 1], [1, 1], [1, 1], False)
    torch.library.opcheck(torch.ops.slrprune.sparse_conv2d, (torch.randn(2, 3, 7, 8), conv.packed, 4, *arguments))
    torch.library.opcheck(torch.ops.slrprune.sparse_conv2d, (torch.randn(3, 7, 8), conv.packed, 4, *arguments))


def test_shapes_are_known_without_computing():
    net = model()
    assert net.to("meta")(torch.empty(6, 3, 20, 20, device="meta")).shape == (6, 10)


def test_inference_mode_and_inputs_that_need_gradients():
    net, x = model(), torch.randn(2, 3, 12, 12)
    expected = net(x)
    with torch.inference_mode():
        assert torch.equal(net(x), expected)
        assert torch.equal(model_packed_here()(torch.ones(1, 4)), torch.ones(1, 1))
    with torch.no_grad():
        assert torch.equal(net(x.clone().requires_grad_()), expected)
    with pytest.raises((RuntimeError, SlrpruneError), match=r"autograd|gradient|requires grad|does not require"):
        net(x.clone().requires_grad_()).sum().backward()


def model_packed_here() -> nn.Module:
    """A layer packed in whatever mode the caller is in."""
    return kernels.pack_linear(torch.tensor([[0.0, 1.0, 0.0, 0.0]]))


def test_in_autocast_the_layer_says_what_it_needs():
    net = model()
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(SlrpruneError, match="needs a float32 input"):
        net(torch.randn(2, 3, 12, 12).bfloat16())
