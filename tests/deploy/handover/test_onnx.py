"""ONNX files: checked with ONNX Runtime before they are there, and with OpenVINO where it is installed."""

import copy

import pytest
import torch
from torch import nn

from slrprune.deploy.handover import OnnxSession, check_openvino, export_onnx, onnx_file
from slrprune.deploy.sparse_file.errors import FileWriteError
from slrprune.errors import ArgumentError, DataError, MissingExtraError, UsageError

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="needs the extra export")


class Pair(nn.Module):
    """Two inputs of different shapes, nested outputs."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, left, right, scale=1.0):
        return {"sum": self.linear(left) + right, "rest": (right * scale, left.sum(1))}


@pytest.fixture(scope="module")
def exported(net, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    return path, export_onnx(net, images, path)


def test_the_file_computes_what_the_model_does(net, images, exported):
    import onnx

    path, report = exported
    assert report.relative_difference < 1e-5
    assert path.stat().st_size == report.nbytes
    other = torch.randn(images.shape)
    (output,) = OnnxSession(path).run(other)
    torch.testing.assert_close(output, net(other).detach(), rtol=1e-4, atol=1e-5)
    assert onnx.load(path).opset_import[0].version == report.opset
    assert str(report).startswith(f"{path}: {report.nbytes:,} bytes, opset {report.opset}; ONNX Runtime's outputs")


def test_pruned_zeros_are_zeros_in_the_file(net, exported):
    import onnx
    from onnx import numpy_helper

    tensors = [numpy_helper.to_array(entry) for entry in onnx.load(exported[0]).graph.initializer]
    (body,) = [tensor for tensor in tensors if tensor.shape == (8, 8, 3, 3)]
    assert torch.equal(torch.from_numpy(body.copy()) == 0, net.body.weight == 0)


def test_several_inputs_by_name_and_nested_outputs(tmp_path):
    inputs = {"right": torch.randn(2, 3), "left": torch.randn(2, 4)}
    report = export_onnx(Pair().eval(), inputs, tmp_path / "pair.onnx")
    assert sorted(report.inputs) == ["left", "right"]
    assert len(report.outputs) == 3


def test_outputs_that_differ_leave_no_file(net, images, exported, tmp_path, monkeypatch):
    content = exported[0].read_bytes()
    monkeypatch.setattr(onnx_file, "_exported", lambda *_: (content, 20))
    moved = copy.deepcopy(net)
    moved.head.bias.data[0] += 1
    with pytest.raises(UsageError, match=r"ONNX Runtime's outputs differ by .* relative, at most 0\.0001 is accepted"):
        export_onnx(moved, images, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())
    assert export_onnx(moved, images, tmp_path / "net.onnx", tolerance=10).relative_difference > 0.1
    with pytest.raises(FileWriteError, match=r"export_onnx\('.*missing/net\.onnx'\): cannot write: No such file"):
        export_onnx(net, images, tmp_path / "missing" / "net.onnx")


def test_what_cannot_be_exported_is_refused(net, images, tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    with pytest.raises(ArgumentError, match=r"export_onnx\(tolerance=0\): tolerance must be above 0"):
        export_onnx(net, images, path, tolerance=0)
    with pytest.raises(ArgumentError, match=r"export_onnx\(example_inputs='Tensor'\): .* must be what the model takes"):
        export_onnx(net, images[:, :1], tmp_path / "no.onnx")
    with pytest.raises(UsageError, match=r"export_onnx: the model is in training mode\. Call model\.eval\(\) before"):
        export_onnx(nn.Linear(8, 8), images, path)
    with pytest.raises(UsageError, match=r"model or example lie on meta\. Call \.cpu\(\) on both before"):
        export_onnx(nn.Linear(8, 8, device="meta").eval(), images, path)

    class Nothing(nn.Module):
        def forward(self, x):
            return None

    with pytest.raises(UsageError, match="the model's output holds no tensor"):
        export_onnx(Nothing().eval(), images, path)

    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(UsageError, match=r"torch cannot export the model \(.*data-dependent.*\)\. Change that place"):
        export_onnx(Branching().eval(), images, path)
    monkeypatch.setattr(onnx_file, "_MOST_BYTES", 100)
    with pytest.raises(UsageError, match=r"the model takes .* bytes, and an ONNX file without external data ends"):
        export_onnx(net, images, path)
    monkeypatch.setattr(onnx_file.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"needs onnx\. Install it with: pip install 'slrprune\[export\]'"):
        export_onnx(net, images, path)
    assert not path.exists()


def test_openvino_agrees(net, images, exported, tmp_path, monkeypatch):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    assert 0 <= check_openvino(exported[0], net, images) < 1e-4
    moved = copy.deepcopy(net)
    moved.head.bias.data[0] += 1
    with pytest.raises(UsageError, match=r"OpenVINO's outputs differ by .* relative"):
        check_openvino(exported[0], moved, images)
    with pytest.raises(ArgumentError, match="tolerance must be above 0"):
        check_openvino(exported[0], net, images, tolerance=-1)
    with pytest.raises(DataError, match=r"no\.onnx: is no file\. Call export_onnx before"):
        check_openvino(tmp_path / "no.onnx", net, images)
    (tmp_path / "bad.onnx").write_bytes(b"not ONNX")
    with pytest.raises(DataError, match=r"bad\.onnx: OpenVINO cannot compile it \("):
        check_openvino(tmp_path / "bad.onnx", net, images)
    monkeypatch.setattr(onnx_file.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'slrprune\[openvino\]'"):
        check_openvino(exported[0], net, images)
