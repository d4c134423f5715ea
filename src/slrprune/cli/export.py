"""`slrprune export`: the final model of a run, for another program."""

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from slrprune.cli.consoles import out
from slrprune.cli.session import print_json
from slrprune.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from slrprune.tasks import Task

_RUN_HELP = "Folder that prune, demo or compare wrote to, or one of the models that demo or compare kept."

Writer = Callable[["nn.Module", "Tensor", Path], dict[str, Any]]
"""Writes the model to a path, and tells what came of it; "said" is the text for people."""


class LeftModel(Protocol):
    """A model that `prune`, `demo` or `compare` left behind."""

    @property
    def run(self) -> str:
        """What the run was, in words."""

    def rebuild(self, **options: Any) -> "tuple[nn.Module, Task]":
        """The model in eval mode, and its task; options replace those of the task."""

    def export_path(self, ending: str) -> Path:
        """Where an export goes unless the user names a place."""


class Form(str, Enum):
    """What a model can be exported to."""

    SPARSE = "sparse"
    ONNX = "onnx"
    SHRUNK = "shrunk"


def export(
    run: Annotated[Path, typer.Argument(help=_RUN_HELP)],
    to: Annotated[Form, typer.Option(help="sparse and shrunk are files for load_sparse.")],
    file: Annotated[Path | None, typer.Option("--out", help="File to write. [into RUN]")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the task's data, where it has moved.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the pruned model of a run for another program.

    As a sparse file, as ONNX, or with its dead channels removed. The file is checked against the model before the
    command ends: its tensors, or its outputs.
    """
    from slrprune.deploy.shrink.example import described

    left = find_model(run)
    model, task = left.rebuild(**({} if data is None else {"data": data}))
    writer, ending = _writers()[to]
    path = file or left.export_path(ending)
    try:
        found = writer(model, task.example_input(), path)
    except RuntimeError as error:
        raise UsageError("export", f"{left.run} cannot be written to {path} ({described(error)})") from error
    if as_json:
        print_json({"run": left.run, "to": to.value, "path": str(path), **found})
    else:
        out().print(f"{left.run}: {found['said']}", markup=False, highlight=False, soft_wrap=True)


def find_model(run: Path) -> LeftModel:
    """The model that a path stands for.

    Raises:
        DataError: there is none.
        UsageError: there are several.
        ConfigError: the configuration of a run of `prune` is damaged.
    """
    from slrprune.compare.keep import kept_model, kept_models

    if run.is_file():
        return kept_model(run)
    if not run.is_dir():
        raise DataError(str(run), "is no folder of a run", "Name the folder that prune, demo or compare wrote to.")
    if (run / "config.yaml").is_file():
        from slrprune.train.rundir.final import final_model

        return final_model(run)
    models = kept_models(run)
    if not models:
        way_out = "slrprune demo keeps one; slrprune compare keeps them with --keep-models."
        raise DataError(str(run), "holds no model", way_out)
    if len(models) > 1:
        way_out = f"Name one of the files, for example {models[0].path}."
        raise UsageError("export", f"{run} holds {len(models)} models", way_out)
    return models[0]


def _writers() -> Mapping[Form, tuple[Writer, str]]:
    return {
        Form.SPARSE: (_write_sparse, "-sparse.safetensors"),
        Form.ONNX: (_write_onnx, ".onnx"),
        Form.SHRUNK: (_write_shrunk, "-shrunk.safetensors"),
    }


def _write_sparse(model: "nn.Module", _: "Tensor", path: Path) -> dict[str, Any]:
    size, dense = _saved(model, path)
    said = f"{path}: {size:,} bytes, {dense / size:.1f}x smaller than its tensors, bit for bit the same"
    return {"said": said, "bytes": size, "dense_bytes": dense, "times_smaller": dense / size}


def _write_onnx(model: "nn.Module", example: "Tensor", path: Path) -> dict[str, Any]:
    from slrprune.deploy.handover import export_onnx

    report = export_onnx(model, example, path)
    return {"said": str(report), "bytes": report.nbytes, "relative_difference": report.relative_difference}


def _write_shrunk(model: "nn.Module", example: "Tensor", path: Path) -> dict[str, Any]:
    from slrprune.deploy import shrink

    smaller, report = shrink(model, example)
    size, _ = _saved(smaller, path)
    return {
        "said": f"{path}: {size:,} bytes. {report}",
        "bytes": size,
        "parameters_before": report.parameters_before,
        "parameters_after": report.parameters_after,
        "macs_before": report.macs_before,
        "macs_after": report.macs_after,
        "relative_difference": report.relative_difference,
        "left": [str(left) for left in report.leftovers],
    }


def _saved(model: "nn.Module", path: Path) -> tuple[int, int]:
    """Writes a sparse file and reads it again; its size, and that of the dense tensors."""
    import torch

    from slrprune.deploy import load_sparse, save_sparse

    size = save_sparse(model, path)
    state, restored = model.state_dict(), load_sparse(path)
    different = [name for name, tensor in state.items() if not torch.equal(tensor, restored[name])]
    if different:
        raise DataError(str(path), f"{different[0]} was read back differently", "The disk may be failing; try again.")
    return size, sum(tensor.nbytes for tensor in state.values())
