"""A function that falls for ever is called unbounded by what runs down it; one that has a bound is not."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._loops.ending import first_bad

X0 = jnp.array([1.0, -0.5])
FALLING = {
    "dome": lambda x: -0.5 * jnp.sum(x**2),
    "plane": lambda x: jnp.sum(x),
    "cubic": lambda x: jnp.sum(x**3),
}
BOUNDED = {
    "bowl": lambda x: 0.5 * jnp.sum(x**2),
    "wall": lambda x: jnp.sum(jnp.exp(-x)),
    "far": lambda x: jnp.sqrt(1e8 + jnp.sum((x - 1e5) ** 2)),
    "wells": lambda x: jnp.sum((x**2 - 1.0) ** 2),
}


@pytest.mark.parametrize("name", FALLING)
@pytest.mark.parametrize("steps", [30, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_run_down_what_falls_for_ever(name, steps):
    run = tw.run(tw.gradient_descent(FALLING[name], 0.1), X0, steps)
    assert run.status == "unbounded"
    assert "it is not bounded below" in run.message
    assert "stability limit" not in run.message


@pytest.mark.parametrize("name", BOUNDED)
def test_what_has_a_bound_is_not_called_unbounded(name):
    run = tw.run(tw.gradient_descent(BOUNDED[name], 0.1), X0, 30)
    assert run.status == "finished"


def test_a_run_that_diverges_still_diverges():
    assert tw.run(tw.gradient_descent(BOUNDED["bowl"], 3.0), X0, 300).status == "diverged"


def test_first_bad_sees_a_fall_without_end():
    assert first_bad(np.array([1.0, -1e19, -1e21, 0.0]), 1.0) == 2
    # Far below its start in units of that start, however large.
    assert first_bad(np.array([1e30, 0.0, -1e40]), 1e30) is None


@pytest.mark.slow
def test_a_comparison_says_so():
    methods = {
        "descent": tw.gradient_descent(dome := tw.Objective(FALLING["dome"]), 0.1),
        "ball": tw.momentum(dome, 0.1),
    }
    found = tw.compare(methods, X0, max_steps=60, limits=False)
    assert [entry.regime for entry in found.entries] == ["unbounded", "unbounded"]
    assert "unbounded" in repr(found)
    assert {entry.regime for entry in tw.compare_runs(found.runs).entries} == {"unbounded"}
