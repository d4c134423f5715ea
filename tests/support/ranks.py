"""Several gloo processes on this machine that run the scenarios of a file, one after the other, all together.

    said = ranks.run([Path("tests/distributed/_replicated.py")], tmp_path)  # {scenario: one text per rank, "" for none}

One process imports torch and the scenarios once and forks the ranks, so that four ranks cost little more than one.
"""

import faulthandler
import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

SIZE = 4
_SECONDS = 300  # after which a collective call that some rank never makes gives up
_PATIENCE = 900  # seconds for everything, after which all ranks are stopped and show where they were


def run(files: Sequence[Path], folder: Path, *names: str) -> dict[str, list[str]]:
    """Runs the functions `scenario_*(folder)` of some files, all or those named, on `SIZE` ranks.

    Returns:
        What each rank had to say about each: a traceback, or nothing.
    """
    source = Path(__file__).resolve().parents[2] / "src"
    path = os.pathsep.join([str(source), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, __file__, os.pathsep.join(map(str, files)), str(folder), *names]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as done:
        try:
            output, _ = done.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(done.pid, signal.SIGKILL)  # the ranks, too
            output, _ = done.communicate()
    said = [folder / f"said_{rank}.json" for rank in range(SIZE)]
    if not all(file.exists() for file in said):
        raise RuntimeError(f"the ranks ended with {done.returncode}:\n{output}")
    by_rank = [json.loads(file.read_text()) for file in said]
    return {name: [texts[name] for texts in by_rank] for name in by_rank[0]}


@contextmanager
def refused(kind: type[Exception], *words: str) -> Iterator[None]:
    """As `pytest.raises`, for a message that holds all the words."""
    with pytest.raises(kind) as caught:
        yield
    assert all(word in str(caught.value) for word in words), str(caught.value)


def _rank(rank: int, scenarios: dict[str, Callable[[Path], None]], folder: Path) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    faulthandler.dump_traceback_later(_PATIENCE - 20)
    timeout = timedelta(seconds=_SECONDS)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=SIZE, timeout=timeout)
    texts: dict[str, str] = {}
    names = sys.argv[3:] or list(scenarios)
    for name in names:
        shared = folder / name
        shared.mkdir(exist_ok=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                scenarios[name](shared)
            texts[name] = ""
        except BaseException:
            texts[name] = traceback.format_exc()
        if 0 < sum(_outcomes(name, rank, bool(texts[name]))) < SIZE:
            # Some ranks are ahead of the others now: whatever would follow, would follow from this.
            texts |= dict.fromkeys(names[names.index(name) + 1 :], "not run after a failure on some ranks")
            break
    (folder / f"said_{rank}.json").write_text(json.dumps(texts))
    os._exit(0)  # without the farewell of a group that some rank may have left


def _outcomes(name: str, rank: int, failed: bool) -> list[bool]:
    """Which ranks failed; waits for all of them, past the time after which collective calls give up."""
    import torch.distributed as dist

    store = dist.distributed_c10d._get_default_store()
    store.set(f"{name}/{rank}", str(int(failed)))
    store.wait([f"{name}/{other}" for other in range(SIZE)], timedelta(seconds=2 * _SECONDS))
    return [store.get(f"{name}/{other}") == b"1" for other in range(SIZE)]


def main() -> None:
    """Imports once, forks the ranks, waits."""
    folder = Path(sys.argv[2])
    scenarios: dict[str, Callable[[Path], None]] = {}
    for file in sys.argv[1].split(os.pathsep):
        spec = importlib.util.spec_from_file_location(Path(file).stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        scenarios |= {name: value for name, value in vars(module).items() if name.startswith("scenario_")}
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=_rank, args=(rank, scenarios, folder)) for rank in range(SIZE)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()


if __name__ == "__main__":
    main()
