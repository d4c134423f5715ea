"""One packed layer used by several threads at once, and in a child process after it was used in the parent."""

import concurrent.futures
import multiprocessing
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from slrprune.deploy import kernels
from slrprune.sets import Unstructured

pytestmark = pytest.mark.usefixtures("_library")
SECONDS = 20  # after which a process counts as hanging


def layers() -> nn.Sequential:
    """A convolution and a linear layer, large enough to be shared among threads."""
    filters = Unstructured(0.5).project(torch.randn(64, 32, 3, 3))
    weight = Unstructured(0.5).project(torch.randn(600, 64 * 20 * 20 // 50))
    return nn.Sequential(
        kernels.pack_conv2d(filters, padding=1, relu=True),
        nn.Flatten(),
        nn.Unflatten(1, (50, -1)),
        kernels.pack_linear(weight),
    )


@pytest.fixture(params=[1, 3], ids=lambda n: f"{n} torch threads")
def _torch_threads(request):
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("_torch_threads")
def test_threads_that_share_a_layer_get_what_one_gets():
    model, inputs = layers(), torch.randn(24, 2, 32, 20, 20)
    expected = [model(x) for x in inputs]
    start = threading.Barrier(4)

    def work(first: int) -> list[Tensor]:
        start.wait()
        return [model(x) for x in inputs[first::4]]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    for first, outputs in enumerate(found):
        for output, other in zip(outputs, expected[first::4], strict=True):
            assert torch.equal(output, other)


@pytest.mark.usefixtures("_torch_threads")
def test_the_first_use_may_come_from_many_threads_at_once():
    # A packed weight is checked at its first use; here all threads find it unchecked.
    weight, x = Unstructured(0.5).project(torch.randn(50, 60)), torch.randn(20, 60)
    for _ in range(10):
        packed = kernels.pack_linear(weight)
        packed.packed = packed.packed.clone()
        start = threading.Barrier(4)

        def work(_: int, packed: nn.Module = packed, start: threading.Barrier = start) -> Tensor:
            start.wait()
            return packed(x)

        with ThreadPoolExecutor(4) as pool:
            for output in pool.map(work, range(4)):
                torch.testing.assert_close(output, x @ weight.T, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forking a process with threads is safe on Linux only")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_forked_after_use_gets_the_same(threads):
    model, x = layers(), torch.randn(2, 32, 20, 20)
    torch.set_num_threads(threads)
    try:
        expected = model(x)
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_run_in_child, args=(model, x, expected, sender))
        child.start()
        sender.close()
        assert receiver.poll(SECONDS), "the child hangs"
        assert receiver.recv() == "equal"
        child.join(SECONDS)
        assert child.exitcode == 0
        assert torch.equal(model(x), expected)  # the parent goes on as before
    finally:
        torch.set_num_threads(1)


def _run_in_child(model, x, expected, sender):
    same = all(_equal_after_a_fork(model(x), expected) for _ in range(3))
    sender.send("equal" if same else "different")
    sender.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forking a process with threads is safe on Linux only")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_another_thread_computes():
    model, x = layers(), torch.randn(2, 32, 20, 20)
    torch.set_num_threads(3)
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            model(x)

    busy = threading.Thread(target=keep_busy)
    try:
        expected = model(x)
        busy.start()
        for _ in range(10):
            child = os.fork()
            if child == 0:
                os._exit(0 if _equal_after_a_fork(model(x), expected) else 1)
            assert _exit_status(child) == 0
    finally:
        stop.set()
        busy.join()
        torch.set_num_threads(1)


def _equal_after_a_fork(a: Tensor, b: Tensor) -> bool:
    # By numpy: torch's own threads do not survive a fork, and torch.equal of this size waits for them forever.
    return np.array_equal(a.numpy(), b.numpy())


def _exit_status(child: int) -> int | None:
    """None if it hangs; it is then killed."""
    waiter = ThreadPoolExecutor(1)
    try:
        waiting = waiter.submit(os.waitpid, child, 0)
        return os.waitstatus_to_exitcode(waiting.result(SECONDS)[1])
    except concurrent.futures.TimeoutError:  # before Python 3.11 not the built-in one
        os.kill(child, 9)
        return None
    finally:
        waiter.shutdown()
