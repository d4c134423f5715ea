"""`slrprune oneshot`: prune a trained transformer without training."""

from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slrprune.cli.consoles import err, out
from slrprune.cli.session import print_json
from slrprune.errors import DataError, UsageError

if TYPE_CHECKING:
    from slrprune.oneshot import Progress, Solver
    from slrprune.sets import ConstraintSet

_PREFIX = "hf:"


class _Set(str, Enum):
    LAYER = "layer"
    ROW = "row"
    SHARED = "shared"
    TWO_OF_FOUR = "2:4"


class _Solver(str, Enum):
    SLR = "slr"
    ADMM = "admm"
    SPARSEGPT = "sparsegpt"
    WANDA = "wanda"
    MAGNITUDE = "magnitude"


def oneshot(
    model: Annotated[str, typer.Argument(help="hf:NAME_OR_PATH, a model of transformers.")],
    data: Annotated[Path, typer.Option(help="A text file for calibration.")],
    sparsity: Annotated[float, typer.Option(help="Fraction of zeros, in [0, 1); 2:4 has its own.")] = 0.5,
    structure: Annotated[
        _Set, typer.Option("--set", help="The same sparsity per layer or per row, one shared budget, or 2:4.")
    ] = _Set.LAYER,
    solver: Annotated[_Solver, typer.Option(help="How the layers' problems are solved.")] = _Solver.SLR,
    dense: Annotated[list[str] | None, typer.Option(help="Name or glob that stays dense; repeat for several.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Pieces of text.")] = 128,
    length: Annotated[int, typer.Option(min=8, help="Tokens of a piece.")] = 512,
    folder: Annotated[Path | None, typer.Option("--out", help="The result. [runs/oneshot-<name>]")] = None,
    streams: Annotated[bool, typer.Option("--stream", help="Keep one block in memory; the model is a folder.")] = False,
    trust_remote_code: Annotated[bool, typer.Option(help="Run Python code that comes with the model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Prune a trained transformer from a text, without training.

    It goes block by block. The result is a checkpoint for transformers. Killed and called again, it goes on with the
    block where it stopped.
    """
    from slrprune.oneshot import prune
    from slrprune.oneshot.hub import calibration_from_text, load, rules_for_blocks

    if not model.startswith(_PREFIX):
        raise UsageError("oneshot", f"the model {model!r} is not of the form hf:NAME_OR_PATH")
    name = model.removeprefix(_PREFIX)
    if not data.is_file():
        raise DataError(str(data), "there is no such text", "Name a file with --data.")
    subject = load(name, trusts_remote_code=trust_remote_code, streams=streams)
    batches = calibration_from_text(subject.tokenizer, data.read_text(encoding="utf-8"), samples, length)
    folder = folder or Path("runs") / f"oneshot-{Path(name).name}"
    rules = rules_for_blocks(subject.model, _constraint(structure, sparsity), dense or [])
    report = prune(
        subject.model,
        batches,
        rules,
        _make(solver),
        folder=folder,
        weights=subject.weights,
        progress=_tell,
    )
    subject.model.config.save_pretrained(folder)  # type: ignore[union-attr,operator]  # a model of transformers has it
    subject.tokenizer.save_pretrained(folder)
    if as_json:
        print_json({"folder": str(folder), **asdict(report)})
        return
    out().print(str(report), markup=False, highlight=False, soft_wrap=True)
    out().print(f"The pruned model is in {folder}", markup=False, highlight=False, soft_wrap=True)


def _constraint(structure: _Set, sparsity: float) -> "ConstraintSet":
    from slrprune.oneshot import PerRow
    from slrprune.sets import NM, Global, Unstructured

    chosen: dict[_Set, ConstraintSet] = {
        _Set.LAYER: Unstructured(sparsity),
        _Set.ROW: PerRow(sparsity),
        _Set.SHARED: Global(sparsity),
        _Set.TWO_OF_FOUR: NM(2, 4),
    }
    return chosen[structure]


def _make(solver: _Solver) -> "Solver":
    from slrprune import oneshot as library

    classes: dict[_Solver, type[Solver]] = {
        _Solver.SLR: library.SLR,
        _Solver.ADMM: library.ADMM,
        _Solver.SPARSEGPT: library.SparseGPT,
        _Solver.WANDA: library.Wanda,
        _Solver.MAGNITUDE: library.Magnitude,
    }
    return classes[solver]()


def _tell(event: "Progress") -> None:
    errors = [layer.error for layer in event.layers]
    mean = f", mean error {sum(errors) / len(errors):.2e}" if errors else ""
    restored = ", from an earlier run" if event.is_restored else ""
    line = f"[{event.number}/{event.total}] {event.stage}{mean}{restored}"
    err().print(line, markup=False, highlight=False, soft_wrap=True)
