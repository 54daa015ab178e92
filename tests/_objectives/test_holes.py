"""Data that are not finite are named where a loss is not finite for them, and the start is not blamed."""

import jax.numpy as jnp
import pytest

import thalweg as tw
from thalweg import InputError
from thalweg._objectives.objective import AbstractObjective

SOME = "the data hold NaN or infinity in 2 of 4 samples, the first of them 1; fill them or leave them out"


def loss(x, sample):
    return jnp.sum((x - sample["y"]) ** 2 + sample["n"])


def holed(dtype="float64", **options):
    data = {"y": jnp.array([[1.0, 2.0], [jnp.nan, 0.0], [0.0, 1.0], [0.0, -jnp.inf]], dtype), "n": jnp.arange(4)}
    return tw.FiniteSum(loss, data, **options)


ENTRIES = {
    "run": lambda f: tw.run(tw.gradient_descent(f, 0.1), jnp.zeros(2), 5),
    "minimize": lambda f: tw.minimize(f, jnp.zeros(2)),
    "sample": lambda f: tw.sample(tw.mala(f, 0.1), jnp.zeros(2)),
    "sweep": lambda f: tw.sweep(lambda rate: tw.gradient_descent(f, rate), {"rate": [0.1]}, jnp.zeros(2), 5),
    "compare": lambda f: tw.compare(tw.gradient_descent(f, 0.1), jnp.zeros(2)),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_at_the_start(entry):
    with pytest.raises(InputError, match=rf"^the objective is nan at the start; {SOME}$"):
        ENTRIES[entry](holed())


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_in_short_numbers(dtype):
    with pytest.raises(InputError, match=SOME):
        tw.run(tw.gradient_descent(holed(dtype), 0.1), jnp.zeros(2, dtype), 5)


def test_where_a_batch_meets_them():
    data = jnp.append(jnp.ones(50), jnp.nan)
    f = tw.FiniteSum(lambda x, y: jnp.sum((x - y) ** 2), data, batch_size=1)
    run = tw.run(tw.gradient_descent(f, 0.1), jnp.ones(1), 200, key=0)
    assert run.status == "not finite"
    assert "; the data hold NaN or infinity in 1 of 51 samples, the first of them 50; fill them or leave" in run.message


def test_arguments():
    f = tw.Objective(lambda x, y: jnp.sum((x - y) ** 2), args=jnp.array([1.0, jnp.inf]))
    with pytest.raises(InputError, match=r"^the objective is inf at the start; the args hold NaN or infinity$"):
        tw.minimize(f, jnp.zeros(2))


def test_a_loss_that_fills_them_itself_is_taken():
    f = tw.FiniteSum(lambda x, y: jnp.sum((x - jnp.nan_to_num(y)) ** 2), jnp.array([1.0, jnp.nan]))
    assert tw.run(tw.gradient_descent(f, 0.1), jnp.zeros(1), 5).status == "finished"


def test_a_start_that_is_to_blame_is_blamed():
    with pytest.raises(InputError, match=r"^the objective is nan at the start; begin where it is finite$"):
        tw.run(tw.gradient_descent(lambda x: jnp.sum(jnp.log(x)), 0.1), -jnp.ones(2), 5)


def test_data_that_are_no_samples_are_named_alone():
    class Own(AbstractObjective):
        data: jnp.ndarray
        minimum = minimiser = smoothness = strong_convexity = None

        def value(self, x, batch=None):
            return jnp.sum(x**2) * self.data

    with pytest.raises(InputError, match=r"^the objective is nan at the start; the data hold NaN or infinity$"):
        tw.run(tw.gradient_descent(Own(jnp.array(jnp.nan)), 0.1), jnp.ones(2), 1)
