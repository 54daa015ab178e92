"""What a method says of itself from a trace of its step."""

import equinox as eqx
import jax.numpy as jnp
import pytest
from jaxtyping import PyTree

import thalweg as tw
from thalweg.dynamics import AbstractFirstOrder, Phase


class Particular(AbstractFirstOrder):
    """A law that takes only matrices, or nothing at all."""

    objective: PyTree
    takes: int = eqx.field(static=True)

    def rates(self, time, phase, evaluation):
        del time
        if phase.position.ndim != self.takes:
            raise tw.InputError(f"no position of {phase.position.ndim} axes")
        return Phase(-evaluation.gradient @ jnp.eye(2))


def test_a_law_of_matrices_is_counted_on_one():
    assert tw.Method(Particular(None, 2), tw.Heun(), 0.1).gradients_per_step == 2


def test_where_no_shape_is_right_the_error_is_that_of_the_first():
    method = tw.Method(Particular(None, 3), tw.Euler(), 0.1)
    with pytest.raises(tw.InputError, match="no position of 1 axes") as caught:
        method.gradients_per_step  # noqa: B018
    assert "2 axes" in str(caught.value.__cause__)
