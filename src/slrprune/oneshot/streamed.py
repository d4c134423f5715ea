"""Weights that stay on disk: a model whose parameters are on `meta`, and a checkpoint that fills it part by part."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from slrprune.errors import DataError, UsageError


class StreamedWeights:
    """A safetensors checkpoint: one file, or a folder with one or several.

    Args:
        path: the file, or a folder with `model.safetensors`, or with `model.safetensors.index.json` and its files.

    Raises:
        DataError: nothing there that can be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = _index(path)

    def fill(self, model: nn.Module, module: nn.Module) -> None:
        """Gives every parameter of `module` that is on meta its tensor from the disk.

        Args:
            model: whose names the checkpoint uses.
            module: `model` itself or a part of it.

        Raises:
            DataError: a parameter that the checkpoint does not hold, or in another shape.
        """
        names = _names_on_meta(model, module)
        _replace(model, {key: nn.Parameter(self._tensor(found, model)) for key, found in names.items()})

    def missing(self, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Every parameter of `model` that is on meta: its first name, and its tensor from the disk, one at a time.

        Raises:
            DataError: a parameter that the checkpoint does not hold, or in another shape.
        """
        for names in _names_on_meta(model, model).values():
            yield names[0], self._tensor(names, model)

    def release(self, model: nn.Module, module: nn.Module) -> None:
        """Puts the parameters of `module` back on meta."""
        parameters = list(module.parameters())
        _replace(model, {id(p): nn.Parameter(torch.empty_like(p, device="meta")) for p in parameters})

    def _tensor(self, names: list[str], model: nn.Module) -> Tensor:
        name = next((name for name in names if name in self._files), None)
        if name is None:
            raise DataError(str(self._path), f"does not hold {names[0]!r}", "Is this the checkpoint of this model?")
        expected = model.get_parameter(names[0])
        with safe_open(self._files[name], framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
        if tensor.shape != expected.shape:
            problem = f"holds {name!r} in shape {tuple(tensor.shape)}, and the model wants {tuple(expected.shape)}"
            raise DataError(str(self._path), problem)
        return tensor.to(expected.dtype)


def fill_outside(streamed: StreamedWeights, model: nn.Module, blocks: Iterable[nn.Module]) -> None:
    """Fills all of the model but its blocks.

    Raises:
        UsageError: a buffer on meta, which no checkpoint restores for sure.
    """
    for name, buffer in model.named_buffers():
        if buffer.is_meta:
            way_out = "Build the model so that only parameters are on meta, as accelerate's init_empty_weights() does."
            raise UsageError(name, "is a buffer on meta", way_out)
    inside = {id(module) for block in blocks for module in block.modules()}
    for module in model.modules():
        if id(module) not in inside and any(p.is_meta for p in module.parameters(recurse=False)):
            streamed.fill(model, _Shallow(module))


class _Shallow(nn.Module):
    """The parameters of a module without those of its children."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        for name, parameter in module.named_parameters(recurse=False):
            self.register_parameter(name, parameter)


def _names_on_meta(model: nn.Module, module: nn.Module) -> dict[int, list[str]]:
    """All names in `model` of every parameter of `module` that is on meta, by its id."""
    wanted = {id(parameter) for parameter in module.parameters() if parameter.is_meta}
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in wanted:
            names.setdefault(id(parameter), []).append(name)
    return names


def _replace(model: nn.Module, replaced: dict[int, nn.Parameter]) -> None:
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if id(parameter) in replaced:
                fresh = replaced[id(parameter)]
                fresh.requires_grad_(parameter.requires_grad)
                module.register_parameter(name, fresh)


def _index(path: Path) -> dict[str, Path]:
    """Tensor name to file."""
    index = path / "model.safetensors.index.json"
    if index.is_file():
        files = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {name: path / file for name, file in files.items()}
    single = path / "model.safetensors" if path.is_dir() else path
    if not single.is_file():
        way_out = "Name a .safetensors file, or a folder with model.safetensors or model.safetensors.index.json."
        raise DataError(str(path), "there is no checkpoint here", way_out)
    try:
        with safe_open(single, framework="pt") as file:
            return dict.fromkeys(file.keys(), single)
    except Exception as error:
        raise DataError(str(single), f"is no safetensors file ({error})") from None
