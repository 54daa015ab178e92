"""A run whose steps rounding has swallowed says so."""

import jax
import jax.numpy as jnp
import pytest

import thalweg as tw


def bowl(x):
    return 0.5 * jnp.sum(x**2)


def apart(p):
    return 0.5 * jnp.sum((p["w"] - p["g"]) ** 2)


SHORT = {
    "adam": (lambda f: tw.adam(f, 1e-4), "bfloat16", "0.0039", ", or keep the parameters in float32"),
    "momentum": (lambda f: tw.momentum(f, 1e-6, 0.9), "float16", "0.00049", ", or keep the parameters in float32"),
    "gradient_descent": (
        lambda f: tw.gradient_descent(f, 1e-9),
        "float32",
        "6e-08",
        ", or keep the parameters in float64",
    ),
    "lion": (lambda f: tw.lion(f, 1e-17), "float64", "1.1e-16", ""),
}


@pytest.mark.parametrize("name", SHORT)
def test_steps_that_are_lost_in_rounding_are_told(name):
    make, dtype, below, wider = SHORT[name]
    run = tw.run(make(bowl), jnp.ones(3, dtype), 100)
    assert run.final.position.tolist() == [1.0, 1.0, 1.0]
    assert run.message == (
        f"made 100 steps; nothing has moved, though the gradient there is not 0: steps of less than {below} of a "
        f"number are lost in {dtype}; take longer steps{wider}"
    )


def test_the_array_that_has_not_moved_is_named():
    start = {"g": jnp.ones(3, "bfloat16"), "w": jnp.full(3, 1e-3, "bfloat16")}
    run = tw.run(tw.adam(apart, 1e-4), start, 50)
    assert run.message.startswith("made 50 steps; g has not moved, though the gradient there is not 0: ")
    assert run.final.position["w"][0] != start["w"][0]


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_what_has_no_slope_or_moves_is_not(dtype):
    start = {"g": jnp.ones(3, dtype), "w": jnp.full(3, 1e-3, dtype)}
    # The loss does not depend on g; a long step moves.
    only = tw.run(tw.adam(lambda p: 0.5 * jnp.sum((p["w"] - 1) ** 2), 1e-4), start, 50)
    moved = tw.run(tw.gradient_descent(bowl, 0.1), jnp.ones(3, dtype), 50)
    assert {run.message for run in (only, moved)} == {"made 50 steps"}


FLAT = {
    "a minimum": (bowl, jnp.zeros(3)),
    "a saddle": (lambda x: x[0] ** 2 - x[1] ** 2, jnp.zeros(2)),
    "steps": (lambda x: jnp.sum(jnp.round(x) ** 2), jnp.array([2.2, 3.0])),
    "no derivative": (lambda x: jnp.sum(jax.lax.stop_gradient(x) ** 2), jnp.array([2.2, 3.0])),
}


@pytest.mark.parametrize("what", FLAT)
def test_a_start_without_a_slope_is_told(what):
    f, x0 = FLAT[what]
    assert (
        tw.run(tw.momentum(f, 0.1, 0.9), x0, 20).message == "made 20 steps; nothing has moved: the gradient there is 0"
    )


def test_a_point_of_rest_on_a_manifold_is_none_of_the_space_around_it():
    pole = jnp.array([0.0, 0.0, 1.0])
    run = tw.run(tw.riemannian_momentum(lambda x: x[2], 0.1, 0.9, tw.geometry.Sphere()), pole, 20)
    assert run.message == "made 20 steps" and jnp.all(run.final.position == pole)


def test_as_jax_comes_with_mini_batches():
    with jax.enable_x64(False):
        data = jnp.arange(8.0)
        loss = tw.FiniteSum(lambda x, sample: 0.5 * jnp.sum((x - sample) ** 2), data, batch_size=2)
        run = tw.run(tw.gradient_descent(loss, 1e-9), jnp.full(2, 100.0), 20, key=0)
        assert "; nothing has moved, though the gradient there is not 0: steps of less than 6e-08" in run.message
