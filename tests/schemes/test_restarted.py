"""Adaptive restart: against the algorithms written out, zeros of Bessel functions, and momentum tuned by hand."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import jn_zeros, jv

import thalweg as tw
from thalweg.adapters.optax import transformation

LOPSIDED = tw.problems.lopsided()
F, START = LOPSIDED.objective, LOPSIDED.start
TESTS = ("gradient", "function", "speed")


def restarted(objective, by="gradient", h=0.3, scheme=None, wait=1, damping=3.0):
    return tw.Method(tw.NesterovFlow(objective, damping), tw.Restarted(scheme, by=by, wait=wait), h)


def written_out(by, h, steps, wait, ahead, r):
    """Nesterov's method with its rising momentum k/(k + r), which is 0 again at a restart."""
    x, v, k, before, restarts = np.asarray(START), np.zeros(3), 0, np.inf, 0
    points, slope = [x], jax.jit(lambda y: F.value_and_gradient(y))
    for _ in range(steps):
        beta = k / (k + r)
        y = x + ahead * beta * v
        value, g = slope(jnp.asarray(y))
        new = beta * v - h * h * (k + r / 2) / (k + r) * np.asarray(g)
        wrong = {"gradient": g @ new > 0, "function": value > before, "speed": new @ new < v @ v}[by]
        x, v, k, before = x + new, new, k + 1, value
        points.append(x)
        if wrong and k >= wait:
            v, k, restarts = np.zeros(3), 0, restarts + 1
    return np.array(points), restarts


@pytest.mark.parametrize("by", TESTS)
@pytest.mark.parametrize(
    ("ahead", "wait", "r"),
    [(1.0, 1, 3.0), pytest.param(0.0, 4, 4.5, marks=pytest.mark.slow)],
    ids=["look-ahead", "leapfrog"],
)
def test_it_is_the_algorithm_written_out(by, ahead, wait, r):
    method = restarted(F, by, 0.2, tw.Lookahead() if ahead else tw.Leapfrog(), wait, r)
    run = tw.run(method, START, 60, record=1)
    points, restarts = written_out(by, 0.2, 60, wait, ahead, r)
    np.testing.assert_allclose(run.trace.position, points, rtol=0, atol=1e-12)
    assert int(method.scheme.restarts(run.state)) == restarts > 1


def tuned(objective, condition):
    root = np.sqrt(condition)
    return tw.nesterov(objective, 1.0, (root - 1) / (root + 1))


@pytest.mark.slow
@pytest.mark.parametrize(("condition", "plain"), [pytest.param(1e2, 5.0, marks=pytest.mark.slow), (1e4, 10.0)])
def test_without_knowing_mu_it_is_about_as_fast_as_momentum_that_does(condition, plain):
    """Gradients to 1e-8 of the first, where the friction 3/t that never restarts takes `plain` times as many."""
    curvatures = jnp.geomspace(1 / condition, 1.0, 50)
    f = tw.Objective(lambda x: 0.5 * jnp.sum(curvatures * x**2))
    start = np.random.default_rng(0).normal(size=50)

    def gradients(method):
        norms = tw.run(method, start, int(140 * np.sqrt(condition)), record="gradient_norm").metrics["gradient_norm"]
        reached = norms <= 1e-8 * norms[0]
        return int(np.argmax(reached)) if reached.any() else np.inf

    best = gradients(tuned(f, condition))
    assert gradients(restarted(f, "gradient", 1.0)) < 1.5 * best
    assert gradients(restarted(f, "function", 1.0)) < 1.6 * best
    assert gradients(restarted(f, "speed", 1.0)) < 2.8 * best
    assert gradients(tw.Method(tw.NesterovFlow(f), tw.Lookahead(), 1.0)) > plain * best


@pytest.mark.parametrize(
    ("by", "phase"),
    [
        ("gradient", jn_zeros(1, 1)[0]),
        ("function", jn_zeros(1, 1)[0]),
        ("speed", brentq(lambda u: jv(2, u) - u * jv(3, u), 1.0, 3.0)),
    ],
)
def test_a_mode_restarts_where_its_bessel_function_turns(by, phase):
    r"""$x = 2J_1(u)/u$, $u = t\sqrt\ell$: uphill from the first zero of $J_1$, slower from where $J_2 = uJ_3$."""
    curvature, h = 1e-4, 1.0
    f = tw.Objective(lambda x: 0.5 * curvature * jnp.sum(x**2))
    method = restarted(f, by, h)

    def step(state, _):
        after = method.step(state)
        return after, method.scheme.restarts(after)

    _, counts = jax.lax.scan(step, method.init(jnp.ones(1)), length=500)
    # The law's time is 3h/2 at the start, and a test is made up to a step after the motion has turned.
    assert int(np.argmax(counts > 0)) + 1.5 == pytest.approx(phase / np.sqrt(curvature) / h, abs=2.0)


@pytest.mark.slow
def test_after_a_restart_it_is_a_motion_begun_there():
    method = restarted(F, h=0.2)
    state, seen = method.init(START), []
    for _ in range(30):
        state = method.step(state)
        seen.append(state)
    first = next(i for i, s in enumerate(seen) if method.scheme.restarts(s) > 0)
    fresh = method.init(seen[first].position)
    for later in seen[first + 1 : first + 5]:
        fresh = method.step(fresh)
        np.testing.assert_array_equal(fresh.position, later.position)
        assert float(later.time) > float(fresh.time)


def test_a_ball_restarts_from_rest():
    """Without friction the test is all that stops it."""
    ball = tw.HeavyBall(F, friction=0.0)
    method = tw.Method(ball, tw.Restarted(tw.Leapfrog()), 0.2)
    run, free = (tw.run(m, START, 400) for m in (method, tw.Method(ball, tw.Leapfrog(), 0.2)))
    assert method.autonomous and int(method.scheme.restarts(run.state)) > 5
    assert run.metrics["loss"][-1] - F.minimum < 1e-6 < free.metrics["loss"][-50:].max() - F.minimum


def test_time_and_a_schedule_go_on_through_a_restart():
    method = restarted(F).with_step_size(lambda k: 0.2 / (1 + 0.01 * k))
    run = tw.run(method, START, 60, record=tw.Record(("step_size",), positions=1))
    steps = 0.2 / (1 + 0.01 * np.arange(61))
    assert int(method.scheme.restarts(run.state)) > 1
    np.testing.assert_allclose(run.metrics["step_size"], steps, rtol=1e-14)
    np.testing.assert_allclose(run.trace.time, np.cumsum([0.0, *steps[:-1]]), rtol=1e-13)


@pytest.mark.parametrize("by", ["gradient", *(pytest.param(by, marks=pytest.mark.slow) for by in TESTS[1:])])
def test_resumed_it_is_bit_for_bit_one_never_stopped(by, tmp_path):
    method = restarted(F, by)
    whole = tw.run(method, START, 50, record="loss")
    tw.run(method, START, 23, record="loss", out=tmp_path / "run")
    again = tw.run(method, START, 50, record="loss", out=tmp_path / "run", resume=True)
    for one, two in zip(jax.tree.leaves(whole.state), jax.tree.leaves(again.state), strict=True):
        np.testing.assert_array_equal(one, two)
    assert int(method.scheme.restarts(again.state)) > 0
    assert whole.gradients == again.gradients == 50
    assert (method.gradients_at_start, method.gradients_per_step) == (0, 1)


def test_the_probe_sees_the_scheme_between_restarts():
    plain = tw.Method(tw.NesterovFlow(None), tw.Lookahead(start="zero"), 0.7)
    for time in (3.0, None):
        np.testing.assert_array_equal(
            tw.analysis.amplification(restarted(None, h=0.7), [0.5, 2.0], time),
            tw.analysis.amplification(plain, [0.5, 2.0], time),
        )


def test_wrong_input_is_one_line(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match="by 'gradients' is unknown; did you mean 'gradient'"):
        tw.Restarted(by="gradients")
    with pytest.raises(tw.InputError, match="wait must be a whole number of at least 1"):
        tw.Restarted(wait=0)
    with pytest.raises(tw.InputError, match=r"scheme must have a momentum to restart, tw\.Lookahead\(\) or"):
        tw.Restarted(tw.RK4())
    with pytest.raises(tw.InputError, match="GradientFlow has no separate force or friction"):
        tw.Method(tw.GradientFlow(None), tw.Restarted(), 0.1)
    batches = tw.FiniteSum(lambda x, s: jnp.sum((x - s) ** 2), jnp.ones((8, 1)), 2)
    with pytest.raises(tw.InputError, match=r"Restarted needs the exact energy.*tw\.nesterov"):
        restarted(batches)
    with pytest.raises(tw.InputError, match='restart by "function" needs the value of f, which optax has not'):
        transformation(restarted(None, "function"))
