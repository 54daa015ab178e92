"""The trajectories of torch, optax and diffrax, step by step."""

from typing import ClassVar

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import thalweg as tw

STEPS, SETTINGS, TOLERANCE = 1000, 50, 1e-12


def bowl(x, args):
    """Convex, not quadratic, without symmetry: a rotated quadratic and a log-sum-exp."""
    hessian, slopes = args
    return 0.5 * jnp.vdot(x, hessian @ x) + jax.nn.logsumexp(slopes @ x)


def gradient(x: np.ndarray, hessian: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    weights = slopes @ x
    weights = np.exp(weights - weights.max())
    return hessian @ x + slopes.T @ (weights / weights.sum())


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(7)
    basis = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    hessian = basis @ np.diag([0.05, 0.3, 1.0, 2.0]) @ basis.T
    return hessian, rng.normal(size=(6, 4)), rng.normal(size=4)


def settings() -> list[tuple[float, float]]:
    """Learning rates up to what Nesterov bears at the problem's curvature, momenta from none to nearly all."""
    rng = np.random.default_rng(11)
    rates, momenta = 10 ** rng.uniform(-3, -1, SETTINGS), rng.uniform(0, 0.99, SETTINGS)
    return [(float(a), float(b)) for a, b in zip(rates, momenta, strict=True)]


def ours(make, problem) -> np.ndarray:
    """(settings, steps, 4): the points at which gradients are taken, which frameworks store."""
    hessian, slopes, x0 = problem
    f = tw.Objective(bowl, (jnp.asarray(hessian), jnp.asarray(slopes)))

    @jax.jit
    def trajectory(a, b):
        method = make(f, a, b)

        def step(state, _):
            state = method.step(state)
            return state, state.lookahead

        return jax.lax.scan(step, method.init(jnp.asarray(x0)), None, length=STEPS)[1]

    return np.stack([np.asarray(trajectory(a, b)) for a, b in settings()])


@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
def test_equals_optax(problem, nesterov):
    hessian, slopes, x0 = problem
    args = (jnp.asarray(hessian), jnp.asarray(slopes))

    @jax.jit
    def trajectory(a, b):
        optimizer = optax.chain(optax.trace(decay=b, nesterov=nesterov), optax.scale(-a))

        def step(carry, _):
            x, state = carry
            updates, state = optimizer.update(jax.grad(bowl)(x, args), state)
            x = optax.apply_updates(x, updates)
            return (x, state), x

        return jax.lax.scan(step, (jnp.asarray(x0), optimizer.init(jnp.asarray(x0))), None, length=STEPS)[1]

    theirs = np.stack([np.asarray(trajectory(a, b)) for a, b in settings()])
    assert np.max(np.abs(ours(tw.nesterov if nesterov else tw.momentum, problem) - theirs)) <= TOLERANCE


def test_optax_sgd_is_that_chain(problem):
    """`optax.sgd` itself, whose momentum has to be a Python number, at a few of the settings."""
    hessian, slopes, x0 = problem
    args = (jnp.asarray(hessian), jnp.asarray(slopes))
    for nesterov in (False, True):
        all_of_ours = ours(tw.nesterov if nesterov else tw.momentum, problem)
        for i in (0, 17, 33):
            optimizer = optax.sgd(settings()[i][0], momentum=settings()[i][1], nesterov=nesterov)
            x, state = jnp.asarray(x0), optimizer.init(jnp.asarray(x0))
            for k in range(50):
                updates, state = optimizer.update(jax.grad(bowl)(x, args), state)
                x = optax.apply_updates(x, updates)
                assert np.max(np.abs(np.asarray(x) - all_of_ours[i, k])) <= TOLERANCE


@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
def test_equals_torch(problem, nesterov):
    hessian, slopes, x0 = problem
    all_of_ours = ours(tw.nesterov if nesterov else tw.momentum, problem)
    for (a, b), trajectory in zip(settings(), all_of_ours, strict=True):
        x = torch.from_numpy(x0.copy())
        optimizer = torch.optim.SGD([x], lr=a, momentum=b, nesterov=nesterov and b > 0)
        theirs = np.empty_like(trajectory)
        for k in range(STEPS):
            x.grad = torch.from_numpy(gradient(x.numpy(), hessian, slopes))
            optimizer.step()
            theirs[k] = x.numpy()
        assert np.max(np.abs(trajectory - theirs)) <= TOLERANCE, (a, b)


def test_gradients_by_hand_are_torchs_own(problem):
    hessian, slopes, x0 = problem
    x = torch.from_numpy(x0.copy()).requires_grad_()
    (0.5 * x @ torch.from_numpy(hessian) @ x + torch.logsumexp(torch.from_numpy(slopes) @ x, 0)).backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), gradient(x0, hessian, slopes), atol=1e-14)


def test_run_ends_where_the_steps_do(problem):
    hessian, slopes, x0 = problem
    f = tw.Objective(bowl, (jnp.asarray(hessian), jnp.asarray(slopes)))
    a, b = settings()[3]
    run = tw.run(tw.nesterov(f, a, b), jnp.asarray(x0), STEPS)
    np.testing.assert_allclose(run.final.lookahead, ours(tw.nesterov, problem)[3, -1], rtol=0, atol=TOLERANCE)
    assert np.max(np.abs(np.asarray(run.final.position) - np.asarray(run.final.lookahead))) > 0


class ClassicalRK4(diffrax.AbstractERK):
    """diffrax ships no classical Runge-Kutta method; this is its own stepper on that tableau."""

    tableau: ClassVar[diffrax.ButcherTableau] = diffrax.ButcherTableau(
        c=np.array([0.5, 0.5, 1.0]),
        b_sol=np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6]),
        b_error=np.array([1 / 6 - 1, 1 / 3, 1 / 3, 1 / 6]),
        a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
    )
    interpolation_cls: ClassVar = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms):
        del terms
        return 4


@pytest.mark.parametrize(
    ("scheme", "solver"),
    [
        (tw.Euler(), diffrax.Euler()),
        (tw.Midpoint(), diffrax.Midpoint()),
        (tw.Heun(), diffrax.Heun()),
        (tw.Ralston(), diffrax.Ralston()),
        (tw.RK4(), ClassicalRK4()),
        (tw.Tsit5(), diffrax.Tsit5()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, diffrax.AbstractSolver) else value.name,
)
@pytest.mark.parametrize("law", ["flow", "ball"])
def test_equals_diffrax(problem, scheme, solver, law):
    hessian, slopes, x0 = problem
    f = tw.Objective(bowl, (jnp.asarray(hessian), jnp.asarray(slopes)))
    h, n = 0.1, 50
    x0 = jnp.asarray(x0)
    dynamics = tw.GradientFlow(f, rate=lambda t: 1.0 + t) if law == "flow" else tw.HeavyBall(f, 0.3, mass=2.0)
    run = tw.run(tw.Method(dynamics, scheme, h), x0, n, record=None)

    def field(t, y, args):
        del args
        if law == "flow":
            return -(1.0 + t) * f.gradient(y)
        return (y[1], (-f.gradient(y[0]) - 0.3 * y[1]) / 2.0)

    start = x0 if law == "flow" else (x0, jnp.zeros(4))
    controller = diffrax.StepTo(ts=h * jnp.arange(n + 1))
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field), solver, 0.0, h * n, None, start, stepsize_controller=controller, max_steps=n + 1
    )
    assert solution.ys is not None
    theirs = solution.ys[0] if law == "flow" else solution.ys[0][0]
    np.testing.assert_allclose(run.final.position, theirs[0] if theirs.ndim == 2 else theirs, rtol=0, atol=TOLERANCE)
