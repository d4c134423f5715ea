"""Two steps of every lane network: forward, backward, prune, cut, export. Small in each run, at full size at night."""

import numpy as np
import pytest
from two_steps import GIBIBYTE, loss_after_two_steps, peak_memory

from slrprune.tasks.tusimple import TuSimple


@pytest.mark.parametrize("system", ["ufld_reduced", "lanenet_reduced"])
def test_the_small_networks(made_tusimple, tmp_path, system):
    task = TuSimple(made_tusimple, system=system, batch_size=2)
    assert np.isfinite(loss_after_two_steps(task, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("system", ["ufld", "lanenet"])
def test_the_published_networks(made_tusimple, tmp_path, system):
    task = TuSimple(made_tusimple, system=system, batch_size=2)
    assert task.example_input().shape[1:] == (3, *task.system.size)
    assert np.isfinite(loss_after_two_steps(task, tmp_path))
    assert peak_memory() < 12 * GIBIBYTE
