"""Directions of steepest descent in norms: both maps by their definitions, and flows in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thalweg as tw
from thalweg.geometry import Norm
from thalweg.geometry._polar import polar_factor

KINDS = ("l2", "linf", "l1", "spectral")
ALL = [Norm(kind, per_leaf=per_leaf) for kind in KINDS for per_leaf in (False, True)]


def flow(f, norm, x0, until):
    scheme = tw.Adaptive(rtol=1e-12, atol=1e-14, until=until)
    run = tw.run(tw.Method(tw.GradientFlow(f, geometry=norm), scheme, 0.01), x0, 2000, record=None)
    assert run.status == "finished" and run.final.time == pytest.approx(until, rel=1e-14)
    return run.final.position


@pytest.fixture
def slope(rng):
    """A tree with a stack of matrices and a wide one."""
    return {"a": jnp.asarray(rng.normal(size=(2, 4, 3))), "b": jnp.asarray(rng.normal(size=(2, 5)))}


def dot(x, y):
    return float(sum(jnp.sum(a * b) for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True)))


@pytest.mark.parametrize("norm", ALL, ids=repr)
def test_the_unit_direction_is_the_steepest_and_the_sharp_map_is_as_long_as_the_slope(norm, slope, rng):
    unit, sharp, dual = norm.unit_direction(slope), norm.sharp(slope), float(norm.dual_norm(slope))
    assert float(norm.norm(unit)) == pytest.approx(1.0, rel=1e-14)
    assert dot(slope, unit) == pytest.approx(dual, rel=1e-14)
    assert float(norm.norm(sharp)) == pytest.approx(dual, rel=1e-14)
    assert dot(slope, sharp) == pytest.approx(dual**2, rel=1e-13)
    best = dot(slope, jax.tree.map(jnp.negative, sharp)) + 0.5 * float(norm.norm(sharp)) ** 2
    for _ in range(50):
        d = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)) * rng.uniform() ** 4, slope)
        d = jax.tree.map(lambda leaf, to: leaf + to, d, sharp)
        # Hölder's inequality, and the negative of the sharp map minimises <g, v> + |v|^2/2.
        assert dot(slope, d) <= dual * float(norm.norm(d)) * (1 + 1e-14)
        assert best <= -dot(slope, d) + 0.5 * float(norm.norm(d)) ** 2 + 1e-12 * dual**2


def test_the_maps_are_those_of_the_textbook(slope):
    g = jnp.array([3.0, -4.0, 0.0])
    np.testing.assert_allclose(Norm("l2").unit_direction(g), [0.6, -0.8, 0.0], rtol=1e-15)
    assert Norm("l2").sharp(g) is g and float(Norm("l2").dual_norm(g)) == 5.0
    assert Norm("linf").unit_direction(g).tolist() == [1.0, -1.0, 0.0] and float(Norm("linf").dual_norm(g)) == 7.0
    # Of entries of one size the first.
    tied = {"a": jnp.array([1.0, -4.0]), "b": jnp.array([4.0, 4.0])}
    assert jax.tree.map(lambda leaf: leaf.tolist(), Norm("l1").sharp(tied)) == {"a": [0.0, -4.0], "b": [0.0, 0.0]}
    each = Norm("l1", per_leaf=True).unit_direction(tied)
    assert jax.tree.map(lambda leaf: leaf.tolist(), each) == {"a": [0.0, -1.0], "b": [1.0, 0.0]}
    factor = Norm("spectral").unit_direction(slope)
    for i in range(2):
        u, _, vt = np.linalg.svd(slope["a"][i], full_matrices=False)
        np.testing.assert_allclose(factor["a"][i], u @ vt, rtol=0, atol=1e-14)
    nuclear = sum(np.linalg.svd(m, compute_uv=False).sum() for m in (*slope["a"], slope["b"]))
    assert float(Norm("spectral").dual_norm(slope)) == pytest.approx(nuclear, rel=1e-14)


@pytest.mark.parametrize("norm", [pytest.param(n, marks=pytest.mark.slow) if n.per_leaf else n for n in ALL], ids=repr)
def test_of_no_slope_the_direction_is_none_and_its_derivatives_are_numbers(norm, slope):
    zero = jax.tree.map(jnp.zeros_like, slope)
    for of in (norm.unit_direction, norm.sharp, norm.dual_norm):
        value, moved = jax.jit(lambda x, of=of: jax.jvp(of, (x,), (slope,)))(zero)
        assert all(not jnp.any(leaf) for leaf in jax.tree.leaves(value))
        assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(moved))
    back = jax.grad(lambda x: norm.dual_norm(x) + jnp.sum(norm.unit_direction(x)["b"]))(zero)
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(back))


def test_the_polar_factor_of_a_matrix_of_lower_rank_is_the_partial_one(rng):
    u, v = np.linalg.qr(rng.normal(size=(5, 2)))[0], np.linalg.qr(rng.normal(size=(4, 2)))[0]
    low = u @ np.diag([3.0, 1e-3]) @ v.T
    np.testing.assert_allclose(polar_factor(jnp.asarray(low)), u @ v.T, rtol=0, atol=1e-12)
    assert jnp.all(jnp.isnan(polar_factor(jnp.full((2, 2), jnp.nan))))


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 3, 3)])
def test_the_polar_factor_has_its_derivative(shape, rng):
    # Two singular values are equal, where the factors of an SVD have none.
    matrix = jnp.asarray(rng.normal(size=shape)) if len(shape) == 3 else 2.0 * jnp.eye(*shape)
    moved = jnp.asarray(rng.normal(size=shape))
    found = jax.jvp(polar_factor, (matrix,), (moved,))[1]
    near = (polar_factor(matrix + 1e-6 * moved) - polar_factor(matrix - 1e-6 * moved)) / 2e-6
    np.testing.assert_allclose(found, near, rtol=0, atol=2e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("norm", ALL, ids=repr)
def test_float32_neither_overflows_nor_vanishes(norm, scale):
    g = {"a": jnp.array([[3.0, 1.0], [-1.0, 2.0]], jnp.float32)}
    unit = norm.unit_direction(jax.tree.map(lambda leaf: scale * leaf, g))
    np.testing.assert_allclose(unit["a"], norm.unit_direction(g)["a"], rtol=1e-5, atol=1e-6)
    low = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), g)
    for found in (norm.unit_direction(low), norm.sharp(low)):
        assert found["a"].dtype == jnp.bfloat16
    np.testing.assert_allclose(norm.sharp(low)["a"].astype(float), norm.sharp(g)["a"], rtol=0.01, atol=0.05)


def test_the_unit_flow_reaches_the_minimum_of_a_ball_in_a_finite_time():
    start = jnp.array([0.6, -0.8, 2.4])
    far = float(jnp.linalg.norm(start))

    def bowl(x):
        return 1.5 * jnp.sum(x**2)

    found = flow(bowl, Norm("l2", unit=True), start, 0.9 * far)
    np.testing.assert_allclose(found, 0.1 * start, rtol=0, atol=1e-10)
    sharp = flow(bowl, Norm("l2"), start, 0.5)
    np.testing.assert_allclose(sharp, np.exp(-1.5) * start, rtol=0, atol=1e-10)


def test_sign_descent_circles_a_minimum():
    """Of a quadratic each coordinate falls by the step until it is within one, and then goes to and fro for ever."""
    start, step = jnp.array([1.03, -0.57]), 0.1
    method = tw.sign_descent(lambda x: 0.5 * x @ jnp.diag(jnp.array([1.0, 40.0])) @ x, step)
    path = np.asarray(tw.run(method, start, 40, record=1).trace.position)
    np.testing.assert_allclose(path[20::2], np.full((11, 2), 0.03), rtol=0, atol=1e-14)
    np.testing.assert_allclose(path[21::2], np.full((10, 2), -0.07), rtol=0, atol=1e-14)
    # As `optax.sign_sgd` goes.
    other, optimizer = start, optax.sign_sgd(step)
    state = optimizer.init(other)
    for k in range(30):
        np.testing.assert_allclose(path[k], other, rtol=0, atol=1e-14)
        updates, state = optimizer.update(jnp.array([1.0, 40.0]) * other, state)
        other = optax.apply_updates(other, updates)


def test_the_sharp_sign_flow_of_a_separable_function():
    """With f the sum of c cosh x, each x_i' = -s sign(x_i), s = sum of the sizes of the slopes.

    By the common length r that all have gone, x_i = x_i(0) - r sign: of linear sizes, f = c |x|, r = t sum of c.
    """
    c, start = jnp.array([1.0, 2.0, 0.5]), jnp.array([4.0, -5.0, 6.0])
    found = flow(lambda x: jnp.sum(c * jnp.abs(x)), Norm("linf"), start, 0.7)
    np.testing.assert_allclose(found, start - 0.7 * 3.5 * jnp.sign(start), rtol=0, atol=1e-10)
    # Of a quadratic of curvature 1 r' = sum of |x_i(0)| - n r.
    found = flow(lambda x: 0.5 * jnp.sum(x**2), Norm("linf"), start, 0.4)
    gone = 15.0 / 3.0 * (1.0 - np.exp(-3 * 0.4))
    np.testing.assert_allclose(found, start - gone * jnp.sign(start), rtol=0, atol=1e-10)


def test_the_spectral_flow_takes_all_singular_values_down_together(rng):
    """Of |X - A|^2/2 the singular values of X - A fall at rate 1 by the unit direction; by the sharp map at the rate of
    their sum S, which is S(0) exp(-rt) of r values."""
    u, v = np.linalg.qr(rng.normal(size=(4, 3)))[0], np.linalg.qr(rng.normal(size=(3, 3)))[0]
    target, sizes = jnp.asarray(rng.normal(size=(4, 3))), np.array([3.0, 2.0, 1.5])

    def f(x):
        return 0.5 * jnp.sum((x - target) ** 2)

    def at(gone):
        return target + u @ np.diag(sizes - gone) @ v.T

    found = flow(f, Norm("spectral", unit=True), at(0.0), 1.2)
    np.testing.assert_allclose(found, at(1.2), rtol=0, atol=1e-10)
    found = flow(f, Norm("spectral"), at(0.0), 0.3)
    np.testing.assert_allclose(found, at(6.5 / 3 * (1 - np.exp(-3 * 0.3))), rtol=0, atol=1e-10)


@pytest.mark.parametrize("norm", [Norm("l1"), Norm("l2", unit=True, per_leaf=True), Norm("spectral")], ids=repr)
def test_a_run_on_a_tree_is_its_steps_and_records_the_dual_norm(norm, slope):
    def f(tree):
        return sum(jnp.sum(jnp.cosh(leaf)) for leaf in jax.tree.leaves(tree))

    method = tw.Method(tw.GradientFlow(f, geometry=norm), tw.Euler(), 0.01)
    run = tw.run(method, slope, 4, record=("loss", "gradient_norm"))
    state = method.init(slope)
    for k in range(4):
        dual = float(norm.dual_norm(jax.grad(f)(state.position)))
        assert run.metrics["gradient_norm"][k] == pytest.approx(dual, rel=1e-13)
        state = method.step(state)
    for found, alone in zip(jax.tree.leaves(run.final.position), jax.tree.leaves(state.position), strict=True):
        np.testing.assert_allclose(found, alone, rtol=0, atol=1e-14)


def test_what_a_norm_does_not_fit_is_refused():
    with pytest.raises(tw.InputError, match="'max' is unknown; choose one of: l1, l2, linf, spectral"):
        Norm("max")
    law = tw.GradientFlow(lambda x: jnp.sum(x**2), geometry=Norm("spectral"))
    for attempt in (
        lambda: tw.run(tw.Method(law, tw.Euler(), 0.1), jnp.ones(3), 2),
        lambda: jax.eval_shape(lambda x: tw.Method(law, tw.Euler(), 0.1).step(tw.schemes.State(x)), jnp.ones(3)),
    ):
        with pytest.raises(tw.InputError, match=r"is of matrices, .* has shape \(3,\); give such leaves a geometry"):
            attempt()
    with pytest.raises(tw.InputError, match="but Norm is of no inner product, so that no velocity has an energy in it"):
        tw.HeavyBall(None, 1.0, geometry=Norm("linf"))
    signs = tw.GradientFlow(None, geometry=Norm("linf"))
    with pytest.raises(tw.InputError, match="ImplicitEuler takes the gradient of f for that of the law, which Norm"):
        tw.Method(signs, tw.ImplicitEuler(), 0.1)
    with pytest.raises(tw.InputError, match="RungeKuttaChebyshev is made for modes that shrink at rates of their own"):
        tw.Method(signs, tw.RungeKuttaChebyshev(1, 4), 0.1)


class Cubed(tw.geometry.AbstractDirection):
    """A direction of somebody's own: twice the cube of the slope, which is of no inner product."""

    def velocity(self, position, covector):
        return 2.0 * covector**3

    def slope_norm(self, position, covector):
        return jnp.sum(covector**4) ** 0.25


def test_a_direction_of_ones_own_is_followed():
    """f = x^2/2 by x' = -2 x^3: x = x(0)/sqrt(1 + 4 x(0)^2 t)."""
    start = jnp.array([1.0, -0.5])
    found = flow(lambda x: 0.5 * jnp.sum(x**2), Cubed(), start, 1.0)
    np.testing.assert_allclose(found, start / np.sqrt(1 + 4 * start**2), rtol=0, atol=1e-10)
    method = tw.Method(tw.GradientFlow(lambda x: 0.5 * jnp.sum(x**2), geometry=Cubed()), tw.Euler(), 0.1)
    run = tw.run(method, start, 2, record="gradient_norm")
    assert run.metrics["gradient_norm"][0] == pytest.approx(float(jnp.sum(start**4)) ** 0.25, rel=1e-14)
    with pytest.raises(tw.InputError, match="for laws in flat space, but GradientFlow has the geometry Cubed"):
        tw.analysis.largest_stable_step(method, 1.0)
