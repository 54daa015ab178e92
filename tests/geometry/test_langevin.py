"""Langevin dynamics in a geometry: closed forms by the scheme's own step, and the law that it settles to."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import hyp1f1

import thalweg as tw
from thalweg.schemes import Draws

SPHERE = tw.geometry.Sphere()
# The distance of a mean from its expectation that chance hardly makes, in standard errors.
ERRORS = 4.0


def potential(x):
    return jnp.sum(0.7 * x**2 + 0.4 * jnp.sin(2.0 * x)) + 0.3 * x[0] * x[-1]


def seen(x):
    """A quantity whose mean a step changes."""
    return jnp.sin(x[0]) + 0.6 * x[-1] ** 2 + 0.5 * x[0] * x[-1]


def bent(x):
    """A matrix that changes with the position."""
    return jnp.array([[2.0 + x[1] ** 2, 0.4 * x[0]], [0.4 * x[0], 1.0 + 0.5 * jnp.sin(x[1])]])


PAIR, POSITIVE = (0.6, -0.4), (0.6, 1.3)
SETTLING = {
    "a number": (tw.geometry.Metric(lambda x: 1.0 + jnp.sum(x**2)), PAIR),
    "a matrix": (tw.geometry.Metric(bent), PAIR),
    "Fisher": (tw.geometry.FisherInformation("poisson", "rate"), POSITIVE),
    "entropy": (tw.geometry.Mirror("entropy"), POSITIVE),
    "simplex": (tw.geometry.Mirror("simplex"), (0.2, 0.35, 0.45)),
    "log-barrier": (tw.geometry.Mirror("log-barrier"), POSITIVE),
    "hypentropy": (tw.geometry.Mirror("hypentropy", 0.7), PAIR),
    "p-norm": (tw.geometry.Mirror("p-norm", 1.5), PAIR),
    "own": (tw.geometry.Mirror(lambda x: jnp.sum(jnp.cosh(x)) + 0.3 * x[0] * x[1]), PAIR),
    "parts": (tw.geometry.Product([tw.geometry.Mirror("entropy"), None]), None),
}
QUICK = ("a matrix", "simplex")


def nodes(count):
    """Points and weights of Gauss and Hermite for a standard normal of so many numbers."""
    points, weights = np.polynomial.hermite_e.hermegauss(7)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*[points] * count, indexing="ij")], axis=-1)
    product = np.prod(np.stack(np.meshgrid(*[weights / weights.sum()] * count, indexing="ij")), axis=0).ravel()
    return jnp.asarray(grid), jnp.asarray(product)


@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in SETTLING]
)
def test_a_step_has_the_generator_of_the_law_in_the_coordinates(case):
    geometry, start = SETTLING[case]
    T, x = 0.8, jnp.array(POSITIVE if start is None else start)
    cut = (lambda v: [v[:1], v[1:]]) if start is None else (lambda v: v)
    law = tw.OverdampedLangevin(lambda y: potential(jnp.concatenate(y) if start is None else y), T, geometry=geometry)

    def flow(y):
        # Of the density e^(-f/T): e^(f/T) T div(e^(-f/T) A grad), by the velocity of slopes alone.
        found = geometry.velocity(cut(y), cut(jax.grad(seen)(y)))
        return jnp.concatenate(found) if start is None else found

    @jax.jit
    def both(h, normals, weights):
        def moved(normal):
            method = tw.Method(law, tw.EulerMaruyama(), h)
            after = method.step(method.init(cut(x)), Draws(noise=(cut(normal),))).position
            return seen(jnp.concatenate(after) if start is None else after) - seen(x)

        generator = T * jnp.trace(jax.jacfwd(flow)(x)) - jax.grad(potential)(x) @ flow(x)
        return weights @ jax.vmap(moved)(normals) / h, generator

    whole, half = (both(jnp.asarray(h), *nodes(x.size)) for h in (4e-4, 2e-4))
    # The error of a step is of second order, and so is that of their extrapolation.
    assert abs(float(2.0 * half[0] - whole[0] - half[1])) < 1e-5 * (1.0 + abs(float(half[1])))


LINES = {
    "circle": (SPHERE, lambda s: jnp.array([jnp.cos(s), jnp.sin(s)])),
    "positive": (tw.geometry.SPD(), lambda s: jnp.exp(s).reshape(1, 1)),
    "hyperbola": (tw.geometry.Hyperboloid(), lambda s: jnp.array([jnp.cosh(s), jnp.sinh(s)])),
}


def height(x):
    return 0.8 * x.ravel()[-1] + 0.3 * x.ravel()[0] ** 2


def lines():
    laws = {
        "overdamped": (lambda f, g: tw.OverdampedLangevin(f, 0.3, geometry=g), tw.EulerMaruyama()),
        "underdamped": (lambda f, g: tw.UnderdampedLangevin(f, 0.7, 0.3, 1.3, geometry=g), tw.Splitting("BAOAB")),
        "OBABO": (lambda f, g: tw.UnderdampedLangevin(f, 0.7, 0.3, 1.3, geometry=g), tw.Splitting("OBABO")),
        "Nesterov": (lambda f, g: tw.NesterovFlow(f, geometry=g), tw.Leapfrog()),
        "look-ahead": (lambda f, g: tw.NesterovFlow(f, geometry=g), tw.Lookahead()),
        "by gradient": (lambda f, g: tw.NesterovFlow(f, geometry=g), tw.Restarted(by="gradient")),
        "by speed": (lambda f, g: tw.NesterovFlow(f, geometry=g), tw.Restarted(tw.Leapfrog(), by="speed")),
    }
    for line in LINES:
        for law in laws:
            if line == "circle" and law in ("underdamped", "OBABO"):
                # Its normals are of the surrounding plane, and are drawn before it is known where they act.
                continue
            marks = [] if (line, law) in WALKED else [pytest.mark.slow]
            yield pytest.param(line, *laws[law], id=f"{line}-{law}", marks=marks)


WALKED = {("positive", "overdamped"), ("hyperbola", "underdamped"), ("circle", "by gradient")}


@pytest.mark.parametrize(("line", "law", "scheme"), list(lines()))
def test_a_manifold_of_one_dimension_is_a_line_by_its_length(line, law, scheme, key):
    # On positive numbers with the metric (dx/x)^2 this is the log-normal law of OU steps.
    geometry, at = LINES[line]
    steps, s0 = 60, jnp.asarray(0.4)
    curved = tw.Method(law(height, geometry), scheme, 0.15)
    flat = tw.Method(law(lambda s: height(at(s)), None), scheme, 0.15)
    normals = jax.random.normal(key, (steps, max(curved.normals, 1)))

    def walk(method, start, embed):
        def step(state, row):
            noise = tuple(embed(state, n) for n in row) if method.normals else ()
            return method.step(state, Draws(noise=noise)), state.position

        return jax.jit(lambda: jax.lax.scan(step, method.init(start), normals)[0])()

    def embedded(state, n):
        # The normal of the surrounding space whose part along the line is the one of the line; the rest is not felt.
        x = state.position
        way = jax.jvp(at, (coordinate(x),), (jnp.ones(()),))[1]
        if line == "positive":
            return n * jnp.ones((1, 1))
        if line == "circle":
            return n * way + 2.0 * x
        return jax.jacfwd(lambda m: geometry.noise(x, m))(x).T @ (n * jnp.array([-way[0], way[1]]))

    def coordinate(x):
        return (
            jnp.log(x[0, 0]) if line == "positive" else jnp.arctan2(*x[::-1]) if line == "circle" else jnp.arcsinh(x[1])
        )

    end, line_end = walk(curved, at(s0), embedded), walk(flat, s0, lambda _, n: n)
    np.testing.assert_allclose(end.position, at(line_end.position), rtol=1e-9, atol=1e-9)


def means(method, start, chains, steps, of, key):
    """The mean over chains and its standard error, of a function of the path of one chain."""

    @eqx.filter_jit
    def run(method, key):
        def walk(key):
            def step(state, k):
                after = method.step(state, method.draw(key, start, k))
                return after, of(after.position)

            return jax.lax.scan(step, method.init(start), jnp.arange(steps))[1]

        return jax.vmap(walk)(jax.random.split(key, chains))

    found = np.asarray(run(method, key), float)
    return found.mean(axis=0), found.std(axis=0) / np.sqrt(chains)


def factor(T, h, count):
    """The mean cosine of a step of a geodesic random walk, by Kummer's function: of an angle sqrt(2Th) chi."""
    return hyp1f1(0.5 * count, 0.5, -T * h)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32], ids=lambda d: d.__name__)
def test_brownian_motion_on_the_sphere_forgets_its_start_as_the_walk_does(dtype, key):
    T, h, steps, start = 0.7, 0.1, 4, jnp.array([0.0, 0.6, 0.0, -0.8], dtype)
    law = tw.OverdampedLangevin(lambda x: 0.0 * jnp.sum(x), T, geometry=SPHERE)
    found, error = means(tw.Method(law, tw.EulerMaruyama(), h), start, 40_000, steps, lambda x: x @ start, key)
    expected = factor(T, h, 3) ** np.arange(1, steps + 1)
    assert np.all(np.abs(found - expected) < ERRORS * error) and error.max() < 2.5e-3
    # Far from the motion without steps, and of weak order 1 to it.
    gaps = [abs(factor(T, h, 3) ** (1.0 / h) - np.exp(-3.0 * T)) for h in (0.01, 0.005)]
    assert np.log2(gaps[0] / gaps[1]) == pytest.approx(1.0, abs=0.05)


KAPPA = 2.0


def mises(law, scheme, h, seed, steps):
    """The mean along the pole of a von Mises-Fisher law on the sphere, with its error."""
    start = jnp.array([0.0, 0.6, 0.8])

    def run(key):
        method, skipped = tw.Method(law, scheme, h), steps // 4

        def step(carry, k):
            state, total = carry
            state = method.step(state, method.draw(key, start, k))
            return (state, total + jnp.where(k >= skipped, state.position[2], 0.0)), None

        (_, total), _ = jax.lax.scan(step, (method.init(start), jnp.zeros(())), jnp.arange(steps))
        return total / (steps - skipped)

    found = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(seed), 800)))
    return found.mean(), found.std() / np.sqrt(len(found))


def toward(x):
    return -KAPPA * x[2]


LANGEVIN = 1.0 / np.tanh(KAPPA) - 1.0 / KAPPA  # I_3/2 over I_1/2


def test_underdamped_chains_have_the_mean_of_a_von_mises_fisher_law(seed):
    law = tw.UnderdampedLangevin(toward, 1.0, 1.0, geometry=SPHERE)
    # A step of second order: at 0.15 its bias is far below the error.
    found, error = mises(law, tw.Splitting("BAOAB"), 0.15, seed, 800)
    assert abs(found - LANGEVIN) < ERRORS * error and error < 2.5e-3


@pytest.mark.slow
def test_overdamped_chains_have_it_without_their_bias_of_first_order(seed):
    law = tw.OverdampedLangevin(toward, 1.0, geometry=SPHERE)
    (whole, a), (half, b) = (mises(law, tw.EulerMaruyama(), h, seed + i, n) for i, (h, n) in
                             enumerate(((0.1, 1500), (0.05, 3000))))  # fmt: skip
    # The bias at first order is seen, and is gone by extrapolation.
    assert abs(whole - LANGEVIN) > 10 * a
    assert abs(2.0 * half - whole - LANGEVIN) < ERRORS * np.hypot(2.0 * b, a) + 1e-3


HESSIAN, MATRIX = jnp.array([[3.0, 0.5], [0.5, 0.4]]), jnp.array([[2.0, 0.3], [0.3, 0.5]])


def bowl(x):
    return 0.5 * x @ HESSIAN @ x


def test_preconditioned_steps_settle_to_their_own_closed_form():
    law, h, T = tw.OverdampedLangevin(bowl, 0.7, geometry=tw.geometry.Metric(MATRIX)), 0.2, 0.7
    H, G = np.asarray(HESSIAN), np.asarray(MATRIX)
    expected = T * np.linalg.inv(H - 0.5 * h * H @ np.linalg.solve(G, H))
    found = tw.analysis.stationary_covariance(tw.Method(law, tw.EulerMaruyama(), h), HESSIAN)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    right = tw.analysis.stationary_covariance(tw.Method(law, tw.LeimkuhlerMatthews(), h), HESSIAN)
    np.testing.assert_allclose(right, T * np.linalg.inv(H), rtol=1e-12)


@pytest.mark.slow
def test_orders_in_a_constant_metric_are_those_of_flat_space():
    twice = tw.OverdampedLangevin(bowl, 0.7, geometry=tw.geometry.Metric(2.0))
    orders = tw.analysis.noise_order(tw.Method(twice, tw.EulerMaruyama(), 0.2))
    assert orders.weak == pytest.approx(1.0, abs=0.1) and orders.strong == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    "scheme",
    [tw.MetropolisAdjustedLangevin(), pytest.param(tw.StochasticHeun(), marks=pytest.mark.slow),
     pytest.param(tw.LeimkuhlerMatthews(), marks=pytest.mark.slow),
     pytest.param(tw.ReplicaExchange(tw.MetropolisAdjustedLangevin(), every=2), marks=pytest.mark.slow)],
    ids=lambda s: type(s).__name__,
)  # fmt: skip
def test_a_constant_metric_is_a_change_of_coordinates(scheme):
    root = jnp.linalg.cholesky(MATRIX)
    curved = tw.Method(tw.OverdampedLangevin(bowl, 0.7, geometry=tw.geometry.Metric(MATRIX)), scheme, 0.8)
    plain = tw.OverdampedLangevin(lambda z: bowl(jnp.linalg.solve(root.T, z)), 0.7)
    x = jnp.array([0.7, -0.3])
    run = tw.run(curved, x, 200, key=0, record=None)
    other = tw.run(tw.Method(plain, scheme, 0.8), root.T @ x, 200, key=0, record=None)
    np.testing.assert_allclose(root.T @ run.final.position, other.final.position, rtol=1e-10)
    if isinstance(scheme, tw.MetropolisAdjustedLangevin):
        assert 0.2 < float(scheme.acceptance(run.state)) == float(scheme.acceptance(other.state)) < 0.95


@pytest.mark.slow
@pytest.mark.parametrize("law", ["overdamped", "underdamped"])
def test_chains_of_matrices_have_a_wishart_law(law, key):
    # Of nu degrees of freedom, with respect to the volume of the metric: its mean is nu times the identity.
    nu, geometry = 6.0, tw.geometry.SPD()

    def wishart(p):
        return 0.5 * jnp.trace(p) - 0.5 * nu * jnp.linalg.slogdet(p)[1]

    if law == "overdamped":
        method = tw.Method(tw.OverdampedLangevin(wishart, 1.0, geometry=geometry), tw.EulerMaruyama(), 0.01)
    else:
        method = tw.Method(tw.UnderdampedLangevin(wishart, 1.0, 1.0, geometry=geometry), tw.Splitting("BAOAB"), 0.15)
    found, error = means(method, nu * jnp.eye(2), 2000, 150, lambda p: jnp.stack([p[0, 0], p[0, 1], p[1, 1]]), key)
    off = np.abs(found[-1] - np.array([nu, 0.0, nu]))
    # The bias of a step of first order is 1 % of the spread.
    assert np.all(off < ERRORS * error[-1] + 0.05) and error.max() < 0.12
