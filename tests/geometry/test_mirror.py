"""Mirror maps: their maps against each other, flows in closed form, and the order of schemes in dual coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import thalweg as tw
from thalweg.geometry import Mirror

POSITIVE, REAL = jnp.array([0.3, 1.7, 0.8]), jnp.array([0.3, -1.7, 0.8])


def exponential(x):
    """A convex function of somebody's own, coupled."""
    return jnp.sum(jnp.exp(x)) + 0.5 * jnp.sum(x) ** 2


def barrier(x):
    return -jnp.sum(jnp.log(x)) + 0.1 * jnp.sum(x**2)


# A mirror map and a point of its domain.
MAPS = {
    "entropy": (Mirror("entropy"), POSITIVE),
    "simplex": (Mirror("simplex"), jnp.array([0.2, 0.5, 0.3])),
    "hypentropy": (Mirror("hypentropy", 0.4), REAL),
    "p-norm": (Mirror("p-norm", 1.4), REAL),
    "log-barrier": (Mirror("log-barrier"), POSITIVE),
    "own": (Mirror(exponential), REAL),
    "own barrier": (Mirror(barrier), POSITIVE),
    "own with inverse": (Mirror(lambda x: 0.25 * jnp.sum(x**4), inverse=lambda y: jnp.cbrt(y)), REAL),
}
POTENTIALS = {
    "entropy": lambda x: jnp.sum(x * jnp.log(x) - x),
    "hypentropy": lambda x: jnp.sum(x * jnp.arcsinh(x / 0.4) - jnp.sqrt(x**2 + 0.16)),
    "p-norm": lambda x: 0.5 * jnp.sum(jnp.abs(x) ** 1.4) ** (2 / 1.4),
    "log-barrier": lambda x: -jnp.sum(jnp.log(x)),
    "own": exponential,
    "own barrier": barrier,
    "own with inverse": lambda x: 0.25 * jnp.sum(x**4),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in ("own barrier", "own with inverse") else n for n in MAPS]
)
def test_the_maps_are_those_of_one_potential(name):
    mirror, x = MAPS[name]
    p = jnp.array([0.7, -0.2, 0.4])
    dual, velocity = mirror.to_dual(x), mirror.velocity(x, p)
    np.testing.assert_allclose(mirror.from_dual(dual), x, rtol=0, atol=1e-14)
    np.testing.assert_allclose(jax.jvp(mirror.from_dual, (dual,), (p,))[1], velocity, rtol=0, atol=1e-14)
    np.testing.assert_allclose(mirror.shifted(x, 0.1 * p), mirror.from_dual(dual + 0.1 * p), rtol=0, atol=1e-14)
    np.testing.assert_allclose(mirror.move(x, 0.1 * velocity), mirror.shifted(x, 0.1 * p), rtol=0, atol=1e-14)
    assert float(mirror.slope_norm(x, p)) == pytest.approx(float(p @ velocity) ** 0.5, rel=1e-13)
    assert float(mirror.inner(x, velocity, velocity)) == pytest.approx(float(p @ velocity), rel=1e-13)
    if name in POTENTIALS:
        np.testing.assert_allclose(dual, jax.grad(POTENTIALS[name])(x), rtol=0, atol=1e-14)
        np.testing.assert_allclose(jax.hessian(POTENTIALS[name])(x) @ velocity, p, rtol=0, atol=1e-13)
        np.testing.assert_allclose(mirror.lowered(x, velocity), p, rtol=0, atol=1e-13)
    # A derivative of either mode goes through.
    back = jax.jacrev(mirror.shifted, argnums=(0, 1))(x, 0.1 * p)
    for found, moved in zip(back, jax.jacfwd(mirror.shifted, argnums=(0, 1))(x, 0.1 * p), strict=True):
        np.testing.assert_allclose(found, moved, rtol=0, atol=1e-13)
        assert jnp.any(found)


def bowl(x):
    return 0.5 * jnp.sum((x - 0.3) ** 2) + x[0] * x[1]


SCHEMES = {"euler": (tw.Euler(), 1, 64), "heun": (tw.Heun(), 2, 128), "rk4": (tw.RK4(), 4, 32)}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["simplex", "p-norm", pytest.param("log-barrier", marks=pytest.mark.slow),
                                  pytest.param("own", marks=pytest.mark.slow)])  # fmt: skip
def test_stages_in_dual_coordinates_have_their_order(name, scheme):
    (mirror, x), (scheme, order, steps) = MAPS[name], SCHEMES[scheme]
    method = tw.Method(tw.GradientFlow(bowl, geometry=mirror), scheme, 0.1)
    found = tw.analysis.convergence_order(method, x, 1.0, (steps, 2 * steps))
    assert found.order == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(
    "name",
    [
        "entropy",
        "simplex",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("hypentropy", "p-norm", "log-barrier", "own")),
    ],
)
def test_a_step_of_euler_is_mirror_descent(name):
    mirror, x = MAPS[name]
    method = tw.Method(tw.GradientFlow(bowl, rate=2.0, geometry=mirror), tw.Euler(), 0.05)
    run = tw.run(method, x, 5, record=("loss", "gradient_norm"))
    for k in range(5):
        slope = jax.grad(bowl)(x)
        assert run.metrics["gradient_norm"][k] == pytest.approx(float(mirror.slope_norm(x, slope)), rel=1e-11)
        x = mirror.from_dual(mirror.to_dual(x) - 0.1 * slope)
    np.testing.assert_allclose(run.final.position, x, rtol=0, atol=1e-13)
    assert run.gradients == 5


def flow(f, mirror, x0, until, rate=1.0):
    scheme = tw.Adaptive(rtol=1e-12, atol=1e-14, until=until)
    law = tw.GradientFlow(f, rate, geometry=mirror)
    run = tw.run(tw.Method(law, scheme, 0.01), x0, 3000, record=None)
    assert run.status == "finished" and run.final.time == pytest.approx(until, rel=1e-14)
    return run.final.position


def test_a_linear_function_on_the_simplex_is_the_replicator_equation():
    cost, start = jnp.array([1.0, -0.5, 0.25, 3.0]), jnp.array([0.1, 0.2, 0.3, 0.4])
    exact = start * np.exp(-2.5 * cost)
    np.testing.assert_allclose(
        flow(lambda x: cost @ x, Mirror("simplex"), start, 2.5), exact / exact.sum(), rtol=0, atol=1e-10
    )
    # By leading axes and leaves, each on its own; no step leaves the domain, however long.
    method = tw.mirror_descent(lambda t: jnp.sum(t["a"] @ cost) + jnp.sum(t["b"][..., 0]), 2.5, "simplex")
    both = {"a": jnp.stack([start, start[::-1]]), "b": jnp.array([[0.5, 0.5]])}
    run = tw.run(method, both, 1, record=None).final.position
    reverse = np.asarray(start[::-1] * np.exp(-2.5 * cost))
    np.testing.assert_allclose(run["a"], np.stack([exact / exact.sum(), reverse / reverse.sum()]), rtol=1e-13)
    np.testing.assert_allclose(run["b"][0, 0], scipy.special.expit(-2.5), rtol=1e-13)
    far = tw.run(tw.mirror_descent(lambda x: cost @ x, 500.0, "simplex"), start, 4, record=("gradient_norm",))
    np.testing.assert_array_equal(far.final.position, [0.0, 1.0, 0.0, 0.0])
    assert far.metrics["gradient_norm"][-1] == 0.0


def test_a_quadratic_in_the_entropy_is_the_logistic():
    """x' = -x f' with f = x^2/2 - cx: x' = x (c - x), which rises to c."""
    c, start = jnp.array([2.0, 0.5]), jnp.array([0.1, 4.0])
    exact = c / (1.0 + (c / start - 1.0) * np.exp(-c * 1.5))
    found = flow(lambda x: jnp.sum(0.5 * x**2 - c * x), Mirror("entropy"), start, 1.5)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-10)


def test_the_log_barrier_of_a_linear_function():
    """x' = -c x^2: x = x(0)/(1 + c x(0) t)."""
    c, start = jnp.array([2.0, 0.3]), jnp.array([0.1, 4.0])
    found = flow(lambda x: c @ x, Mirror("log-barrier"), start, 1.5)
    np.testing.assert_allclose(found, start / (1 + c * start * 1.5), rtol=0, atol=1e-10)
    # Euler's method on it is exact; a step that leads past the edge of the dual coordinates has no end.
    ends = tw.run(tw.mirror_descent(lambda x: c @ x, 1.5, "log-barrier"), start, 1, record=None)
    np.testing.assert_allclose(ends.final.position, found, rtol=1e-11)
    climb = tw.run(tw.mirror_descent(lambda x: -(c @ x), 6.0, "log-barrier"), start, 3, record=None)
    assert climb.status == "not finite"


def test_a_difference_of_squares_descends_by_the_hypentropy():
    """Gradient flow of f(u^2 - v^2) in u and v is, in x = u^2 - v^2, mirror flow at rate 4 with width 2uv."""
    u, width = jnp.array([0.9, 0.4, 0.6]), 0.3
    v = width / (2 * u)
    law = tw.GradientFlow(lambda t: bowl(t["u"] ** 2 - t["v"] ** 2))
    scheme = tw.Adaptive(rtol=1e-12, atol=1e-14, until=0.7)
    pair = tw.run(tw.Method(law, scheme, 0.01), {"u": u, "v": v}, 2000, record=None).final.position
    found = flow(bowl, Mirror("hypentropy", width), u**2 - v**2, 0.7, rate=4.0)
    np.testing.assert_allclose(found, pair["u"] ** 2 - pair["v"] ** 2, rtol=0, atol=1e-10)
    assert float(jnp.max(jnp.abs(found - (u**2 - v**2)))) > 0.1


def test_the_p_norm_begins_at_zero():
    """From 0 a step is along the gradient's own image, and a linear function is followed exactly by one step."""
    c, mirror = jnp.array([1.0, -3.0, 0.5]), Mirror("p-norm", 1.3)
    found = tw.run(tw.mirror_descent(lambda x: c @ x, 0.5, "p-norm", 1.3), jnp.zeros(3), 2, record=None)
    np.testing.assert_allclose(found.final.position, mirror.from_dual(-c), rtol=1e-13)
    # Mostly along the largest entry: p near 1 is coordinate descent.
    ratio = abs(float(found.final.position[1] / found.final.position[0]))
    assert ratio == pytest.approx(3.0 ** (1 / 0.3), rel=1e-12)


def test_numbers_that_have_become_zero_stay_there():
    tiny = jnp.array([1e-300, 1.0])
    for mirror in (Mirror("entropy"), Mirror("simplex")):
        end = mirror.shifted(jnp.array([0.0, 1.0]), jnp.array([5.0, 0.0]))
        np.testing.assert_array_equal(end, [0.0, 1.0])
        assert not jnp.any(mirror.lowered(end, jnp.zeros(2)))
    # A factor that no float holds, of a number that is as small.
    np.testing.assert_allclose(
        Mirror("entropy").shifted(tiny, jnp.array([720.0, 0.0]))[0], np.exp(720.0 - 300 * np.log(10))
    )
    grown = Mirror("simplex").shifted(tiny, jnp.array([1000.0, 0.0]))
    assert float(grown[1]) == pytest.approx(float(np.exp(300 * np.log(10) - 1000.0)), rel=1e-12)


@pytest.mark.parametrize("name", ["simplex", "hypentropy", "p-norm", pytest.param("own", marks=pytest.mark.slow)])
def test_float32_and_bfloat16_keep_their_dtype(name):
    mirror, x = MAPS[name]
    for dtype in (jnp.float32, jnp.bfloat16):
        low = x.astype(dtype)
        end = mirror.shifted(low, 0.1 * jnp.array([0.7, -0.2, 0.4], dtype))
        assert end.dtype == mirror.velocity(low, low).dtype == mirror.to_dual(low).dtype == dtype
        exact = mirror.shifted(low.astype(float), jnp.array([0.07, -0.02, 0.04]))
        np.testing.assert_allclose(end.astype(float), exact, rtol=0, atol=8 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize(
    ("mirror", "start", "message"),
    [
        (Mirror("entropy"), [1.0, 0.0], r"Mirror\('entropy'\) is of positive numbers, but the start holds 0; start"),
        (Mirror("log-barrier"), [1.0, -2.0], "is of positive numbers, but the start holds -2"),
        (Mirror("simplex"), [0.4, 0.4], r"some of the start sum to 0\.8; start from x0 / x0\.sum"),
        (Mirror(barrier), [1.0, -2.0], "must be in the domain of the potential of Mirror, but there it is not finite"),
        (Mirror(lambda x: x), [1.0, 2.0], r"potential of Mirror must give a number, but gives shape \(2,\)"),
        (Mirror(lambda x: -jnp.sum(x**2)), [1.0, 2.0], "must be strictly convex, but at the start its Hessian is not"),
        (Mirror(exponential, inverse=jnp.log), [1.0, 2.0], "inverse must be that of the gradient of the potential"),
        (Mirror(exponential), np.ones(400), "for 300 parameters at most, not 400; give the inverse of its gradient"),
    ],
)  # fmt: skip
def test_a_start_outside_of_the_domain_is_refused(mirror, start, message):
    method = tw.Method(tw.GradientFlow(lambda x: jnp.sum(x**2), geometry=mirror), tw.Euler(), 0.1)
    with pytest.raises(tw.InputError, match=message) as caught:
        method.init(jnp.asarray(start))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("entropie",), "potential 'entropie' is unknown; did you mean 'entropy'"),
        (("p-norm",), r"Mirror\('p-norm'\) needs its power p, parameter=1\.5"),
        (("p-norm", 3.0), "parameter must be at most 2, but is 3"),
        (("hypentropy", 0.0), "parameter must be greater than 0, but is 0"),
        (("entropy", 1.0), r"Mirror\('entropy'\) has no parameter"),
        (("entropy", None, jnp.exp), r"Mirror\('entropy'\) knows its inverse"),
        ((exponential, 1.0), "a parameter belongs to a potential by name"),
    ],
)
def test_a_potential_that_is_none_is_refused(arguments, message):
    with pytest.raises(tw.InputError, match=message):
        Mirror(*arguments)


def test_newton_says_where_it_fails():
    # The gradient of sqrt(1 + x^2) is less than 1 everywhere.
    bounded = Mirror(lambda x: jnp.sum(jnp.sqrt(1.0 + x**2)))
    np.testing.assert_allclose(
        bounded.from_dual(jnp.array([0.999, -0.3])), [0.999 / np.sqrt(1 - 0.999**2), -0.3 / np.sqrt(0.91)]
    )
    with pytest.raises(tw.InputError, match="Newton's method has found no point of these dual coordinates"):
        bounded.from_dual(jnp.array([1.5, 0.0]))
    assert jnp.all(jnp.isnan(jax.jit(bounded.shifted)(jnp.zeros(2), jnp.array([1.5, 0.0]))))


def test_what_a_mirror_map_does_not_carry_is_refused():
    with pytest.raises(tw.InputError, match="straight lines of its dual coordinates, which are not the geodesics"):
        tw.HeavyBall(None, 1.0, geometry=Mirror("entropy"))
    law = tw.GradientFlow(bowl, geometry=Mirror("entropy"))
    for scheme in (tw.RungeKuttaChebyshev(1, 4), tw.ImplicitEuler(), tw.ExponentialEuler()):
        with pytest.raises(tw.InputError, match="adds vectors of flat space, and would leave the domain of Mirror"):
            tw.Method(law, scheme, 0.1)
