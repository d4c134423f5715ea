"""What a table is made of: one block for each question, one row for each arm."""

from dataclasses import dataclass

from slrprune.compare.statistics import PairedDifference, Summary


@dataclass(frozen=True)
class Row:
    """One arm in one block.

    Attributes:
        method: name of the arm, with its settings where the block holds several settings under one name.
        prunes: whether it is a contestant; False for the dense reference.
        accuracy: the metric on the test split after the cut, in percent; None where no run has a figure.
        drop: dense start minus that, run by run, in points; None where the dense starts have no figure.
        sparsity: mean fraction of zeros reached, over the pruned weights.
        compression: mean of numel / nnz over the pruned weights.
        seconds: mean training time of the runs that came to their end; None where none did.
        runs: how many there are.
        seeds: the different ones.
        diverged: how many runs diverged.
        unmeasured: how many came to their end, and the metric is no number.
        falls_short: whether a run stayed below the sparsity asked for, which makes its accuracy no fair figure.
        rival: whom the arm is compared with: the best other arm, or the one that was named.
        lead: this arm minus the rival, over common seeds and folds.
        curve: (epoch, mean accuracy after the cut on a copy) of the runs that did not diverge.
    """

    method: str
    prunes: bool
    accuracy: Summary | None
    drop: Summary | None
    sparsity: float | None
    compression: float | None
    seconds: float | None
    runs: int
    seeds: tuple[int, ...]
    diverged: int
    unmeasured: int
    falls_short: bool
    rival: str | None = None
    lead: PairedDifference | None = None
    curve: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Block:
    """Arms that were asked the same: task, model, dense start, recipe, length, target.

    Attributes:
        metric: name of what is measured.
        seeds: how many different seeds there are.
        folds: how many folds of a cross-validation; 0 where it is none.
        dense: test accuracy of the dense starts, over seeds and folds; trained weights are one start for all seeds.
        rows: the dense reference first, then the best accuracy first, diverged arms last.
        curve_split: where the curves were taken; None without curves.
        against: the rival that was named; None for the best one of every arm.
        without: arms that were left out.
        notes: what the reader must know besides: why runs have no figure, which data were skipped.
    """

    task: str
    model: str
    metric: str
    target: str
    epochs: int
    seeds: int
    folds: int
    dense: Summary | None
    rows: tuple[Row, ...]
    curve_split: str | None
    against: str | None = None
    without: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_uneven(self) -> bool:
        """Whether the arms differ in their seeds, so that the number of all says nothing about one of them."""
        return len({(row.runs, row.seeds) for row in self.rows}) > 1
