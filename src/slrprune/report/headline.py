"""The figures at the top of a run's report, each with how it was measured."""

from dataclasses import dataclass

from slrprune.report.further_figures import further_figures
from slrprune.report.run_folder import RunFolder
from slrprune.report.values import (
    NOT_MEASURED,
    duration,
    milliseconds,
    moment,
    number,
    percent,
    points,
    ratio,
    share,
    size,
    text,
    times,
    whole,
)


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        title: what it is.
        value: the figure itself; "not measured" where there is none.
        beside: what to compare it with, one entry a line.
        how: how it was measured, one sentence.
    """

    title: str
    value: str
    beside: tuple[str, ...]
    how: str

    @property
    def is_measured(self) -> bool:
        """Whether there is a figure."""
        return self.value != NOT_MEASURED


def headline(run: RunFolder) -> tuple[Figure, ...]:
    """Accuracy, compression, file size, latency."""
    return _accuracy(run), _compression(run), _file(run), _latency(run)


def sentence(run: RunFolder) -> str:
    """What happened, in one or two plain sentences; empty before the end of a run."""
    found = run.headline
    reached, dense = number(found.get("sparsity_reached")), number(found.get("dense_accuracy"))
    after, retrained = (number(found.get(f"accuracy_after_{name}")) for name in ("cut", "retraining"))
    if reached is None or after is None:
        return ""
    method, epochs = text(found.get("method")).partition("(")[0], whole(found.get("epochs"))
    said = f"In {epochs:,} epochs " if epochs is not None else ""
    said += f"{method or 'the method'} set {share(reached, 1)} of the pruned weights of "
    said = f"{said[0].upper()}{said[1:]}{text(found.get('model')) or 'the model'} to zero."
    if dense is not None:
        metric, split = text(found.get("metric")) or "accuracy", text(found.get("split"))
        said += f" The {metric}{f' on the {split} split' if split else ''} was {percent(dense)} before"
        said += f" and is {percent(after)} right after the cut"
        said += f", {percent(retrained)} after retraining." if retrained is not None else ", without retraining."
    return said


def facts(run: RunFolder) -> tuple[tuple[str, str], ...]:
    """What a run is known by, as name and value."""
    found = run.headline
    steps, planned = run.history.last_step, whole(run.history.start.get("total_steps"))
    done = whole(found.get("steps")) or steps
    retrain = whole(found.get("retrain_epochs")) or 0
    epochs = whole(found.get("epochs"))
    rows = {
        "Task": text(found.get("task")),
        "Model": text(found.get("model")),
        "Method": text(found.get("method")),
        "Rules": text(found.get("rules")),
        "Epochs": "" if epochs is None else f"{epochs:,}" + (f", and {retrain:,} of retraining" if retrain else ""),
        "Steps": f"{done:,}" + (f" of {planned:,} planned" if planned is not None and planned != done else ""),
        "Training time": "" if number(found.get("seconds")) is None else duration(number(found.get("seconds"))),
        "Seed": text(found.get("seed")),
        "Started": moment(text(found.get("started"))),
    }
    return (*((name, value) for name, value in rows.items() if value), *further_figures(found.get("details")))


def _accuracy(run: RunFolder) -> Figure:
    found, last = run.headline, run.history.last_epoch
    metric = (text(found.get("metric") or run.history.start.get("metric")) or "accuracy").capitalize()
    dense = number(found.get("dense_accuracy"))
    after, retrained = (number(found.get(f"accuracy_after_{name}")) for name in ("cut", "retraining"))
    if after is None:
        return _preview(run, metric, number(last.get("accuracy_after_cut")))
    value = after if retrained is None else retrained
    beside = [] if dense is None else [f"dense {percent(dense)}", points(value - dense)]
    beside += [] if retrained is None else [f"{percent(after)} right after the cut"]
    where = f"On the {text(found.get('split'))} split" if found.get("split") else "On a split that was not noted"
    how = (
        ", right after the hard cut, without retraining"
        if retrained is None
        else ", after retraining with the mask fixed"
    )
    validation = number(found.get("val_accuracy_after_cut"))
    more = "" if validation is None else f" On the validation split, after the cut: {percent(validation)}."
    title = f"{metric} after the cut" if retrained is None else f"{metric} after retraining"
    return Figure(title, percent(value), tuple(beside), f"{where}{how}.{more}")


def _preview(run: RunFolder, metric: str, value: float | None) -> Figure:
    """Of a run that has no final figure."""
    dense = number(run.history.start.get("dense_accuracy"))
    beside = () if dense is None else (f"dense {percent(dense)}",)
    title = f"{metric} after the cut"
    if value is None:
        return Figure(title, NOT_MEASURED, beside, "The run has not come to its hard cut.")
    last = run.history.last_epoch
    epoch, split = text(last.get("epoch")), text(last.get("split"))
    how = f"A copy of the model, cut to the final sparsity after epoch {epoch}" + (
        f", on the {split} split." if split else "."
    )
    return Figure(f"{metric} so far", percent(value), beside, f"{how} No final figure: see the notes.")


def _compression(run: RunFolder) -> Figure:
    found = run.headline
    value, whole_model = number(found.get("compression")), number(found.get("model_compression"))
    reached = number(found.get("sparsity_reached"))
    beside = [] if reached is None else [f"{share(reached)} zeros"]
    beside += [] if whole_model is None else [f"{times(whole_model)} over the whole model"]
    how = "Counted in the final weights: all weights that the rules select, over those that are not zero."
    if value is None:
        now = number(run.history.last_epoch.get("sparsity"))
        said = () if now is None else (f"{share(now)} zeros at the last epoch",)
        return Figure("Compression", NOT_MEASURED, said, "It is counted after the hard cut.")
    return Figure("Compression", times(value), tuple(beside), how)


def _file(run: RunFolder) -> Figure:
    dense, sparse = (number(run.headline.get(name)) for name in ("bytes_dense", "bytes_sparse"))
    if sparse is None:
        return Figure("File size", NOT_MEASURED, (), "No sparse file was written.")
    beside = [] if dense is None else [f"dense {size(dense)}", f"{times(ratio(dense, sparse))} smaller"]
    how = "Bytes of model.slrprune; dense is the same model as a safetensors file of floats."
    return Figure("File size", size(sparse), tuple(beside), how)


def _latency(run: RunFolder) -> Figure:
    dense, value = (number(run.headline.get(name)) for name in ("latency_dense_ms", "latency_ms"))
    note = text(run.headline.get("latency_note"))
    if value is None:
        return Figure("Latency", NOT_MEASURED, (), note or "The run did not time the model.")
    gain = ratio(dense, value)
    beside = [] if dense is None else [f"dense {milliseconds(dense)}"]
    beside += [] if gain is None else [f"{times(gain)} as fast"]
    return Figure("Latency", milliseconds(value), tuple(beside), note or "How it was measured was not noted.")
