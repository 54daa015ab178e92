"""The unit sphere: maps against closed forms, at small and large tangents, with derivatives and in all dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import thalweg as tw

SPHERE = tw.geometry.Sphere()


@pytest.fixture
def points(rng):
    """Seven points of the sphere in five dimensions, with two tangents at each, of lengths up to 3."""
    x = SPHERE.project(jnp.asarray(rng.normal(size=(7, 5))))
    v, u = (SPHERE.tangent(x, jnp.asarray(rng.normal(size=(7, 5)))) for _ in range(2))
    lengths = jnp.linspace(0.1, 3.0, 7)[:, None]
    return x, lengths * SPHERE.project(v), u


def rotation(x, v):
    """The rotation of the plane of x and v by |v|, as a matrix exponential."""
    return scipy.linalg.expm(np.outer(v, x) - np.outer(x, v))


def test_a_move_and_a_transport_are_a_rotation_of_the_plane(points):
    x, v, u = points
    end, carried = SPHERE.move(x, v), SPHERE.transport(x, v, u)
    for i in range(len(x)):
        turned = rotation(np.asarray(x[i]), np.asarray(v[i]))
        np.testing.assert_allclose(end[i], turned @ x[i], rtol=0, atol=2e-15)
        np.testing.assert_allclose(carried[i], turned @ u[i], rtol=0, atol=6e-15)


@pytest.mark.parametrize("time", [1.0, -0.4, 1e-9, 0.0])
def test_a_glide_is_a_move_and_a_transport_in_one(points, time):
    x, v, _ = points
    end, there = SPHERE.glide(x, v, time)
    np.testing.assert_allclose(end, SPHERE.move(x, time * v), rtol=0, atol=2e-15)
    np.testing.assert_allclose(there, SPHERE.transport(x, time * v, v), rtol=0, atol=1e-14)
    # On the sphere and tangent, also where the rounding before was not.
    leaning, off = v + 1e-9 * x, x * (1.0 + 1e-9)
    end, there = SPHERE.glide(off, leaning, time)
    np.testing.assert_allclose(jnp.linalg.norm(end, axis=-1), 1.0, rtol=0, atol=1e-15)
    np.testing.assert_allclose(jnp.sum(end * there, -1), 0.0, rtol=0, atol=1e-14)


def test_a_glide_has_the_derivatives_of_a_move_and_a_transport(points):
    x, v, u = points
    for way in (v, 0.01 * v, 0.0 * v):
        found = jax.jvp(lambda w: SPHERE.glide(x, w, 0.7), (way,), (u,))[1]
        expected = jax.jvp(lambda w: (SPHERE.move(x, 0.7 * w), SPHERE.transport(x, 0.7 * w, w)), (way,), (u,))[1]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)
        gradient = jax.grad(lambda w: jnp.sum(u * SPHERE.glide(x, w, 0.7)[1]))(way)
        assert bool(jnp.all(jnp.isfinite(gradient)))


def test_a_glide_goes_by_the_maps_of_a_subclass(points):
    class Projected(tw.geometry.Sphere):
        def transport(self, position, along, tangent):
            return self.tangent(self.move(position, along), tangent)

    x, v, _ = points
    there = Projected().glide(x, v, 1.0)[1]
    np.testing.assert_allclose(there, SPHERE.tangent(SPHERE.move(x, v), v), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_glide_keeps_the_dtype(points, dtype):
    tree = {"a": points[0].astype(dtype), "b": points[0][0].astype(dtype)}
    found = SPHERE.glide(tree, jax.tree.map(jnp.ones_like, tree), 0.1)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(dtype)}
    assert [jax.tree.structure(one) for one in found] == [jax.tree.structure(tree)] * 2


def test_transport_keeps_lengths_and_tangency(points):
    x, v, u = points
    end, carried = SPHERE.move(x, v), SPHERE.transport(x, v, u)
    np.testing.assert_allclose(jnp.sum(end * carried, -1), 0.0, rtol=0, atol=3e-15)
    np.testing.assert_allclose(SPHERE.inner(end, carried, carried), SPHERE.inner(x, u, u), rtol=1e-14)
    np.testing.assert_allclose(jnp.linalg.norm(end, axis=-1), 1.0, rtol=0, atol=3e-16)
    # The way back undoes it.
    back = -SPHERE.transport(x, v, v)
    np.testing.assert_allclose(SPHERE.move(end, back), x, rtol=0, atol=2e-15)
    np.testing.assert_allclose(SPHERE.transport(end, back, carried), u, rtol=0, atol=6e-15)


def test_the_log_undoes_a_move(points):
    x, v, _ = points
    np.testing.assert_allclose(SPHERE.log(x, SPHERE.move(x, v)), v, rtol=0, atol=3e-14)
    for length in (1e-8, 1e-3, 0.19, 0.21, 3.1):
        w = length * SPHERE.project(v)
        y = SPHERE.move(x, w)
        np.testing.assert_allclose(SPHERE.log(x, y), w, rtol=0, atol=1e-15 + 3e-14 * length)
        np.testing.assert_allclose(
            SPHERE.squared_distance(x, y), len(x) * length**2, rtol=1e-7 if length < 1e-7 else 1e-12
        )


def test_opposite_points_have_a_distance_and_no_log():
    x = jnp.array([0.6, 0.8])
    assert float(SPHERE.squared_distance(x, -x)) == pytest.approx(np.pi**2, rel=1e-15)
    assert jnp.all(jnp.isnan(SPHERE.log(x, -x)))


def test_maps_are_smooth_where_nothing_moves(points):
    x, _, u = points
    zero = jnp.zeros_like(x)

    @jax.jit
    def derivatives(x, u):
        def along(v):
            return jax.jvp(lambda w: SPHERE.move(x, w), (v,), (u,))[1]

        first, second = jax.jvp(along, (zero,), (u,))
        turned = jax.jvp(lambda v: SPHERE.transport(x, v, u), (zero,), (u,))[1]
        half = jax.grad(lambda y: 0.5 * SPHERE.squared_distance(x, y))(x)
        back = jax.grad(lambda v: jnp.sum(SPHERE.move(x, v) * u))(zero)
        return first, second, turned, half, back

    first, second, turned, half, back = derivatives(x, u)
    # move(x, v) = x + v - |v|^2 x / 2 + ..., and transport(x, v, u) = u - (v.u) x + ...
    np.testing.assert_allclose(first, u, rtol=0, atol=1e-15)
    np.testing.assert_allclose(second, SPHERE.bend(x, u), rtol=0, atol=1e-14)
    np.testing.assert_allclose(turned, -jnp.sum(u * u, -1, keepdims=True) * x, rtol=0, atol=1e-14)
    np.testing.assert_allclose(back, u, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(half, zero)


def test_the_gradient_of_half_the_squared_distance_is_minus_the_log(points):
    x, v, _ = points
    y = SPHERE.move(x, 0.9 * v)
    slope = jax.grad(lambda x: 0.5 * SPHERE.squared_distance(x, y))(x)
    np.testing.assert_allclose(SPHERE.velocity(x, slope), -SPHERE.log(x, y), rtol=0, atol=1e-13)


@pytest.mark.parametrize("length", [0.3161, 0.3163, 0.99, 1.01, 1e3])
def test_both_sides_of_the_seams_are_the_closed_form(length):
    x, e = jnp.array([0.0, 0.0, 1.0]), jnp.array([0.6, -0.8, 0.0])
    exact = np.cos(length) * np.asarray(x) + np.sin(length) * np.asarray(e)
    atol = 4e-16 * max(length, 1.0)
    np.testing.assert_allclose(SPHERE.move(x, length * e), exact, rtol=0, atol=atol)
    slope = jax.jvp(lambda t: SPHERE.move(x, t * e), (length,), (1.0,))[1]
    exact = -np.sin(length) * np.asarray(x) + np.cos(length) * np.asarray(e)
    np.testing.assert_allclose(slope, exact, rtol=0, atol=4 * atol)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("length", [0.0, 1e-30, 1e-3, 1.0, 1e10, 1e30])
def test_low_precision_stays_on_the_sphere_at_every_length(dtype, length):
    x, u = jnp.array([0.6, 0.8, 0.0], dtype), jnp.array([0.8, -0.6, 1.0], dtype)
    v = jnp.array([0.0, 0.0, length], dtype)
    end, carried, slope = low_precision(x, v, u)
    assert end.dtype == carried.dtype == dtype
    eps = float(jnp.finfo(dtype).eps)
    assert abs(np.linalg.norm(np.asarray(end, float)) - 1.0) < 2 * eps
    assert np.linalg.norm(np.asarray(carried, float)) == pytest.approx(2**0.5, rel=4 * eps)
    assert np.all(np.isfinite(np.asarray(slope, float)))


@jax.jit
def low_precision(x, v, u):
    return SPHERE.move(x, v), SPHERE.transport(x, v, u), jax.jacrev(lambda v: SPHERE.move(x, v))(v)


def test_the_divergence_is_that_of_the_projected_noise(points):
    x = points[0][0]

    def inverse_metric(y):
        return jax.vmap(lambda e: SPHERE.tangent(SPHERE.project(y), e))(jnp.eye(5))

    derivative = jax.jacfwd(inverse_metric)(x)
    np.testing.assert_allclose(SPHERE.divergence(x), jnp.einsum("ijj->i", derivative), rtol=0, atol=1e-14)
    normals = jnp.eye(5)
    noises = jax.vmap(lambda n: SPHERE.noise(x, n))(normals)
    np.testing.assert_allclose(noises.T @ noises, inverse_metric(x), rtol=0, atol=1e-15)


def test_leaves_and_leading_axes_are_spheres_of_their_own(points):
    x, v, u = points
    tree = {"a": x[0], "b": x[1:]}
    ways, kicks = {"a": v[0], "b": v[1:]}, {"a": u[0], "b": u[1:]}
    for apart, whole in (
        (SPHERE.move(tree, ways), SPHERE.move(x, v)),
        (SPHERE.transport(tree, ways, kicks), SPHERE.transport(x, v, u)),
        (SPHERE.bend(tree, ways), SPHERE.bend(x, v)),
    ):
        np.testing.assert_allclose(jnp.concatenate([apart["a"][None], apart["b"]]), whole, rtol=0, atol=1e-15)
    np.testing.assert_allclose(SPHERE.squared_distance(tree, SPHERE.move(tree, ways)), jnp.sum(v * v), rtol=1e-13)


def test_projection_neither_overflows_nor_vanishes():
    for scale in (1e-200, 1.0, 1e200):
        np.testing.assert_allclose(SPHERE.project(scale * jnp.array([3.0, 4.0])), [0.6, 0.8], rtol=0, atol=2e-16)


def test_flat_space_is_the_plain_arithmetic(points):
    x, v, u = points
    flat = tw.geometry.Euclidean()
    np.testing.assert_array_equal(flat.move(x, v), x + v)
    np.testing.assert_array_equal(flat.log(x, x + v), (x + v) - x)
    assert flat.transport(x, v, u) is u and flat.velocity(x, u) is u and flat.project(x) is x
    assert float(flat.squared_distance(x, u)) == pytest.approx(float(jnp.sum((x - u) ** 2)), rel=1e-14)
    flat.check(x)
    flat.check_tangent(x, v)
    assert not jnp.any(flat.bend(x, v)) and not jnp.any(flat.divergence(x)) and flat.elementwise


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (jnp.array([2.0, 0.0]), "has one of length 2; start from its projection"),
        (jnp.array([0.0, 0.0]), "has one of length 0"),
        (jnp.array(1.0), "the start holds a number"),
        ({"a": jnp.array([1.0, 0.0]), "b": jnp.array([[0.6, 0.8], [0.6, 0.7]])}, "has one of length 0.92195"),
    ],
)
def test_a_start_off_the_sphere_is_refused(start, message):
    with pytest.raises(tw.InputError, match=message):
        SPHERE.check(start)


def test_what_a_norm_rounds_is_on_the_sphere(rng):
    for dtype in (jnp.bfloat16, jnp.float32, jnp.float64):
        x = jnp.asarray(rng.normal(size=10_000), dtype)
        SPHERE.check(x / jnp.linalg.norm(x))
        SPHERE.check_tangent(x / jnp.linalg.norm(x), jnp.zeros_like(x))
