"""The linear probe at a point, of fields whose eigenvalues may be complex."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

A = np.array([[-1.0, 3.0, 0.0], [-2.0, -0.5, 1.0], [0.0, 0.3, -4.0]])
LINEAR = tw.Field(lambda t, x, args: jnp.asarray(A) @ x)


@pytest.mark.parametrize(
    ("scheme", "terms"), [(tw.Euler(), 1), (tw.Heun(), 2), (tw.BogackiShampine(), 3), (tw.RK4(), 4)]
)
def test_of_a_linear_field_it_is_the_polynomial_of_its_matrix(scheme, terms):
    found = tw.analysis.amplification(tw.Method(LINEAR, scheme, 0.2), at=(0.0, jnp.array([1.0, 2.0, 3.0])))
    expected, power = np.eye(3), np.eye(3)
    for k in range(1, terms + 1):
        power = power @ (0.2 * A) / k
        expected = expected + power
    np.testing.assert_allclose(found, expected, atol=1e-14)
    assert np.iscomplex(np.linalg.eigvals(found)).any()


def test_it_is_the_jacobian_of_the_step_on_any_tree():
    def fn(t, x, args):
        return {"a": jnp.sin(x["b"]) * t, "b": -(x["a"] ** 3)}

    method = tw.Method(tw.Field(fn), tw.RK4(), 0.3)
    x = {"a": jnp.array([0.5, 1.0]), "b": jnp.array([2.0, -1.0])}
    found = tw.analysis.amplification(method, at=(2.0, x))
    flat, cut = jax.flatten_util.ravel_pytree(x)
    shifted = tw.Method(tw.Field(fn), tw.RK4(), times=jnp.array([2.0, 2.3]))

    def step(flat):
        return jax.flatten_util.ravel_pytree(shifted.step(shifted.init(cut(flat))).position)[0]

    np.testing.assert_allclose(found, jax.jacfwd(step)(flat), atol=1e-14)
    assert tw.analysis.spectral_radius(method, at=(2.0, x)) == np.abs(np.linalg.eigvals(found)).max()


def test_the_stable_step_at_a_point():
    circle = tw.Field(lambda t, x, args: jnp.stack([-x[1], x[0]]))
    at = (0.0, jnp.array([1.0, 0.0]))
    assert tw.analysis.largest_stable_step(tw.Method(circle, tw.RK4(), 1.0), at=at) == pytest.approx(8**0.5, rel=1e-9)
    assert tw.analysis.largest_stable_step(tw.Method(circle, tw.Euler(), 1.0), at=at) == 0.0
    stiff = tw.Field(lambda t, x, args: -args * (x - jnp.cos(t)), 50.0)
    assert tw.analysis.largest_stable_step(tw.Method(stiff, tw.Euler(), 1.0), at=at) == pytest.approx(0.04)
    f = lambda x: jnp.sum(jnp.cosh(x))  # noqa: E731
    found = tw.analysis.largest_stable_step(tw.gradient_descent(f, 0.1), at=(0.0, jnp.array([0.0, 2.0])))
    assert found == pytest.approx(2 / np.cosh(2.0), rel=1e-6)


def test_at_a_point_of_an_objective_it_is_that_of_its_curvature():
    method = tw.momentum(lambda x: 0.5 * jnp.sum(jnp.array([1.0, 5.0]) * x**2), 0.1, 0.5)
    found = tw.analysis.amplification(method, at=(0.0, jnp.array([3.0, -1.0])))
    np.testing.assert_allclose(found, tw.analysis.amplification(method, np.diag([1.0, 5.0])), atol=1e-13)
    moving = tw.analysis.amplification(method, at=(0.0, jnp.array([3.0, -1.0]), jnp.array([1.0, 1.0])))
    np.testing.assert_allclose(found, moving, atol=1e-13)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: tw.analysis.amplification(m, 1.0), "Field has no objective to have a curvature"),
        (lambda m: tw.analysis.largest_stable_step(m, 1.0), "Field has no objective to have a curvature"),
        (lambda m: tw.analysis.amplification(m, 1.0, at=(0.0, jnp.ones(3))), "not both"),
        (lambda m: tw.analysis.amplification(m, at=(0.0, jnp.ones(3), jnp.ones(3))), "needs a second-order law"),
        (lambda m: tw.analysis.amplification(tw.gradient_descent(None, 0.1)), "give a curvature"),
        (
            lambda m: tw.analysis.amplification(tw.Method(LINEAR, tw.Adaptive(), 0.1), at=(0.0, jnp.ones(3))),
            "no matrix",
        ),
    ],
)
def test_what_it_cannot_tell_is_refused(ask, message):
    with pytest.raises(tw.InputError, match=message):
        ask(tw.Method(LINEAR, tw.RK4(), 0.1))
