"""The maps of the manifolds: against closed forms of other libraries, with leading axes, in all dtypes, and refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import thalweg as tw
from thalweg.geometry._matrices import exponential, logarithm

STIEFEL, EUCLIDEAN = tw.geometry.Stiefel(), tw.geometry.Stiefel("euclidean")
SPD, BALL, SPACE = tw.geometry.SPD(), tw.geometry.PoincareBall(), tw.geometry.Hyperboloid()


def normal(rng, *shape):
    return jnp.asarray(rng.normal(size=shape))


def points(rng):
    """Two points of each, one after the other, and two tangents at each."""
    root = normal(rng, 2, 3, 3)
    found = {
        "hyperboloid": (SPACE, SPACE.project(normal(rng, 2, 4))),
        "ball": (BALL, 0.4 * normal(rng, 2, 3) / 3.0),
        "spd": (SPD, root @ jnp.swapaxes(root, -1, -2) + 0.3 * jnp.eye(3)[None]),
        "canonical": (STIEFEL, STIEFEL.project(normal(rng, 2, 5, 2))),
        "euclidean": (EUCLIDEAN, STIEFEL.project(normal(rng, 2, 5, 2))),
    }
    return {
        name: (geometry, x, *(0.5 * geometry.tangent(x, normal(rng, *x.shape)) for _ in range(2)))
        for name, (geometry, x) in found.items()
    }


MANIFOLDS = ("hyperboloid", "ball", "spd", "canonical", "euclidean")
# In every suite, one that compiles in a second.
FEW = [pytest.param(name, marks=[pytest.mark.slow] if name != "ball" else []) for name in MANIFOLDS]


@pytest.mark.parametrize("name", FEW)
def test_leading_axes_and_leaves_are_manifolds_of_their_own(name, rng):
    geometry, x, v, u = points(rng)[name]

    @jax.jit
    def maps(x, v, u):
        end, carried = geometry.move(x, v), geometry.transport(x, v, u)
        return end, carried, geometry.bend(x, v), geometry.noise(x, u), geometry.velocity(x, u), geometry.divergence(x)

    whole = maps(x, v, u)
    for i in range(2):
        for one, both in zip(maps({"a": x[i]}, {"a": v[i]}, {"a": u[i]}), whole, strict=True):
            np.testing.assert_allclose(one["a"], both[i], rtol=0, atol=1e-13)
    inner = [float(geometry.inner(x[i], v[i], u[i])) for i in range(2)]
    assert float(geometry.inner(x, v, u)) == pytest.approx(sum(inner), rel=1e-13)
    # A tree of both is one point of the product: lengths are sums of squares.
    if isinstance(geometry, tw.geometry.AbstractDistance):
        found = geometry.squared_distance({"a": x[0], "b": x[1]}, {"a": whole[0][0], "b": whole[0][1]})
        assert float(found) == pytest.approx(float(geometry.inner(x, v, v)), rel=1e-12)


@pytest.mark.slow
def test_a_geodesic_of_frames_is_a_rotation(rng):
    # e^W X e^(-kA) of W = F X' - X F' with n by n numbers.
    _, x, v, _ = (np.asarray(one[0]) if i else one for i, one in enumerate(points(rng)["canonical"]))
    a = x.T @ v
    for geometry, f, after in ((STIEFEL, v - 0.5 * x @ a, np.eye(2)), (EUCLIDEAN, v, scipy.linalg.expm(-a))):
        exact = scipy.linalg.expm(f @ x.T - x @ f.T) @ x @ after
        np.testing.assert_allclose(geometry.move(jnp.asarray(x), jnp.asarray(v)), exact, rtol=0, atol=1e-14)


@pytest.mark.slow
def test_a_geodesic_of_matrices_goes_by_their_roots(rng):
    _, x, v, u = (np.asarray(one[0]) if i else one for i, one in enumerate(points(rng)["spd"]))
    root = scipy.linalg.sqrtm(x).real
    back = np.linalg.inv(root)
    exact = root @ scipy.linalg.expm(back @ v @ back) @ root
    end = SPD.move(jnp.asarray(x), jnp.asarray(v))
    np.testing.assert_allclose(end, exact, rtol=0, atol=1e-13)
    # (Q P^-1)^(1/2) U its transpose.
    half = scipy.linalg.sqrtm(exact @ np.linalg.inv(x)).real
    np.testing.assert_allclose(SPD.transport(*map(jnp.asarray, (x, v, u))), half @ u @ half.T, rtol=0, atol=1e-13)
    distance = np.sum(np.log(scipy.linalg.eigh(exact, x, eigvals_only=True)) ** 2)
    assert float(SPD.squared_distance(jnp.asarray(x), end)) == pytest.approx(distance, rel=1e-12)
    # The same of A P A', for any A.
    other = jnp.asarray(rng.normal(size=(3, 3)))
    moved = SPD.move(*(other @ jnp.asarray(one) @ other.T for one in (x, v)))
    np.testing.assert_allclose(moved, other @ exact @ other.T, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_the_drift_of_noise_is_that_of_the_volume():
    """(det G)^(-1/2) d_j((det G)^(1/2) G^-1_ij) in coordinates: of the ball, and of the upper triangle of matrices."""

    def drift(inverse, x):
        def whole(x):
            return jnp.linalg.slogdet(inverse(x))[1]

        return jnp.einsum("ijj->i", jax.jacfwd(inverse)(x)) - 0.5 * inverse(x) @ jax.grad(whole)(x)

    x = jnp.array([0.3, -0.2, 0.5])
    found = drift(lambda x: (0.5 * (1.0 - x @ x)) ** 2 * jnp.eye(3), x)
    np.testing.assert_allclose(BALL.divergence(x), found, rtol=0, atol=1e-14)
    upper = jnp.triu_indices(2)

    def inverse(y):
        p = jnp.zeros((2, 2)).at[upper].set(y)
        p = p + p.T - jnp.diag(jnp.diag(p))
        slopes = jnp.stack([jnp.zeros((2, 2)).at[i, j].set(1.0) for i, j in zip(*upper, strict=True)])
        return jax.vmap(lambda f: SPD.velocity(p, f)[upper])(slopes)

    p = jnp.array([[1.2, 0.4], [0.4, 0.7]])
    np.testing.assert_allclose(SPD.divergence(p)[upper], drift(inverse, p[upper]), rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [0.0, 1e-9, 0.3, 5.0, 200.0])
def test_the_exponential_is_that_of_scipy(size, rng):
    m = size * np.asarray(rng.normal(size=(5, 5)))
    for one in (m, m - m.T, m + m.T) if size < 100.0 else (m - m.T,):
        exact = scipy.linalg.expm(one)
        atol = 1e-15 * max(1.0, np.linalg.norm(one, 1)) * np.linalg.norm(exact) * 8
        np.testing.assert_allclose(exponential(jnp.asarray(one)), exact, rtol=0, atol=atol)
    assert np.all(np.isnan(exponential(1e4 * jnp.eye(2))))


@pytest.mark.slow
def test_the_logarithm_has_derivatives_where_eigenvalues_are_equal(rng):
    way = jnp.asarray(rng.normal(size=(3, 3)))
    way = way + way.T
    for s in (2.0 * jnp.eye(3), jnp.diag(jnp.array([1.0, 1.0, 3.0]))):

        def there(t, s=s):
            return logarithm(exponential(t * way) @ s @ exponential(t * way))

        first, second = jax.jacfwd(there)(0.0), jax.jacfwd(jax.jacfwd(there))(0.0)
        step = 1e-4
        close = [np.asarray(there(t)) for t in (-step, 0.0, step)]
        np.testing.assert_allclose(first, (close[2] - close[0]) / (2 * step), rtol=0, atol=1e-6)
        np.testing.assert_allclose(second, (close[2] - 2 * close[1] + close[0]) / step**2, rtol=0, atol=1e-5)
    # Half the squared distance has the identity for its Hessian where it is 0.
    hessian = jax.hessian(lambda q: 0.5 * SPD.squared_distance(jnp.eye(2), q))(jnp.eye(2))
    np.testing.assert_allclose(jnp.einsum("ijkl,kl->ij", hessian, way[:2, :2]), way[:2, :2], rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", FEW)
def test_low_precision_without_x64(name, dtype, rng):
    geometry, *exact = (one[0] if i else one for i, one in enumerate(points(rng)[name]))
    with jax.enable_x64(False):
        x, v, u = (jnp.asarray(one, dtype) for one in exact)
        x = geometry.project(x)
        v, u = geometry.tangent(x, v), geometry.tangent(x, u)
        geometry.check(x)
        geometry.check_tangent(x, v)
        end, carried = jax.jit(lambda x, v, u: (geometry.move(x, v), geometry.transport(x, v, u)))(x, v, u)
        assert end.dtype == carried.dtype == dtype
        before, after = geometry.inner(x, u, u), geometry.inner(end, carried, carried)
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.asarray(end, float), geometry.move(*exact[:2]), rtol=0, atol=60 * eps)
    assert float(after) == pytest.approx(float(before), rel=60 * eps)


REFUSED = {
    "a vector of frames": (
        STIEFEL,
        jnp.ones(3),
        r"matrices in the last two axes .* of shape \(3,\); of vectors",
    ),
    "more columns than rows": (STIEFEL, jnp.ones((2, 3)), "the start has 2 rows and 3 columns; transpose it"),
    "no frame": (STIEFEL, 2.0 * jnp.eye(3, 2), r"X'X off the identity by 3; start from its projection: tw.geometry.St"),
    "no square": (SPD, jnp.ones((2, 3)), r"SPD needs square matrices .* of shape \(2, 3\)"),
    "not symmetric": (SPD, jnp.array([[1.0, 0.5], [0.0, 1.0]]), "one of which 0.471 is skew; start from its symmetric"),
    "indefinite": (SPD, jnp.diag(jnp.array([1.0, -0.2])), "has one of the eigenvalue -0.2; add more than that, times"),
    "singular": (SPD, jnp.zeros((2, 2)), "has one of the eigenvalue 0"),
    "out of the ball": (
        BALL,
        jnp.array([[0.1, 0.0], [1.2, 0.5]]),
        "shorter than 1 .* one of length 1.3; divide",
    ),
    "a number": (BALL, jnp.array(0.5), "the start holds a number"),
    "one number": (SPACE, jnp.ones(1), "vectors of two numbers at least"),
    "off the sheet": (
        SPACE,
        jnp.array([2.0, 0.0]),
        "the start has 2 for 1; start from its projection: tw",
    ),
    "the other sheet": (SPACE, jnp.array([-1.0, 0.0]), "the start has -1 for 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_start_that_is_no_point_is_refused_in_one_line(case):
    geometry, start, message = REFUSED[case]
    method = tw.Method(tw.HeavyBall(lambda x: jnp.sum(x**2), 0.1, geometry=geometry), tw.Leapfrog(), 0.1)
    with pytest.raises(tw.InputError, match=message) as caught:
        method.init(start)
    assert "\n" not in str(caught.value)


def test_a_velocity_that_is_not_tangent_is_refused():
    for geometry, start, push in (
        (STIEFEL, jnp.eye(3, 2), jnp.eye(3, 2)),
        (SPD, jnp.eye(2), jnp.array([[0.0, 1.0], [0.0, 0.0]])),
        (SPACE, jnp.array([1.0, 0.0]), jnp.array([0.5, 1.0])),
    ):
        with pytest.raises(tw.InputError, match="starting velocity must be tangent to"):
            geometry.check_tangent(start, push)
    # Far out, where the projection multiplies roundings by the square of the point, what is tangent to rounding is.
    far = SPACE.move(jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 6.0, 3.0]))
    SPACE.check(far)
    SPACE.check_tangent(far, SPACE.tangent(far, jnp.array([0.3, 1.0, 0.2])))


def test_a_metric_of_frames_is_named():
    with pytest.raises(tw.InputError, match="metric 'canonic' is unknown; did you mean 'canonical'"):
        tw.geometry.Stiefel("canonic")
