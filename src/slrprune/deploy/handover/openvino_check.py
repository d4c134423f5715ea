"""A second opinion on an ONNX file: OpenVINO's."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slrprune.deploy.handover.example import as_arguments, reference
from slrprune.deploy.shrink.example import relative_difference, tensors_in
from slrprune.errors import ArgumentError, DataError, MissingExtraError, UsageError


def check_openvino(
    path: str | os.PathLike[str], model: nn.Module, example_inputs: Any, *, tolerance: float = 1e-4
) -> float:
    """Runs an ONNX file in OpenVINO on the CPU, in float32, and compares it with the model.

    Args:
        path: what `export_onnx` wrote.
        model: in eval mode, on the CPU.
        example_inputs: those of the export.
        tolerance: greatest relative difference of the outputs that is accepted, above 0.

    Returns:
        The largest difference of the outputs, relative to the model's largest output.

    Raises:
        ArgumentError: a tolerance of 0 or below.
        MissingExtraError: openvino is not installed.
        DataError: OpenVINO cannot read the file.
        UsageError: the outputs differ by more than the tolerance.
    """
    where = "check_openvino"
    if not tolerance > 0:
        raise ArgumentError(where, "tolerance", tolerance, "must be above 0")
    if importlib.util.find_spec("openvino") is None:
        raise MissingExtraError(where, "openvino", "openvino")
    expected = reference(model, example_inputs, where)
    compiled = compiled_openvino(path)
    args, kwargs = as_arguments(example_inputs)
    tensors = tensors_in([*args, *kwargs.values()])
    if kwargs:
        names = [port.get_any_name() for port in compiled.inputs]
        tensors = [kwargs[name] for name in names] if all(name in kwargs for name in names) else tensors
    results = compiled([tensor.detach().numpy() for tensor in tensors])
    outputs = [torch.from_numpy(results[port].copy()) for port in compiled.outputs]
    difference = relative_difference(expected, outputs)
    if not difference <= tolerance:
        problem = f"OpenVINO's outputs differ by {difference:.1e} relative, at most {tolerance:g} is accepted"
        raise UsageError(where, problem, "Pass a larger tolerance if you know why.")
    return difference


def compiled_openvino(path: str | os.PathLike[str], threads: int | None = None) -> Any:
    """The file, compiled by OpenVINO for the CPU in float32: by default it takes bfloat16 where the CPU has it.

    Args:
        path: an ONNX file.
        threads: of OpenVINO; None takes torch's.

    Raises:
        DataError: OpenVINO cannot read the file.
    """
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads() if threads is None else threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if not Path(path).is_file():
        raise DataError(os.fspath(path), "is no file", "Call export_onnx before.")
    try:
        return openvino.Core().compile_model(os.fspath(path), "CPU", settings)
    except RuntimeError as error:
        problem = f"OpenVINO cannot compile it ({str(error).strip().splitlines()[-1].strip().rstrip('.')})"
        raise DataError(os.fspath(path), problem) from error
