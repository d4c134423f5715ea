"""What work beyond plain training steps costs, so that it can be paid for out of a budget of steps."""

from fractions import Fraction

FORWARD = Fraction(1, 3)
"""Price of one forward pass over one batch, in training steps of that batch.

The backward pass computes two products where the forward pass computes one, so that a training step is three forward
passes. Measured time may differ a little; a budget in steps is the same on every machine.

Reference:
    J. Kaplan et al., "Scaling laws for neural language models", arXiv 2001.08361, section 2.1.
"""
