"""How a run went: the charts over optimizer steps, and the numbers behind them."""

from collections.abc import Mapping, Sequence
from typing import Any

from slrprune.report.chart import Absent, Chart, Series, Table, suits_log
from slrprune.report.history import History, column
from slrprune.report.run_folder import RunFolder
from slrprune.report.thin import every, means, thin
from slrprune.report.values import number, percent, share, short, text

TABLE_ROWS = 40
STEPS = "optimizer steps"


def convergence(run: RunFolder, key: str, buckets: int) -> list[Chart | Absent]:
    """All charts of one run, in the order in which they are read.

    Args:
        run: what was read.
        key: put in front of the charts' keys.
        buckets: columns to which the updates are thinned.
    """
    marks = _marks(run.history)
    return [
        _accuracy(run.history, key, marks),
        _loss(run.history, key, marks, buckets),
        _residuals(run.history, key, marks, buckets),
        _stepsize(run.history, key, marks, buckets),
        _sparsity(run, key, marks, buckets),
        _mask_changes(run.history, key, marks, buckets),
        conditions(run.history, key, buckets),
    ]


def _accuracy(history: History, key: str, marks: tuple[tuple[float, str], ...]) -> Chart | Absent:
    metric = (text(history.start.get("metric")) or "accuracy").capitalize()
    title = f"{metric} after a hard cut"
    lines = [line for line in history.epochs if number(line.get("accuracy_after_cut")) is not None]
    if not lines:
        return Absent(title, "It was not measured during the run.")
    splits = " and ".join(dict.fromkeys(text(line.get("split")) for line in lines if line.get("split")))
    dense = number(history.start.get("dense_accuracy"))
    where = text(history.start.get("split"))
    said = f" on the {splits} split" if splits else ""
    return Chart(
        key=f"{key}-accuracy",
        title=title,
        hint=f"After each epoch a copy of the model is cut to the final sparsity and tested{said}. "
        "Low figures at first are usual: the weights are not ready for the cut before the ramp has ended.",
        x_title=STEPS,
        y_title=f"{metric.lower()}, %",
        series=(
            Series("after the cut", _steps(lines), column(lines, "accuracy_after_cut"), has_markers=len(lines) <= 60),
        ),
        levels=() if dense is None else ((dense, f"dense {percent(dense)}" + (f", {where}" if where else "")),),
        marks=marks,
        suffix=" %",
        table=_table(lines, {"epoch": "epoch", "step": "step", "accuracy_after_cut": f"{metric.lower()}, %"}, "epoch"),
    )


def _loss(history: History, key: str, marks: tuple[tuple[float, str], ...], buckets: int) -> Chart | Absent:
    values = column(history.epochs, "loss")
    at_updates = column(history.updates, "loss")
    series = [Series("training loss, mean of the epoch", _steps(history.epochs), values, has_markers=len(values) <= 60)]
    if not _known(values):
        series = []
    if _known(at_updates):
        series.append(Series("loss at the update", *thin(_steps(history.updates), at_updates, buckets)))
    if not series:
        return Absent("Loss", "No loss was recorded.")
    in_epochs = _table(
        history.epochs, {"epoch": "epoch", "step": "step", "loss": "mean loss", "lr": "learning rate"}, "epoch"
    )
    in_updates = _table(history.updates, {"iteration": "update", "step": "step", "loss": "loss"}, "update")
    return Chart(
        key=f"{key}-loss",
        title="Loss",
        hint="Training loss; at an update it is what stands for f in the surrogate conditions.",
        x_title=STEPS,
        y_title="loss",
        series=tuple(series),
        is_log=suits_log([*values, *at_updates]),
        marks=marks,
        table=in_epochs if _known(values) else in_updates,
    )


def _residuals(history: History, key: str, marks: tuple[tuple[float, str], ...], buckets: int) -> Chart | Absent:
    names = {"primal_residual": "primal: norm of W \u2212 Z", "dual_residual": "dual: norm of Z \u2212 previous Z"}
    hint = (
        "The primal residual is what the projection takes off the weights W, the dual residual how far the sparse copy "
        "Z still moves, times rho where there is one. Both should fall."
    )
    return _of_updates(history, key, "Residuals", names, hint, marks, buckets, is_log=True)


def _stepsize(history: History, key: str, marks: tuple[tuple[float, str], ...], buckets: int) -> Chart | Absent:
    names = {"stepsize": "stepsize of the multipliers", "penalty": "penalty rho"}
    hint = (
        "How far the multipliers move at an update, and the weight of the quadratic penalty where the method has one."
    )
    return _of_updates(history, key, "Stepsize and penalty", names, hint, marks, buckets, is_log=None)


def _mask_changes(history: History, key: str, marks: tuple[tuple[float, str], ...], buckets: int) -> Chart | Absent:
    names = {"mask_changes": "mask changes"}
    hint = "Weights that came into the mask or left it since the update before. Near zero, the choice has settled."
    return _of_updates(history, key, "Mask changes per update", names, hint, marks, buckets, is_log=False)


def _sparsity(run: RunFolder, key: str, marks: tuple[tuple[float, str], ...], buckets: int) -> Chart | Absent:
    updates, epochs = run.history.updates, run.history.epochs
    values = [None if value is None else 100 * value for value in column(updates, "sparsity")]
    in_epochs = [None if value is None else 100 * value for value in column(epochs, "sparsity")]
    if _known(values):
        series = Series("sparsity", *thin(_steps(updates), values, buckets))
        table = _table(updates, {"iteration": "update", "step": "step", "sparsity": "sparsity"}, "update")
    elif _known(in_epochs):
        series = Series("sparsity", _steps(epochs), in_epochs, has_markers=len(in_epochs) <= 60)
        table = _table(epochs, {"epoch": "epoch", "step": "step", "sparsity": "sparsity"}, "epoch")
    else:
        return Absent("Sparsity", "No sparsity was recorded.")
    target = number(run.headline.get("sparsity"))
    return Chart(
        key=f"{key}-sparsity",
        title="Sparsity",
        hint="Fraction of zeros over the pruned weights, as the schedule raises it.",
        x_title=STEPS,
        y_title="sparsity, %",
        series=(series,),
        levels=() if target is None else ((100 * target, f"asked for: {share(target, 1)}"),),
        marks=marks,
        suffix=" %",
        table=table,
    )


def conditions(history: History, key: str, buckets: int) -> Chart | Absent:
    """Both surrogate conditions as two strips; each column is the share of its updates that satisfied the condition."""
    rows = {
        "Condition 1": column(history.updates, "first_condition"),
        "Condition 2": column(history.updates, "second_condition"),
    }
    known = {name: values for name, values in rows.items() if _known(values)}
    if not known:
        return Absent("Surrogate conditions", "This method checks none.")
    steps = _steps(history.updates)
    said = []
    for name, values in known.items():
        checked = [value for value in values if value is not None]
        held = f"{round(sum(checked)):,} of {len(checked):,} updates"
        said.append(f"{name} held at {held} ({share(sum(checked) / len(checked), 1)}).")
    said += [f"{name} is not checked by this method." for name in rows if name not in known]
    return Chart(
        key=f"{key}-conditions",
        title="Surrogate conditions",
        hint="What SLR's convergence proof asks of an update. " + " ".join(said),
        x_title=STEPS,
        y_title="",
        series=tuple(Series(name, *means(steps, values, buckets)) for name, values in known.items()),
        is_strip=True,
        table=_table(
            history.updates,
            {
                "iteration": "update",
                "step": "step",
                "first_condition": "condition 1",
                "second_condition": "condition 2",
            },
            "update",
        ),
    )


def _of_updates(
    history: History,
    key: str,
    title: str,
    names: Mapping[str, str],
    hint: str,
    marks: tuple[tuple[float, str], ...],
    buckets: int,
    is_log: bool | None,
) -> Chart | Absent:
    """One chart of some fields of the updates; a field without any number is left out."""
    columns = {name: column(history.updates, name) for name in names}
    known = {name: values for name, values in columns.items() if _known(values)}
    if not known:
        missing = "no update was recorded" if not history.updates else "this method has none"
        return Absent(title, f"There is nothing to draw: {missing}.")
    steps = _steps(history.updates)
    values = [value for entries in known.values() for value in entries if value is not None]
    wanted = suits_log(values) if is_log is None else is_log and any(value > 0 for value in values)
    series = [
        Series(names[name], *thin(steps, [_positive(value) for value in found] if wanted else found, buckets))
        for name, found in known.items()
    ]
    return Chart(
        key=f"{key}-{next(iter(names)).replace('_', '-')}",
        title=title,
        hint=hint,
        x_title=STEPS,
        y_title="log scale" if wanted else "",
        series=tuple(series),
        is_log=wanted,
        marks=marks,
        table=_table(
            history.updates, {"iteration": "update", "step": "step", **{name: names[name] for name in known}}, "update"
        ),
    )


def _table(lines: Sequence[Mapping[str, Any]], fields: Mapping[str, str], unit: str) -> Table:
    """Some of the lines, evenly spread, with their exact numbers."""
    chosen = every(len(lines), TABLE_ROWS)
    rows = tuple(tuple(_cell(name, lines[index].get(name)) for name in fields) for index in chosen)
    note = (
        "" if len(chosen) == len(lines) else f"{len(chosen)} of {len(lines):,} {unit}s; history.jsonl has all of them."
    )
    return Table(tuple(fields.values()), rows, note)


def _cell(name: str, value: Any) -> str:
    found = number(value)
    if found is not None and name.endswith("_condition"):
        return "satisfied" if found == 1 else "not satisfied"
    return share(found) if name == "sparsity" else short(found, 5)


def _steps(lines: Sequence[Mapping[str, Any]]) -> list[float]:
    return [value or 0.0 for value in column(lines, "step")]


def _known(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _positive(value: float | None) -> float | None:
    """A logarithmic axis has no place for 0."""
    return value if value is not None and value > 0 else None


def _marks(history: History) -> tuple[tuple[float, str], ...]:
    """Where the weights were cut for good, and where a run was taken up again."""
    said = {"cut": "hard cut", "resumed": "resumed"}
    found = [(number(line.get("step")), said.get(text(line.get("event")))) for line in history.events]
    return tuple((step, name) for step, name in found if step is not None and name is not None)
