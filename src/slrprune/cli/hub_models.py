"""`hf:NAME` on a command line: a model of transformers with an example of its inputs."""

import importlib.util
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from slrprune.errors import DataError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

HUB = "hf:"
_TOKENS = 16


def load_hub_model(name: str, verb: str) -> "tuple[nn.Module, dict[str, Tensor]]":
    """A model of transformers in eval mode, of the class that its configuration names, as `slrprune oneshot` loads it.

    Args:
        name: `hf:` and the name of a model on the Hub, or a folder.
        verb: for messages.

    Returns:
        The model, and one example: 16 tokens, an image, or a second of sound, according to what the model takes.

    Raises:
        MissingExtraError: transformers is not installed.
        DataError: there is no such model, or it cannot be read.
        UsageError: a model whose inputs we cannot guess.
    """
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError(f"{verb} {name}", "transformers", "transformers")
    import transformers

    where = name.removeprefix(HUB)
    try:
        config = transformers.AutoConfig.from_pretrained(where)
        kind = getattr(transformers, (config.architectures or ["AutoModel"])[0], transformers.AutoModel)
        model = kind.from_pretrained(where).eval()
    except (OSError, ValueError) as error:
        problem = f"transformers finds no model it can load ({str(error).strip().splitlines()[0].rstrip('.')})"
        raise DataError(name, problem, "Give a name on the Hub, or a folder with config.json and weights.") from None
    return model, _example(model, name, verb)


def _example(model: Any, name: str, verb: str) -> "dict[str, Tensor]":
    """A keyword for each input that the model needs."""
    main = model.main_input_name
    maker = _MAKERS.get(main)
    if maker is None:
        way_out = "Return (model, example_inputs) from a function of your own: file.py:function."
        raise UsageError(verb, f"{name} takes {main!r}, of which we know no example", way_out)
    inputs = {main: maker(model.config)}
    if model.config.is_encoder_decoder and main == "input_ids":
        inputs["decoder_input_ids"] = inputs[main]
    return inputs


def _tokens(config: Any) -> "Tensor":
    import torch

    return torch.arange(1, _TOKENS + 1).remainder(config.get_text_config().vocab_size).unsqueeze(0)


def _image(config: Any) -> "Tensor":
    import torch

    size = config.image_size
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return torch.randn(1, config.num_channels, height, width)


def _sound(_: Any) -> "Tensor":
    import torch

    return torch.randn(1, 16_000)


_MAKERS: Mapping[str, Callable[[Any], "Tensor"]] = {
    "input_ids": _tokens,
    "pixel_values": _image,
    "input_values": _sound,
}
