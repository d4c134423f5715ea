"""`slrprune plan`: what pruning would bring on this machine, before any training."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slrprune.cli.completion import complete_task
from slrprune.cli.consoles import out
from slrprune.cli.cut import DENSE_HELP, SET_HELP, rules_for
from slrprune.cli.models import MODEL_HELP, resolve
from slrprune.cli.session import print_json
from slrprune.cli.task_options import DATA_HELP, OPTION_HELP


def plan(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, autocompletion=complete_task)],
    sparsity: Annotated[float, typer.Option(help="Fraction of zeros, in [0, 1).")] = 0.9,
    structure: Annotated[str, typer.Option("--set", help=SET_HELP)] = "unstructured",
    dense: Annotated[list[str] | None, typer.Option(help=DENSE_HELP)] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch; its own choice by default.")] = None,
    data: Annotated[Path | None, typer.Option(help=DATA_HELP)] = None,
    option: Annotated[list[str] | None, typer.Option(help=OPTION_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what pruning would bring in bytes and in time.

    File size, multiply-accumulates and measured speed, layer by layer. Nothing is trained: a copy with random weights
    is cut and measured on this machine.
    """
    import torch

    from slrprune.deploy.plan import plan as predict

    if threads is not None:
        torch.set_num_threads(threads)
    subject = resolve(model, option or [], data, "plan")
    rules = rules_for(subject.model, structure, sparsity, dense or [], "plan")
    report = predict(subject.model, rules, subject.example_inputs)
    if as_json:
        print_json({"model": subject.name, **asdict(report)})
        return
    out().print(str(report), markup=False, highlight=False, soft_wrap=True)
