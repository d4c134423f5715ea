"""Whole networks for benchmarks/deploy.py: how they are cut, and every way of computing them densely."""

import copy
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from slrprune.deploy.handover import OnnxSession, compiled_openvino, export_onnx

Candidates = dict[str, Callable[[], object]]
IMAGE = (1, 3, 224, 224)


def lively(model: nn.Module) -> nn.Module:
    """In eval mode, BatchNorm as after some training: none is zero, as timm starts the last one of a branch."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval().requires_grad_(False)


def resnet18() -> nn.Module:
    """timm's, with random weights."""
    return lively(timm.create_model("resnet18"))


def pruned_convolutions(model: nn.Module) -> list[nn.Conv2d]:
    """All but the stem."""
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)][1:]


def folded(model: nn.Module) -> nn.Module:
    """A copy of a timm ResNet with every BatchNorm folded into the convolution before it."""
    model = copy.deepcopy(model)
    modules = dict(model.named_modules())
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d):
            owner, _, own = name.rpartition(".")
            norm = own.replace("conv", "bn") if "conv" in own else str(int(own) + 1)
            path = f"{owner}.{norm}".lstrip(".")
            model.set_submodule(name, fuse_conv_bn_eval(module, modules[path]))
            model.set_submodule(path, nn.Identity())
    return model


def dense_candidates(model: nn.Module, x: Tensor, with_compiled: bool) -> Candidates:
    """Ways of torch to compute a timm ResNet without using its zeros, names beginning with "torch"."""
    plain, last = folded(model), folded(model).to(memory_format=torch.channels_last)
    x_last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(plain(x), model(x), rtol=1e-3, atol=1e-3)
    found: Candidates = {
        "torch eager": partial(model, x),
        "torch channels_last": partial(copy.deepcopy(model).to(memory_format=torch.channels_last), x_last),
        "torch folded": partial(plain, x),
        "torch folded, channels_last": partial(last, x_last),
    }
    if with_compiled:
        torch._dynamo.reset()
        torch._inductor.config.freezing = True
        compiled = torch.compile(copy.deepcopy(plain))
        compiled(x)
        found["torch folded, compiled"] = partial(compiled, x)
    return found


def runtime_candidates(model: nn.Module, x: Tensor, prefix: str = "") -> Candidates:
    """ONNX Runtime and OpenVINO in float32, with as many threads as torch."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(model, x, path)
        session, openvino = OnnxSession(path), compiled_openvino(path)
    fed, array = session.feed(x), x.numpy()
    return {
        f"{prefix}ONNX Runtime": partial(session.run_fed, fed),
        f"{prefix}OpenVINO": partial(openvino, [array]),
    }


def remaining_macs(model: nn.Module, x: Tensor) -> int:
    """Multiply-adds of convolutions and linear layers in one pass, those with zeros left out."""
    total = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        places = output.numel() // module.weight.shape[0]
        total += int(module.weight.count_nonzero()) * places

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    model(x)
    for hook in hooks:
        hook.remove()
    return total


def kill_filters_(model: nn.Module, kept: float) -> None:
    """Zeroes filters at random so that `kept` of every layer's remain: the same ones in all layers of a stage's stream.

    So they can really go: in a residual network a channel of the stream dies only with all that write it.
    """
    generator = torch.Generator().manual_seed(0)

    def dead(channels: int) -> Tensor:
        return torch.randperm(channels, generator=generator)[round(kept * channels) :]

    streams = {width: dead(width) for width in (64, 128, 256, 512)}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            writes_stream = not name.endswith("conv1") or name == "conv1"
            gone = streams[module.out_channels] if writes_stream else dead(module.out_channels)
            module.weight[gone] = 0
            norm = name.replace("conv", "bn") if "conv" in name else name[:-1] + "1"
            model.get_submodule(norm).bias[gone] = 0
            model.get_submodule(norm).running_mean[gone] = 0
