"""Random numbers that a program would have once and for all are warned of where it is traced."""

import jax.numpy as jnp
import pytest

import thalweg as tw
from tests.cells import START, first_step, notebook

DRAWS = {
    "NumPy's own": "def f(x): return jnp.sum((x - np.random.rand()) ** 2)",
    "Python's own": "import random\ndef f(x): return jnp.sum((x - random.random()) ** 2)",
    "a function of Python's": "from random import gauss\ndef f(x): return jnp.sum((x - gauss(0, 1)) ** 2)",
    "a generator of Python": (
        "import random\nrng = random.Random(0)\ndef f(x): return jnp.sum((x - rng.random()) ** 2)"
    ),
    "a generator": "rng = np.random.default_rng(0)\ndef f(x): return jnp.sum((x - rng.normal()) ** 2)",
    "an old generator": "rng = np.random.RandomState(0)\ndef f(x): return jnp.sum((x - rng.rand()) ** 2)",
    "one in a helper": (
        "rng = np.random.default_rng(0)\ndef batch(): return rng.choice(9, 2)\n"
        "def f(x): return jnp.sum((x[0] - batch()) ** 2)"
    ),
    "one of its object": (
        "class Data:\n  def __init__(self): self.rng = np.random.default_rng(0)\n"
        "  def loss(self, x): return jnp.sum((x - self.rng.normal()) ** 2)\nf = Data().loss"
    ),
}
FIXED = {
    "a generator of its own": "def f(x): return jnp.sum((x - np.random.default_rng(0).normal()) ** 2)",
    "jax.random": "def f(x): return jnp.sum((x - jax.random.normal(jax.random.key(0))) ** 2)",
    "Python's own, by somebody else": (
        "def f(x): return check(jnp.sum((x - 1) ** 2))\n"
        "class Check:\n  def __call__(self, value):\n    __import__('random').random()\n    return value\n"
        "check = Check()"
    ),
    "drawn before": "shift = np.random.rand()\ndef f(x): return jnp.sum((x - shift) ** 2)",
}


@pytest.mark.parametrize("what", DRAWS)
def test_numbers_that_are_drawn_once_and_for_all_are_warned_of(what):
    with pytest.warns(UserWarning, match="^the objective draws random numbers of NumPy or Python, of which a compiled"):
        first_step(tw.gradient_descent(notebook(DRAWS[what])["f"], 0.1))


@pytest.mark.parametrize("what", FIXED)
def test_numbers_that_are_the_same_each_time_are_not(what):
    # Warnings are errors here.
    first_step(tw.gradient_descent(notebook(FIXED[what])["f"], 0.1))


def test_losses_and_fields_that_draw_are_warned_of():
    cells = notebook(
        "def loss(x, sample): return jnp.sum((x - sample) ** 2) * np.random.rand()\n"
        "def field(t, x, args): return -x + np.random.rand()"
    )
    loss = tw.FiniteSum(cells["loss"], jnp.arange(4.0), batch_size=2)
    with pytest.warns(UserWarning, match="^the loss draws random numbers"):
        tw.run(tw.gradient_descent(loss, 0.1), START, 1, key=0)
    with pytest.warns(UserWarning, match="^the field draws random numbers"):
        tw.solve(tw.Method(tw.Field(cells["field"]), tw.RK4(), 0.1), START, 2)
