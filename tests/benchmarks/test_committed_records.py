"""What was run stays of use: the commands of the docs find the committed records finished, and run nothing again."""

from pathlib import Path

from slrprune.cli.task_options import read_options
from slrprune.compare import Plan, Target, check, find, load_records
from slrprune.compare.identity import fingerprint
from slrprune.tasks.options import build_task
from slrprune.tasks.resnet_cifar import ResNetCifar
from slrprune.tasks.weights_file import load_checkpoint

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


def unfinished(task, options, data, folder, methods, sparsity, epochs, seeds=3):
    """Labels of the runs that `slrprune compare` would make."""
    built = build_task(task, read_options(options, data, "test"), "test")
    plan = Plan(find(methods), (Target.at(sparsity),), epochs, tuple(range(seeds)))
    setting = check(built, plan, RESULTS / folder)
    return [run.label for run in plan.runs() if not run.is_finished(setting)]


def test_digits_with_dense_nets_of_its_own():
    assert unfinished("digits", [], None, "demo", ["slr", "gradual_magnitude", "classic_slr_ramp"], 0.95, 20) == []
    assert unfinished("digits", [], None, "demo", ["slr"], 0.9, 20) == [f"slr 90% seed {seed}" for seed in range(3)]


def test_a_trained_language_model(data_dir):
    assert unfinished("text", [], data_dir, "llama", ["slr", "dpf", "gradual_magnitude"], 0.5, 4) == []


def test_a_graph(data_dir):
    assert unfinished("graph", [], data_dir, "cora", ["slr", "dpf", "gradual_magnitude"], 0.9, 200, seeds=10) == []


def test_the_public_resnet(data_dir):
    """Its data set is not read here; the weights are what has counted in two ways before."""
    model = ResNetCifar(20)
    model.load_state_dict(load_checkpoint(data_dir / "cifar10_ckpt" / "resnet20-12fca82f.th"))
    origins = {record.dense_start for folder in ("core", "core_float32") for record in load_records(RESULTS / folder)}
    assert origins == {f"pretrained, fingerprint {fingerprint(model.state_dict())}"}
