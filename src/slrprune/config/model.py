"""`RunConfig`: everything that defines a run of `slrprune prune`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from slrprune.config.expressions import parse, set_names
from slrprune.config.methods import METHOD_NAMES, check_method_options
from slrprune.config.tasks import check_task, check_task_options

SETS_WITH_LEVEL = ("global", "unstructured", "filters", "columns", "blocks-4x1")
SETS_WITHOUT_LEVEL = ("2:4", "kernel-patterns")
DEFAULT_SPARSITY = 0.9


def _no_bool(value: Any) -> Any:
    """YAML reads `yes` and `on` as true, and pydantic would take that for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_wanted", "must be a number")
    return value


def _word(value: Any) -> Any:
    """YAML reads a bare `no` as false."""
    return "no" if value is False else value


def _pattern(value: Any) -> Any:
    """YAML reads a bare `2:4` as 2 * 60 + 4."""
    return "2:4" if type(value) is int and value == 124 else value


_Number = BeforeValidator(_no_bool)
Count = Annotated[int, Field(ge=1), _Number]
CountOrNone = Annotated[int, Field(ge=0), _Number]
Seed = Annotated[int, Field(ge=0, lt=2**32), _Number]
Sparsity = Annotated[float, Field(ge=0, lt=1), _Number]
Share = Annotated[float, Field(gt=0, le=1), _Number]
Decay = Annotated[float, Field(gt=0, lt=1), _Number]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), _Number]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), _Number]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DistilConfig(_Part):
    """Learning from the dense net while pruning, and while retraining."""

    weight: Share = Field(0.9, description="Weight of the teacher in the loss.")
    temperature: Positive = Field(4.0, description="Temperature of the softmax.")


class CheckpointConfig(_Part):
    """When checkpoints are written."""

    every: Count = Field(1, description="Epochs between two checkpoints.")
    keep: Count = Field(2, description="How many of the newest are kept.")


class RunConfig(_Part):
    """A run: what is pruned, by which method, how long, and what is written. See docs/run.md.

    Where a field is null, the task decides; `config.yaml` in a run's folder holds what was decided.
    """

    task: str = Field(description="A built-in task, module:function or file.py:function that returns one.")
    task_options: dict[str, Any] = Field(default_factory=dict, description="Arguments of the task.")
    data: str | None = Field(None, description="Folder of the task's data: its argument `data`.")
    dense: str | None = Field(None, description="File of dense weights, safetensors; else the task's, else trained.")
    method: Literal[METHOD_NAMES] = Field("slr", description="Pruning method.")  # type: ignore[valid-type]
    method_options: dict[str, Any] = Field(default_factory=dict, description="Fields of the method.")
    rules: dict[str, str | None] | None = Field(None, description="Pattern to set, or null for what stays dense.")
    set: Annotated[
        Literal["global", "unstructured", "filters", "columns", "blocks-4x1", "2:4", "kernel-patterns"] | None,
        BeforeValidator(_pattern),
    ] = Field(None, description="One set for all weights that fit it; global by default. Not with rules.")
    sparsity: Sparsity | None = Field(None, description="Fraction of zeros in the pruned weights; 0.9.")
    allocation: Literal["magnitude", "lamp", "erk", "uniform"] | None = Field(
        None, description="How the set global shares its budget out; magnitude by default."
    )
    epochs: Count | None = Field(None, description="Epochs of pruning.")
    retrain: CountOrNone = Field(0, description="Epochs of training after the cut, with the zeros fixed.")
    lr: Positive | None = Field(None, description="Largest learning rate.")
    weight_decay: NotNegative | None = Field(None, description="Of the optimizer.")
    batch_size: Count | None = Field(None, description="Of training batches, over all processes.")
    seed: Seed = Field(0, description="Of data order, augmentation, dropout and fresh weights.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train.")
    precision: Annotated[Literal["no", "bf16", "fp16"], BeforeValidator(_word)] = Field(
        "no", description="Mixed precision: bf16, or fp16 with a gradient scaler."
    )
    accumulation: Count = Field(1, description="Batches per optimizer step.")
    clip_norm: Positive | None = Field(None, description="Largest norm of the gradient.")
    ema: Decay | None = Field(None, description="Decay of an average of the weights, which is what is cut.")
    distil: DistilConfig | None = Field(None, description="Distillation from the dense net.")
    evaluate_every: CountOrNone = Field(1, description="Epochs between two evaluations after a cut on a copy; 0: none.")
    checkpoint: CheckpointConfig = Field(
        default_factory=lambda: CheckpointConfig(every=1, keep=2), description="When checkpoints are written."
    )
    tracker: Literal["tensorboard", "wandb", "mlflow", "none"] = Field("tensorboard", description="Where scalars go.")
    threads: Count | None = Field(None, description="Threads of torch on the CPU.")
    latency: bool = Field(True, description="Measure forward passes at the end.")
    report: bool = Field(True, description="Write report.html at the end, where the extra report is installed.")

    @field_validator("task")
    @classmethod
    def _known_task(cls, value: str) -> str:
        return check_task(value)

    @field_validator("task_options")
    @classmethod
    def _fitting_task_options(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        return check_task_options(value, info.data.get("task"))

    @field_validator("method_options")
    @classmethod
    def _fitting_method_options(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        return check_method_options(value, info.data.get("method"))

    @field_validator("rules")
    @classmethod
    def _sets_that_exist(cls, value: dict[str, str | None] | None) -> dict[str, str | None] | None:
        problems: list[tuple[str, Any, str]] = []
        for pattern, text in (value or {}).items():
            if text is not None:
                try:
                    _check_set(text)
                except ValueError as error:
                    problems.append((pattern, text, str(error)))
        if value is not None and not value:
            problems.append(("", {}, "must hold at least one rule, or be left out"))
        _refuse(problems)
        return value

    @field_validator("set", "sparsity", "allocation")
    @classmethod
    def _not_with_rules(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("rules") is not None:
            raise PydanticCustomError("beside_rules", "must be left out where there are rules, whose sets say it all")
        return value

    @field_validator("sparsity", "allocation")
    @classmethod
    def _fits_the_set(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.data.get("set") or "global"
        if value is not None and info.field_name == "sparsity" and name in SETS_WITHOUT_LEVEL:
            raise PydanticCustomError("level_owned", f"must be left out: the set {name} owns its level")
        if value is not None and info.field_name == "allocation" and name != "global":
            raise PydanticCustomError("no_budget", f"must be left out: the set {name} has no budget to share out")
        return value


def _check_set(text: str) -> None:
    from slrprune.sets import ConstraintSet

    found = parse(text, set_names())
    if not isinstance(found, ConstraintSet):
        raise ValueError("must be a set such as NM(2, 4), or null")


def _refuse(problems: list[tuple[str, Any, str]]) -> None:
    """One error that stands for several: (key, value got, rule) each."""
    if problems:
        raise PydanticCustomError("several", "{count} problems", {"count": len(problems), "problems": problems})
