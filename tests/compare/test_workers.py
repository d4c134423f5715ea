"""Worker processes that fail, die, or are no longer wanted."""

import multiprocessing
import pickle
import signal
from multiprocessing import Pipe

import pytest
import torch

from slrprune.compare.workers import _Kind, _serve, crew
from slrprune.errors import ArgumentError, UsageError

# Worker processes cannot import a test module, so the work is written where they can.
WORK = """
import os, time
from dataclasses import dataclass
from slrprune.errors import DataError

def die(): os._exit(3)
def die_soon():
    import threading
    threading.Timer(0.3, die).start()
def fail(): raise ValueError("too odd")
def refuse(): raise DataError("here", "no data")
def hang(): time.sleep(600)
def nothing(): pass

@dataclass(frozen=True)
class Deed:
    label: str
    deed: object = nothing

    def execute(self, shared, report):
        report(1, "two")
        self.deed()
        return shared, os.getpid()
"""


@pytest.fixture
def odd(tmp_path, monkeypatch):
    (tmp_path / "odd_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    import odd_work

    return odd_work


class Listening:
    def __init__(self):
        self.reports, self.results = [], {}

    def reported(self, work, *values):
        self.reports.append((work.label, values))

    def finished(self, work, result):
        self.results[work.label] = result


def test_several_processes_do_all_the_work_and_end(odd):
    listener, later = Listening(), Listening()
    with crew(2, "shared") as workers:
        workers.do([odd.Deed(label) for label in "abcde"], listener)
        workers.do([odd.Deed("f")], later)
        pids = {child.pid for child in multiprocessing.active_children()}
    assert sorted(listener.reports) == [(label, (1, "two")) for label in "abcde"]
    assert sorted(listener.results) == list("abcde")
    assert {shared for shared, _ in listener.results.values()} == {"shared"}
    assert {pid for _, pid in (*listener.results.values(), *later.results.values())} <= pids
    assert len(pids) == 2
    assert multiprocessing.active_children() == []


def test_a_process_that_dies_is_named_with_its_work(odd):
    sentence = r"compare, b: the worker process died with exit code 3\. Was there memory enough\? The same command"
    with pytest.raises(UsageError, match=sentence), crew(2, None) as workers:
        workers.do([odd.Deed("a"), odd.Deed("b", odd.die)], Listening())
    assert multiprocessing.active_children() == []


def test_a_process_that_dies_between_two_works_is_named(odd):
    class Slow(Listening):
        def finished(self, work, result):
            for child in multiprocessing.active_children():
                child.join(20)  # they end right after their first work

    with (
        pytest.raises(UsageError, match=r"compare, \w: the worker process died with exit code 3\."),
        crew(2, None) as workers,
    ):
        workers.do([odd.Deed(label, odd.die_soon) for label in "abcd"], Slow())
    assert multiprocessing.active_children() == []


def test_ctrl_c_in_the_caller_ends_the_processes(odd):
    class Impatient(Listening):
        def reported(self, work, *values):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), crew(2, None) as workers:
        workers.do([odd.Deed("a", odd.hang), odd.Deed("b", odd.hang)], Impatient())
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("deed", "text"), [("fail", "ValueError: too odd"), ("refuse", "here: no data."), ("nothing", None)]
)
def test_a_worker_tells_what_went_wrong(odd, deed, text):
    """A worker's life in this process, for one piece of work."""
    handler, threads = signal.getsignal(signal.SIGINT), torch.get_num_threads()
    ours, theirs = Pipe()
    ours.send_bytes(pickle.dumps(odd.Deed("a", getattr(odd, deed))))
    ours.send_bytes(pickle.dumps(odd.Deed("b", odd.refuse)))  # ends the life that the first piece did not end
    try:
        _serve(theirs, pickle.dumps("shared"))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert torch.get_num_threads() == 1
    finally:
        signal.signal(signal.SIGINT, handler)
        torch.set_num_threads(threads)
    assert ours.recv() == (_Kind.REPORT, (1, "two"))
    kind, content = ours.recv()
    assert kind is (_Kind.RESULT if text is None else _Kind.FAILURE)
    assert content[0] == "shared" if text is None else text in content


def test_a_worker_ends_quietly_with_its_caller():
    handler = signal.getsignal(signal.SIGINT)
    ours, theirs = Pipe()
    ours.close()
    try:
        assert _serve(theirs, pickle.dumps(None)) is None
    finally:
        signal.signal(signal.SIGINT, handler)


def test_one_worker_works_here_and_gives_the_threads_back(odd):
    class Looking(Listening):
        def reported(self, work, *values):
            assert torch.get_num_threads() == 1

    torch.set_num_threads(2)
    listener = Looking()
    try:
        with crew(1, "shared") as workers:
            workers.do([odd.Deed("a")], listener)
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match="too odd"), crew(1, None) as workers:
            workers.do([odd.Deed("a", odd.fail)], Listening())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert listener.results["a"][0] == "shared"


def test_no_worker_is_no_crew():
    with pytest.raises(ArgumentError, match=r"compare\(workers=0\): workers must be an integer of at least 1"):
        crew(0, None).__enter__()
