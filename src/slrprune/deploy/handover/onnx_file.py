"""A pruned model as an ONNX file: written by torch's exporter, checked with ONNX Runtime before it is there."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slrprune.deploy.handover.example import as_arguments, reference
from slrprune.deploy.handover.quiet import quiet
from slrprune.deploy.shrink.example import described, relative_difference, tensors_in
from slrprune.deploy.sparse_file.write import write_file
from slrprune.errors import ArgumentError, MissingExtraError, UsageError

_MOST_BYTES = 2**31 - 2**20
"""An ONNX file is one protobuf message, and these end at 2 GiB."""


@dataclass(frozen=True)
class OnnxReport:
    """An ONNX file that was written and checked.

    Attributes:
        path: where it lies.
        nbytes: its size.
        opset: version of the operators in it.
        inputs: names of its inputs, in order.
        outputs: names of its outputs, in order.
        relative_difference: the largest difference between ONNX Runtime's outputs and the model's, relative to the
            model's largest output.
    """

    path: Path
    nbytes: int
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    relative_difference: float

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.path}: {self.nbytes:,} bytes, opset {self.opset}; ONNX Runtime's outputs differ by "
            f"{self.relative_difference:.1e} relative"
        )


def export_onnx(
    model: nn.Module,
    example_inputs: Any,
    path: str | os.PathLike[str],
    *,
    tolerance: float = 1e-4,
) -> OnnxReport:
    """Writes the model as an ONNX file for inputs of the example's shapes.

    The file is run in ONNX Runtime before it is written: a file whose outputs differ never appears. Zeros stay in it
    as numbers, and ONNX Runtime multiplies with them: for speed there, prune channels and `shrink` the model before.

    Args:
        model: in eval mode, on the CPU.
        example_inputs: a tensor, a tuple of positional arguments, or a dict of keyword arguments.
        path: where to write; complete or not there at all.
        tolerance: greatest relative difference of the outputs that is accepted, above 0. Runtimes add in different
            orders: in float32 expect 1e-6 to 1e-5, in half precision choose 1e-2.

    Returns:
        What was written, and how close its outputs are.

    Raises:
        ArgumentError: a tolerance of 0 or below.
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        UsageError: a model in training mode or on another device, one that torch cannot export, is larger than 2 GiB,
            or whose outputs differ.
        FileWriteError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from torch import nn
        >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
        ...     report = export_onnx(nn.Linear(8, 4).eval(), torch.randn(1, 8), f"{folder}/model.onnx")
        >>> report.relative_difference < 1e-5  # doctest: +SKIP
        True
    """
    where = "export_onnx"
    if not tolerance > 0:
        raise ArgumentError(where, "tolerance", tolerance, "must be above 0")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _require(package)
    expected = reference(model, example_inputs, where)
    _check_size(model, where)
    content, opset = _exported(model, example_inputs, where)
    session = OnnxSession(content)
    difference = relative_difference(expected, session.run(example_inputs))
    if not difference <= tolerance:
        problem = f"ONNX Runtime's outputs differ by {difference:.1e} relative, at most {tolerance:g} is accepted"
        raise UsageError(where, problem, "Nothing was written; find the operator, or pass a larger tolerance.")
    write_file(Path(path), content, where)
    return OnnxReport(Path(path), len(content), opset, session.inputs, session.outputs, difference)


class OnnxSession:
    """An ONNX file in ONNX Runtime, fed with examples as the model was.

    Args:
        source: the content of the file, or its path.
        threads: of ONNX Runtime; None takes torch's.
    """

    def __init__(self, source: bytes | os.PathLike[str], threads: int | None = None) -> None:
        _require("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads() if threads is None else threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        content = source if isinstance(source, bytes) else os.fspath(source)
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.inputs = tuple(str(entry.name) for entry in self._session.get_inputs())
        self.outputs = tuple(str(entry.name) for entry in self._session.get_outputs())

    def feed(self, example_inputs: Any) -> dict[str, Any]:
        """The example's tensors by the names of the inputs: numpy arrays, so that a benchmark converts them once."""
        args, kwargs = as_arguments(example_inputs)
        if args or any(name not in kwargs for name in self.inputs):
            tensors = tensors_in([*args, *kwargs.values()])
        else:
            tensors = [kwargs[name] for name in self.inputs]
        return {name: tensor.detach().numpy() for name, tensor in zip(self.inputs, tensors, strict=True)}

    def run(self, example_inputs: Any) -> list[Tensor]:
        """The outputs on an example."""
        return [torch.from_numpy(output) for output in self.run_fed(self.feed(example_inputs))]

    def run_fed(self, fed: dict[str, Any]) -> list[Any]:
        """The outputs for what `feed` made."""
        outputs: list[Any] = self._session.run(None, fed)
        return outputs


def _exported(model: nn.Module, example_inputs: Any, where: str) -> tuple[bytes, int]:
    """The content of the file, and the version of its operators."""
    args, kwargs = as_arguments(example_inputs)
    try:
        with quiet("torch", "onnxscript"), torch.no_grad():
            program = torch.onnx.export(model, args, kwargs=kwargs, dynamo=True, verbose=False)
    except Exception as error:  # whatever the exporter stumbles over: its own errors are of many kinds
        reason = described(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        way_out = "Change that place of its forward pass, or call torch.onnx.export(..., report=True) for details."
        raise UsageError(where, f"torch cannot export the model ({reason.rstrip('.')})", way_out) from error
    assert program is not None
    return program.model_proto.SerializeToString(), int(program.model.opset_imports[""])


def _check_size(model: nn.Module, where: str) -> None:
    tensors = (*model.parameters(), *model.buffers())
    nbytes = sum(tensor.nbytes for tensor in tensors if tensor.layout is torch.strided)  # sparse ones have no nbytes
    if nbytes > _MOST_BYTES:
        problem = f"the model takes {nbytes:,} bytes, and an ONNX file without external data ends at 2 GiB"
        raise UsageError(where, problem, "Use torch.onnx.export(..., dynamo=True, external_data=True).")


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingExtraError("The export to ONNX", package, "export")
