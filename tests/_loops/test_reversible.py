"""Derivatives through the inverse of every step, beside those that keep the states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

W = np.random.default_rng(0).normal(size=(4, 4))
START = np.array([1.0, -2.0, 0.5, 3.0])


def network(weights, x):
    return jnp.sum(jnp.log(jnp.cosh(weights @ x))) + 0.1 * jnp.sum(x**2)


def cost(weights, rate, beta, count, gradient, make=tw.momentum):
    end = tw.solve(
        make(lambda x: network(weights, x), rate, beta), jnp.asarray(START), count, gradient=gradient,
        save=lambda state: state.position,
    )  # fmt: skip
    return jnp.sum(end.final.position**2) + 0.01 * jnp.sum(jnp.sin(end.saved))


@pytest.mark.parametrize(("beta", "count"), [(0.9, 40), (0.999, 300), (1.0, 100)])
def test_derivatives_are_those_of_the_kept_states(beta, count):
    slopes = [
        jax.jit(jax.grad(cost, argnums=(0, 1, 2)), static_argnums=(3, 4))(jnp.asarray(W), 0.03, beta, count, gradient)
        for gradient in ("direct", "reversible")
    ]
    for direct, back in zip(*slopes, strict=True):
        np.testing.assert_allclose(back, direct, rtol=1e-8, atol=1e-8 * float(jnp.abs(direct).max()))


def test_a_tree_mini_batches_and_a_schedule_go_back_too(rng):
    data = {"x": rng.normal(size=(12, 3)), "y": rng.normal(size=12)}

    def cost(scale, gradient):
        def loss(p, one):
            return (one["y"] - jnp.tanh(p["w"] @ one["x"]) * scale - p["b"]) ** 2

        objective = tw.FiniteSum(loss, data, batch_size=3)
        method = tw.Method(
            tw.HeavyBall(objective, lambda t: 0.2 + 0.1 * scale * t), tw.Leapfrog(), lambda i: 0.2 / (1.0 + i)
        )
        end = tw.solve(method, {"w": jnp.ones(3), "b": jnp.zeros(())}, 15, key=3, gradient=gradient)
        return jnp.sum(end.final.position["w"] ** 2) + end.final.position["b"] + end.final.time

    found = {gradient: jax.value_and_grad(cost)(0.7, gradient) for gradient in ("direct", "reversible")}
    np.testing.assert_allclose(found["reversible"], found["direct"], rtol=1e-9)


def test_the_inverse_of_a_step_is_the_state_before():
    method = tw.Method(tw.HeavyBall(lambda x: jnp.sum(x**4), 0.3), tw.Leapfrog(), lambda i: 0.01 * (1.0 + i))
    before = method.step(method.init(jnp.asarray(START)))
    after = method.step(before)
    found = method.inverse(after, clock=before.clock)
    np.testing.assert_allclose(found.position, before.position, rtol=1e-14)
    np.testing.assert_allclose(found.buffer, before.buffer, rtol=1e-12)
    with pytest.raises(tw.InputError, match="needs the clock before it"):
        method.inverse(after)


def temporary(gradient, beta, count):
    """Bytes that the compiled derivative of a motion takes beside its arguments and results."""
    side = 64

    def end(weights):
        f = lambda x: 0.5 * jnp.sum(jnp.tanh(weights @ x) ** 2)  # noqa: E731
        made = tw.momentum(f, 1e-3, beta) if beta < 1.0 else tw.Method(tw.HeavyBall(f, 0.0), tw.Leapfrog(), 0.03)
        return jnp.sum(tw.solve(made, jnp.ones(side), count, gradient=gradient).final.position)

    compiled = jax.jit(jax.grad(end)).lower(jnp.ones((side, side)) / side).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("beta", [0.999, 1.0])
def test_memory_does_not_grow_with_the_steps(beta):
    few, many = (temporary("reversible", beta, count) for count in (64, 4096))
    assert many <= few + 1024
    # What a derivative that keeps every state does.
    assert temporary("direct", beta, 4096) > 20 * many


def test_what_would_lose_its_digits_is_refused():
    with pytest.raises(tw.InputError, match='gradient="reversible" would lose more than half of the digits'):
        cost(jnp.asarray(W), 0.03, 0.5, 60, "reversible")
    # Where the momentum is traced, in the program.
    with pytest.raises(Exception, match="would lose more than half of the digits"):
        jax.block_until_ready(jax.jit(lambda beta: cost(jnp.asarray(W), 0.03, beta, 60, "reversible"))(0.5))
    with pytest.raises(tw.InputError, match="would lose"):
        tw.solve(tw.momentum(lambda x: jnp.sum(x**2), 0.1, 0.0), jnp.ones(2), 2, gradient="reversible")
    with jax.enable_x64(False), pytest.raises(tw.InputError, match="would lose"):
        tw.solve(tw.momentum(lambda x: jnp.sum(x**2), 0.1, 0.9), jnp.ones(2), 100, gradient="reversible")


def test_inside_its_bound_the_first_state_is_found_again_to_it():
    beta, count = 0.9, 120
    method = tw.momentum(lambda x: network(jnp.asarray(W), x), 0.03, beta)
    start = method.init(jnp.asarray(START))
    state = tw.solve(method, jnp.asarray(START), count, gradient="reversible").final
    for _ in range(count):
        state = method.inverse(state)
    bound = np.finfo(float).eps * (beta**-count - 1.0) / (1.0 / beta - 1.0)
    off = float(jnp.linalg.norm(state.position - start.position) / jnp.linalg.norm(start.position))
    assert off <= bound <= 1e-8


@pytest.mark.parametrize(
    "method",
    [
        tw.nesterov(lambda x: jnp.sum(x**2), 0.1, 0.9),
        tw.gradient_descent(lambda x: jnp.sum(x**2), 0.1),
        tw.Method(tw.HeavyBall(lambda x: x[0], 0.1, geometry=tw.geometry.Sphere()), tw.Leapfrog(), 0.1),
    ],
    ids=["look-ahead", "descent", "sphere"],
)
def test_a_step_without_an_inverse_is_refused(method):
    start = jnp.array([0.6, 0.8])
    with pytest.raises(tw.InputError, match='gradient="reversible" needs the inverse of a step'):
        tw.solve(method, start, 3, gradient="reversible")
    with pytest.raises(tw.InputError, match="has no inverse"):
        method.inverse(method.step(method.init(start)))
