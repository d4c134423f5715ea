"""`slrprune bench`: how fast a pruned model runs on this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slrprune.cli.completion import complete_task
from slrprune.cli.consoles import out
from slrprune.cli.cut import DENSE_HELP, SET_HELP, cut_by_magnitude_, has_zeros, rules_for
from slrprune.cli.models import MODEL_HELP, resolve
from slrprune.cli.session import print_json
from slrprune.cli.task_options import DATA_HELP, OPTION_HELP

_DEFAULT = 0.9


def bench(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, autocompletion=complete_task)],
    sparsity: Annotated[
        float | None,
        typer.Option(help="Cut to it by magnitude before. [the model's own zeros; 0.9 where it has none]"),
    ] = None,
    structure: Annotated[str, typer.Option("--set", help=SET_HELP)] = "unstructured",
    dense: Annotated[list[str] | None, typer.Option(help=DENSE_HELP)] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch; its own choice by default.")] = None,
    data: Annotated[Path | None, typer.Option(help=DATA_HELP)] = None,
    option: Annotated[list[str] | None, typer.Option(help=OPTION_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a pruned model here, layer by layer and as a whole.

    Dense and by sparse kernels. Nothing is trained, and what is cut here is cut by magnitude: right for times, not for
    accuracy.
    """
    import torch

    from slrprune.deploy import accelerate

    if threads is not None:
        torch.set_num_threads(threads)
    subject = resolve(model, option or [], data, "bench")
    said = f"{subject.name}, with the zeros it has"
    if sparsity is not None or not has_zeros(subject.model):
        level = _DEFAULT if sparsity is None else sparsity
        cut_by_magnitude_(subject.model, rules_for(subject.model, structure, level, dense or [], "bench"))
        said = f"{subject.name}, cut by magnitude ({structure}, {level:g})"
    _, report = accelerate(subject.model, subject.example_inputs)
    if as_json:
        print_json({"model": said, **asdict(report), "speedup": report.speedup})
        return
    for text in (said, str(report)):
        out().print(text, markup=False, highlight=False, soft_wrap=True)
