"""What was chosen, as a small file: another process applies it without measuring."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slrprune.deploy.accelerate.candidates import BY_NAME
from slrprune.deploy.accelerate.layer import Layout
from slrprune.deploy.sparse_file.write import write_file
from slrprune.errors import DataError

_VERSION = 1


@dataclass(frozen=True)
class Choices:
    """Which variant of the model to build, and by which candidate each layer is computed.

    Attributes:
        fused: whether BatchNorm is folded and ReLU fused; otherwise the model stays as it was.
        layout: memory format in which images travel.
        layers: layer to candidate, for the layers that are not dense.
    """

    fused: bool
    layout: Layout
    layers: Mapping[str, str]

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        content = {"slrprune_choices": _VERSION, "fused": self.fused, "layout": self.layout.value}
        return json.dumps(content | {"layers": dict(self.layers)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Choices":
        """What `to_json` wrote.

        Raises:
            DataError: it did not write this, or another version did.
        """
        try:
            content: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError("Choices", f"the text is no JSON ({error})", _WAY_OUT) from error
        if not isinstance(content, dict) or content.get("slrprune_choices") != _VERSION:
            raise DataError("Choices", f"the text holds no choices of version {_VERSION}", _WAY_OUT)
        fused, layers = content.get("fused"), content.get("layers")
        layout = next((each for each in Layout if each.value == content.get("layout")), None)
        if not isinstance(fused, bool) or layout is None:
            raise DataError("Choices", "fused or layout is missing or wrong", _WAY_OUT)
        if not isinstance(layers, dict) or not all(candidate in list(BY_NAME) for candidate in layers.values()):
            raise DataError("Choices", "layers is missing, or names an unknown candidate", _WAY_OUT)
        return cls(fused, layout, layers)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `to_json` to a file, for example beside the sparse file; complete or not there at all.

        Raises:
            FileWriteError: the file cannot be written; one that was there is untouched.
        """
        write_file(Path(path), f"{self.to_json()}\n".encode(), "Choices.save")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Choices":
        """Reads a file that `save` wrote.

        Raises:
            DataError: no such file, or not written by `save`.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"Choices.load({str(path)!r})", f"cannot read: {error}", "Check the path.") from error


_WAY_OUT = "Let accelerate measure again, and save report.choices."
