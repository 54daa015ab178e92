"""What a method says of itself from a trace of its step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jaxtyping import PyTree

import thalweg as tw
from thalweg.dynamics import AbstractFirstOrder, Phase


def bowl(x):
    return 0.5 * jnp.sum(x**2)


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


def test_a_method_prints_its_numbers():
    """In either precision those of its user, and not what arithmetic made of them."""
    for x64 in (True, False):
        with jax.enable_x64(x64):
            method = tw.momentum(bowl, 0.03, 0.9)
            assert "0.0299" not in repr(method) and method.hyperparameters == {"learning_rate": 0.03, "momentum": 0.9}
            assert repr(method).startswith("Method(HeavyBall(bowl, friction=0.59234")
            assert repr(method).endswith("# learning_rate=0.03, momentum=0.9")
    law = tw.UnderdampedLangevin(bowl, 1.0, 0.3)
    assert repr(tw.Method(law, tw.Splitting("OBABO"), 0.1)) == (
        "Method(UnderdampedLangevin(bowl, friction=1, temperature=0.3), OBABO, step_size=0.1)  # mass=1"
    )
    assert repr(tw.Method(tw.GradientFlow(bowl), tw.RK4(), 1 / 3)).startswith(
        "Method(GradientFlow(bowl), RK4, step_size"
    )
    # What is traced has no number to show.
    jax.eval_shape(lambda a: repr(tw.momentum(bowl, a, 0.9)) and a, 0.1)
    assert tw.Method(tw.GradientFlow(bowl), tw.Euler(), 1 / 3).hyperparameters == {"learning_rate": 1 / 3}
