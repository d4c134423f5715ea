"""The cuts tried out on copies: those that change the outputs are sorted out, by name."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from slrprune.deploy.shrink.cut import Cut, apply_cuts_
from slrprune.deploy.shrink.example import described, relative_difference, run, tensors_in


class Trial:
    """Knows what a model gives on some inputs, and tells whether it still does after cuts.

    Args:
        examples: inputs.
        references: what the model, in eval mode, gave on each before it was cut.
        tolerance: greatest relative difference that is still rounding.
    """

    def __init__(self, examples: Sequence[object], references: Sequence[list[Tensor]], tolerance: float) -> None:
        self.examples = examples
        self.references = references
        self.tolerance = tolerance

    def sift(self, model: nn.Module, cuts: Sequence[Cut]) -> tuple[list[Cut], dict[str, str]]:
        """The cuts that change nothing, and why not the others, by their root.

        All are tried at once; where this fails, each half is, and so on: few attempts where few fail.
        """
        problem = self._problem(model, cuts)
        if not problem:
            return list(cuts), {}
        if len(cuts) == 1:
            return [], {cuts[0].root: problem}
        accepted: list[Cut] = []
        refused: dict[str, str] = {}
        for half in (cuts[: len(cuts) // 2], cuts[len(cuts) // 2 :]):
            good, bad = self.sift(model, half)
            accepted += good
            refused |= bad
        # Halves that pass alone and fail together are given up together.
        if accepted and (together := self._problem(model, accepted)):
            return [], refused | {cut.root: together for cut in accepted}
        return accepted, refused

    def _problem(self, model: nn.Module, cuts: Sequence[Cut]) -> str:
        attempt = copy.deepcopy(model)
        try:
            apply_cuts_(attempt, cuts)
            with torch.no_grad():
                outputs = [tensors_in(run(attempt, inputs)) for inputs in self.examples]
        except Exception as error:  # a forward pass can stumble over another size in any way
            return f"without it the forward pass fails ({described(error)})"
        worst = max(map(relative_difference, self.references, outputs))
        if worst <= self.tolerance:
            return ""
        return f"without it the outputs differ by {worst:.1e} relative: something else reads it, or its number"
