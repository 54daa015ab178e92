"""The pure loop: the steps of a run, through jit, vmap and grad."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

CURVATURE = jnp.array([1.0, 3.0])
X0 = jnp.array([1.0, -2.0])


def bowl(x):
    return 0.5 * jnp.sum(CURVATURE * x**2)


def quartic(x):
    return bowl(x) + 0.1 * jnp.sum(x**4)


TREE = {"a": jnp.array([[0.7, -0.4]]), "b": jnp.array(1.1)}


def of_tree(x):
    return quartic(jnp.stack([x["a"][0, 0], x["b"]])) + x["a"][0, 1] ** 2


@pytest.mark.parametrize("row", ["gradient_descent", "nesterov", "leapfrog", "nesterov_flow_rk4", "baoab", "mala"])
def test_its_steps_are_those_of_a_run(row):
    row = next(one for one in tw.table() if one.name == row)
    method = row.build(of_tree)
    key = 5 if method.stochastic else None
    run = tw.run(method, TREE, 25, key=key, record=1)
    found = tw.solve(method, TREE, 25, key, lambda state: state.position)
    for part in ("position", "lookahead"):
        for one, other in zip(
            jax.tree.leaves(getattr(found.final, part)), jax.tree.leaves(getattr(run.final, part)), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-12)
    for one, other in zip(jax.tree.leaves(found.saved), jax.tree.leaves(run.trace.position), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


def test_a_derivative_in_closed_form():
    def end(rate):
        return tw.solve(tw.gradient_descent(bowl, rate), X0, 7).final.position

    np.testing.assert_allclose(end(0.1), (1 - 0.1 * CURVATURE) ** 7 * X0, rtol=1e-13)
    exact = -7 * CURVATURE * (1 - 0.1 * CURVATURE) ** 6 * X0
    np.testing.assert_allclose(jax.jacrev(end)(0.1), exact, rtol=1e-13)
    np.testing.assert_allclose(jax.jacfwd(end)(0.1), exact, rtol=1e-13)


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 9, 23])
def test_checkpoints_change_no_derivative(steps):
    def loss(x0, momentum, gradient):
        method = tw.momentum(quartic, 0.05, momentum)
        found = tw.solve(method, x0, steps, save=lambda s: bowl(s.position), gradient=gradient)
        return found.saved.sum() + quartic(found.final.position)

    direct, checkpoint = (jax.value_and_grad(loss, (0, 1))(X0, 0.8, how) for how in ("direct", "checkpoint"))
    for one, other in zip(jax.tree.leaves(direct), jax.tree.leaves(checkpoint), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-15)
    # By differences, of the start and of the momentum.
    step = 1e-6
    across = (loss(X0, 0.8 + step, "direct") - loss(X0, 0.8 - step, "direct")) / (2 * step)
    assert float(direct[1][1]) == pytest.approx(float(across), rel=1e-6, abs=1e-8)


def test_checkpoints_keep_fewer_states():
    def kept(gradient):
        def end(x0):
            return jnp.sum(tw.solve(tw.gradient_descent(quartic, 0.01), x0, 400, gradient=gradient).final.position)

        _, pull = eqx.filter_vjp(end, X0)
        return sum(leaf.size for leaf in jax.tree.leaves(pull) if eqx.is_array(leaf))

    assert kept("checkpoint") < 0.2 * kept("direct")


def test_many_at_once_are_as_one_after_the_other():
    def end(x0, rate, key):
        return tw.solve(tw.sgld(quartic, rate, 0.1), x0, 12, key).final.position

    starts, rates, keys = (
        jnp.stack([X0, 2 * X0, -X0]),
        jnp.array([0.01, 0.02, 0.05]),
        jax.random.split(jax.random.key(1), 3),
    )
    found = jax.jit(jax.vmap(end))(starts, rates, keys)
    for i in range(3):
        np.testing.assert_allclose(found[i], end(starts[i], rates[i], keys[i]), rtol=1e-12)


def test_mini_batches_are_those_of_a_run():
    f = tw.FiniteSum(lambda x, s: jnp.sum((x - s) ** 2), jnp.arange(12.0).reshape(6, 2), batch_size=2)
    method = tw.gradient_descent(f, 0.05)
    found = tw.solve(method, X0, 9, key=3).final.position
    np.testing.assert_allclose(found, tw.run(method, X0, 9, key=3).final.position, rtol=1e-13)


def test_what_ends_by_itself_stays_there():
    method = tw.Method(tw.GradientFlow(bowl), tw.Adaptive(tw.Tsit5(), rtol=1e-8, atol=1e-10, until=1.0), 0.1)
    found = tw.solve(method, X0, 200, save=lambda state: state.time)
    np.testing.assert_allclose(found.final.position, np.exp(-CURVATURE) * X0, rtol=1e-7)
    assert float(found.final.time) == 1.0 and int(jnp.sum(found.saved == 1.0)) > 100


def test_a_starting_velocity():
    method = tw.Method(tw.HeavyBall(bowl, 0.3), tw.RK4(), 0.1)
    push = jnp.array([0.5, 1.0])
    found = tw.solve(method, X0, 10, velocity=push).final
    np.testing.assert_allclose(found.velocity, tw.run(method, X0, 10, velocity=push).final.velocity, rtol=1e-13)


@pytest.mark.parametrize("way", ["grad", "jit", "vmap"])
def test_a_derivative_in_reverse_is_refused_by_whatever_way_it_is_asked_for(way):
    method = tw.Method(tw.GradientFlow(bowl), tw.RungeKuttaLegendre(), 0.1)

    def end(x):
        return jnp.sum(tw.solve(method, x, 5).final.position ** 2)

    def on_the_way(x):
        return jnp.sum(jnp.sin(tw.solve(method, x, 5, save=lambda state: state.position).saved))

    ways = {
        "grad": lambda: jax.grad(end)(X0),
        "jit": lambda: jax.jit(jax.grad(on_the_way))(X0),
        "vmap": lambda: jax.vmap(jax.grad(jax.checkpoint(end)))(X0[None]),
    }
    says = "^RungeKuttaLegendre has no derivative in reverse, for it makes as many stages as the curvature asks for"
    with pytest.raises(tw.InputError, match=says):
        ways[way]()
    np.testing.assert_allclose(jax.jit(jax.vmap(end))(X0[None]), end(X0)[None], rtol=1e-12)


REPEATING = {
    "RungeKuttaChebyshev": lambda: tw.Adaptive(tw.RungeKuttaChebyshev(order=2), rtol=0.1, atol=0.1, until=0.1),
    "PseudoTransient": tw.PseudoTransient,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REPEATING)
def test_what_repeats_until_it_is_done_has_no_derivative_in_reverse(name):
    method = tw.Method(tw.GradientFlow(bowl), REPEATING[name](), 0.1)
    with pytest.raises(tw.InputError, match=f"^{name} has no derivative in reverse, for it") as raised:
        jax.grad(lambda x: jnp.sum(tw.solve(method, x, 30).final.position))(X0)
    assert "\n" not in raised.value.args[0]


@pytest.mark.parametrize("derivative", [jax.grad, jax.jacfwd])
def test_krylov_spaces_of_a_gradient_have_no_derivative(derivative):
    method = tw.Method(tw.GradientFlow(bowl), tw.ExponentialEuler(), 0.1)
    with pytest.raises(
        tw.InputError, match=r"^ExponentialEuler has no derivative on GradientFlow, for its Krylov space"
    ):
        derivative(lambda x: jnp.sum(tw.solve(method, x, 3).final.position))(X0)


def test_an_exponential_that_is_taken_whole_has_a_derivative_forwards():
    field = tw.Method(tw.Field(lambda t, x, args: -jnp.sin(CURVATURE * x)), tw.ExponentialEuler(), 0.1)

    def end(x):
        return tw.solve(field, x, 3).final.position

    found, shift = jnp.diagonal(jax.jacfwd(end)(X0)), 1e-5
    # No entry moves the other.
    np.testing.assert_allclose(found, (end(X0 + shift) - end(X0 - shift)) / (2 * shift), rtol=1e-8)
    with pytest.raises(tw.InputError, match=r"^ExponentialEuler has no derivative in reverse, for it grows its spaces"):
        jax.grad(lambda x: jnp.sum(end(x)))(X0)


def test_stages_as_the_curvature_asks_have_a_derivative_forwards():
    method = tw.Method(tw.GradientFlow(bowl), tw.RungeKuttaChebyshev(), 0.1)
    fixed = tw.Method(tw.GradientFlow(bowl), tw.RungeKuttaChebyshev(stages=6), 0.1)
    diagonal = jnp.diagonal(jax.jacfwd(lambda x: tw.solve(method, x, 10).final.position)(X0))
    # On a quadratic a step is linear, so that the derivative is what it makes of the start.
    np.testing.assert_allclose(diagonal, tw.solve(method, X0, 10).final.position / X0, rtol=1e-10)
    back = jax.grad(lambda x: jnp.sum(tw.solve(fixed, x, 10).final.position))(X0)
    np.testing.assert_allclose(back, tw.solve(fixed, X0, 10).final.position / X0, rtol=1e-10)


WRONG = {
    "no objective": (lambda: tw.solve(tw.momentum(None, 0.1), X0, 3), "built without an objective"),
    "no key": (lambda: tw.solve(tw.sgld(bowl, 0.1), X0, 3), "draws noise or mini-batches; give a key"),
    "start": (lambda: tw.solve(tw.momentum(bowl, 0.1), jnp.array([1, 2]), 3), "the start must be floating point"),
    "gradient": (lambda: tw.solve(tw.momentum(bowl, 0.1), X0, 3, gradient="adjoint"), "gradient 'adjoint' is unknown"),
    "a stream": (
        lambda: tw.solve(tw.momentum(tw.Stream(lambda x, s: jnp.sum((x - s) ** 2), [np.ones(2)] * 9), 0.1), X0, 3),
        "gives its mini-batches to tw.run alone",
    ),
    "velocity": (lambda: tw.solve(tw.gradient_descent(bowl, 0.1), X0, 3, velocity=X0), "needs a second-order law"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(case):
    attempt, says = WRONG[case]
    with pytest.raises(tw.InputError, match=says):
        attempt()
