"""A program for tests/train/test_kill.py: runs that are killed with SIGKILL and gone on with, many times.

Every run is a child that this process forks, so that torch is imported once. Moments of three kinds alternate: after a
random time, from outside; before a random step; and in the middle of a write, after a random number of bytes.
Prints, as JSON, how many kills of each kind there were, and what differed from the run that nobody killed.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import accelerate  # noqa: F401  (here and below: imported once, before the children are forked)
import blobs
import torch
import torch._dynamo
import torch.distributed.tensor
from torch import nn

import slrprune.compare
import slrprune.deploy
import slrprune.methods.named  # noqa: F401
from slrprune.config import make_config
from slrprune.train import resume, run
from slrprune.train.checkpoint import store
from slrprune.train.rundir.history import read_history

KINDS = ("time", "step", "write")


class Blobs(blobs.Blobs):
    """With dropout, so that the random numbers matter."""

    def build_model(self):
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4))


def task():
    return Blobs(batch_size=16)


CONFIG = make_config(
    task="kill_driver:task",
    sparsity=0.5,
    retrain=1,
    ema=0.9,
    distil={"weight": 0.5},
    tracker="none",
    latency=False,
    report=False,
    device="cpu",
)


def forked(folder, before=lambda: None):
    """Begins or goes on with the run in a child; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        before()
        if (folder / "config.yaml").exists():
            resume(folder)
        else:
            run(CONFIG, folder)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def kill_at_step(number):
    """This process dies before its step of that number."""
    loss, count = Blobs.loss, 0

    def counted(self, model, batch):
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss(self, model, batch)

    Blobs.loss = counted


def kill_at_byte(number):
    """This process dies in the middle of a write, when it has written so many bytes of checkpoints."""
    write, written = store.write_synced, 0

    def counted(path, content):
        nonlocal written
        if written + len(content) > number:
            with path.open("xb") as file:
                file.write(content[: number - written])
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        written += len(content)
        write(path, content)

    store.write_synced = counted


def fate(kind, rng, seconds, folder):
    """Forks a child that is killed at a random moment; whether it was."""
    if kind == "step":
        number = rng.randint(1, 20)
        pid = forked(folder, lambda: kill_at_step(number))
    elif kind == "write":
        number = rng.randint(1, 40_000)
        pid = forked(folder, lambda: kill_at_byte(number))
    else:
        pid = forked(folder)
        time.sleep(rng.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"a run failed with {os.WEXITSTATUS(status)}")
    return os.WIFSIGNALED(status)


def finished(folder):
    """Lets the run come to its end."""
    if not (folder / "summary.json").exists():
        status = os.waitpid(forked(folder), 0)[1]
        if status:
            raise SystemExit(f"a resumed run ended with {status}")


def left(folder):
    """What must not depend on the kills: weights to the bit, figures, and the history but for times."""
    summary = json.loads((folder / "summary.json").read_text())
    lines = [
        {name: value for name, value in line.items() if name not in ("time", "seconds")}
        for line in read_history(folder / "history.jsonl")
        if line.get("event") not in ("resumed", "checkpoint", "fallback", "interrupted")
    ]
    return {
        "model": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "dense": hashlib.sha256((folder / "dense.safetensors").read_bytes()).hexdigest(),
        "figures": [summary[name] for name in ("dense_accuracy", "accuracy_after_cut", "accuracy_after_retraining")],
        "history": lines,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(arguments.seed)
    whole = arguments.folder / "whole"
    begin = time.monotonic()
    finished(whole)
    seconds = time.monotonic() - begin
    kills, differing, runs, resumes = dict.fromkeys(KINDS, 0), [], 0, 0
    while sum(kills.values()) < arguments.kills:
        folder = arguments.folder / f"killed-{runs}"
        for _ in range(4):  # several times in the life of one run
            if sum(kills.values()) == arguments.kills or (folder / "summary.json").exists():
                break
            kind = KINDS[sum(kills.values()) % 3]
            kills[kind] += fate(kind, rng, seconds, folder)
        finished(folder)
        expected, found = left(whole), left(folder)
        differing += [f"{folder.name}: {name}" for name in expected if expected[name] != found[name]]
        resumes += json.loads((folder / "summary.json").read_text())["resumed"]
        runs += 1
        shutil.rmtree(folder)
    print(json.dumps({"kills": kills, "runs": runs, "resumes": resumes, "differing": differing}))


if __name__ == "__main__":
    import kill_driver  # under its own name, as the configuration names it

    kill_driver.main()
