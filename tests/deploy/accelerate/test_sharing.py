"""One module used by several threads, by forked children, and after pickling."""

import multiprocessing
import pickle
import threading

import pytest
import torch
from torch import nn

from slrprune.deploy.accelerate import accelerate
from slrprune.deploy.kernels import PackedConv2d, PackedLinear

pytestmark = pytest.mark.usefixtures("needs_kernels")


@pytest.fixture(autouse=True, params=[1, 2])
def threads(request):
    """One thread, and two, so that the kernels' pool takes part."""
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def fast(pruned, invented):
    model = pruned(nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10)))
    fast, _ = accelerate(model, torch.randn(2, 8, 8, 8), timer=invented())
    assert any(isinstance(module, PackedConv2d) for module in fast.modules())
    assert any(isinstance(module, PackedLinear) for module in fast.modules())
    return fast


def test_threads_share_it(fast):
    inputs = [torch.randn(2, 8, 8, 8) for _ in range(4)]
    expected = [fast(x) for x in inputs]
    failures = []

    def work(x, y):
        failures.extend(x for _ in range(50) if not torch.equal(fast(x), y))

    threads = [threading.Thread(target=work, args=pair) for pair in zip(inputs, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def _answer(pipe, fast, x):
    pipe.send_bytes(fast(x).numpy().tobytes())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork")
def test_a_forked_child_computes_the_same(fast):
    x = torch.randn(2, 8, 8, 8)
    expected = fast(x).numpy().tobytes()  # the parent's pool is up before the fork
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_answer, args=(there, fast, x))
    child.start()
    assert here.poll(60), "the child hangs"
    assert here.recv_bytes() == expected
    child.join(60)
    assert child.exitcode == 0
    assert fast(x).numpy().tobytes() == expected


def test_pickled_and_back(fast):
    x = torch.randn(2, 8, 8, 8)
    assert torch.equal(pickle.loads(pickle.dumps(fast))(x), fast(x))
