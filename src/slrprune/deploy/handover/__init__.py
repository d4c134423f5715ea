"""Hand-over to other runtimes: ONNX, int8, 2:4 on GPUs; see docs/handover.md."""

from slrprune.deploy.handover.int8 import Int8Report, QuantizedWeight, quantize_int8
from slrprune.deploy.handover.onnx_file import OnnxReport, OnnxSession, export_onnx
from slrprune.deploy.handover.openvino_check import check_openvino, compiled_openvino
from slrprune.deploy.handover.semi_structured import SemiStructuredReport, is_semi_structured, to_semi_structured

__all__ = [
    "Int8Report",
    "OnnxReport",
    "OnnxSession",
    "QuantizedWeight",
    "SemiStructuredReport",
    "check_openvino",
    "compiled_openvino",
    "export_onnx",
    "is_semi_structured",
    "quantize_int8",
    "to_semi_structured",
]
